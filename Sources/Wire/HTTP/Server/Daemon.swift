import CMicrohttpd

#if canImport(Glibc)
    import Glibc
#endif

/// The library's daemon and what it points to.
final class Daemon: @unchecked Sendable {  // why: the pointers are set in init and freed in stop, which HTTPServer calls once.
    private let raw: OpaquePointer
    private let setup: UnsafeMutablePointer<CMicrohttpdSetup>
    private let core: ServerCore

    /// Takes over the listening socket. Nil when the library refuses; it has closed the socket then.
    init?(_ socket: Int32, _ settings: HTTPServerSettings, _ certificate: (chain: String, key: String)?, _ core: ServerCore) {
        self.core = core
        setup = .allocate(capacity: 1)
        setup.initialize(to: CMicrohttpdSetup())
        setup.pointee.socket = socket
        setup.pointee.threads = UInt32(clamping: settings.threads)
        setup.pointee.idle_seconds = UInt32(clamping: settings.idleSeconds)
        setup.pointee.connections = UInt32(clamping: settings.maxConnections)
        setup.pointee.connection_memory = settings.connectionMemoryBytes
        setup.pointee.certificate = certificate.flatMap { UnsafePointer(strdup($0.chain)) }
        setup.pointee.key = certificate.flatMap { UnsafePointer(strdup($0.key)) }
        // The daemon's threads end before stop returns, and this object keeps the core until then.
        setup.pointee.context = Unmanaged.passUnretained(core).toOpaque()
        setup.pointee.accept = onAccept
        setup.pointee.access = onAccess
        setup.pointee.target = onTarget
        setup.pointee.completed = onCompleted
        setup.pointee.connection = onConnection
        setup.pointee.log = onLog
        guard let raw = cmicrohttpd_start(setup) else {
            Self.free(setup)
            return nil
        }
        self.raw = raw
    }

    private static func free(_ setup: UnsafeMutablePointer<CMicrohttpdSetup>) {
        Glibc.free(UnsafeMutableRawPointer(mutating: setup.pointee.certificate))
        Glibc.free(UnsafeMutableRawPointer(mutating: setup.pointee.key))
        setup.deallocate()
    }

    /// Ends the daemon's threads. It blocks until they have, so it has a thread of its own.
    func stop() async {
        await BlockingThread.run { [self] in end() }
    }

    /// Cancels what runs and ends the threads without anyone waiting for it.
    func abandon() {
        core.beginStop()
        core.abortAll()
        let isStarted = BlockingThread.start { [self] in
            end()
            core.watcher.requestStop()
        }
        // Without a thread to wait on, the daemon runs on; what it points to must then stay.
        if !isStarted { _ = Unmanaged.passRetained(self) }
    }

    private func end() {
        MHD_stop_daemon(raw)
        Self.free(setup)
    }
}
