import CMicrohttpd
import Log
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// What the library's callbacks reach: the router and the exchanges that run.
final class ServerCore: Sendable {
    private struct State {
        /// Those whose handlers may wait.
        var exchanges: [ObjectIdentifier: Exchange] = [:]
        var isStopping = false
        /// New requests are given up at once: a connection left suspended would abort the library's stop.
        var isAborting = false
    }

    let settings: HTTPServerSettings
    let router: Router
    let watcher: ConnectionWatcher
    let files: FileMemory
    var isTLS: Bool { settings.tlsCertificate != nil }
    private let state = Locked(State())
    private let running = Atomic<Int>(0)

    init(_ settings: HTTPServerSettings, router: Router, watcher: ConnectionWatcher) {
        (self.settings, self.router, self.watcher) = (settings, router, watcher)
        files = FileMemory(capacity: settings.fileMemoryBytes)
    }

    var isStopping: Bool { state.withLock { $0.isStopping } }
    /// Requests whose answers are not sent yet.
    var runningCount: Int { running.load(ordering: .acquiring) }

    /// A request is answered without waiting.
    func answering(_ exchange: Exchange) {
        running.add(1, ordering: .relaxed)
        watcher.answering(exchange.socket)
    }

    /// A request has a handler that may wait.
    func add(_ exchange: Exchange) {
        running.add(1, ordering: .relaxed)
        let isLate = state.withLock { state in
            state.exchanges[ObjectIdentifier(exchange)] = exchange
            return state.isAborting
        }
        watcher.began(exchange)
        if isLate { exchange.abort() }
    }

    func remove(_ exchange: Exchange) {
        watcher.ended(exchange.socket)
        switch exchange.state.withLock({ $0.standing }) {
        case .unheard: return
        case .answering: break
        case .running:
            exchange.abort()
            state.withLock { state in _ = state.exchanges.removeValue(forKey: ObjectIdentifier(exchange)) }
        }
        running.subtract(1, ordering: .releasing)
    }

    /// Lets endless streams end.
    func beginStop() {
        let running = state.withLock { state in
            state.isStopping = true
            return Array(state.exchanges.values)
        }
        for exchange in running { exchange.endStream() }
    }

    func abortAll() {
        let running = state.withLock { state in
            state.isAborting = true
            return Array(state.exchanges.values)
        }
        for exchange in running { exchange.abort() }
    }
}

// MARK: Callbacks of the library, on its threads

/// Someone connects. Who has as many connections as one address may is turned away. A stopping server turns everybody away here:
/// `MHD_quiesce_daemon` races with the library's own threads, and aborts the process when it loses.
func onAccept(_ context: UnsafeMutableRawPointer?, _ address: UnsafePointer<sockaddr>?, _ size: socklen_t) -> MHD_Result {
    guard let context else { return .NO }
    let core = Unmanaged<ServerCore>.fromOpaque(context).takeUnretainedValue()
    if core.isStopping { return .NO }
    guard core.settings.maxConnectionsPerAddress > 0, let address else { return .YES }
    return core.watcher.admits(WatchedConnection.text(of: address)) ? .YES : .NO
}

/// A request line has been read.
func onTarget(
    _ context: UnsafeMutableRawPointer?, _ target: UnsafePointer<CChar>?, _ connection: OpaquePointer?
) -> UnsafeMutableRawPointer? {
    guard let context, let connection else { return nil }
    let core = Unmanaged<ServerCore>.fromOpaque(context).takeUnretainedValue()
    guard let exchange = Exchange(target: target, connection: connection, core: core) else { return nil }
    core.watcher.began(exchange.socket)
    return Unmanaged.passRetained(exchange).toOpaque()
}

/// A header is complete, a piece of a body has come, or a suspended connection goes on.
func onAccess(
    _ context: UnsafeMutableRawPointer?, _ connection: OpaquePointer?, _ url: UnsafePointer<CChar>?,
    _ method: UnsafePointer<CChar>?, _ version: UnsafePointer<CChar>?, _ upload: UnsafePointer<CChar>?,
    _ uploadCount: UnsafeMutablePointer<Int>?, _ requestContext: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> MHD_Result {
    guard let raw = requestContext?.pointee, let uploadCount else { return .NO }
    let exchange = Unmanaged<Exchange>.fromOpaque(raw).takeUnretainedValue()
    var piece: UnsafeRawBufferPointer?
    if let upload, uploadCount.pointee > 0 { piece = UnsafeRawBufferPointer(start: upload, count: uploadCount.pointee) }
    let result = exchange.step(method: method, version: version, upload: piece)
    if piece != nil { uploadCount.pointee = 0 }
    return result
}

/// A request is over, well or badly.
func onCompleted(
    _ context: UnsafeMutableRawPointer?, _ connection: OpaquePointer?,
    _ requestContext: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, _ reason: MHD_RequestTerminationCode
) {
    guard let context, let raw = requestContext?.pointee else { return }
    requestContext?.pointee = nil
    let core = Unmanaged<ServerCore>.fromOpaque(context).takeUnretainedValue()
    core.remove(Unmanaged<Exchange>.fromOpaque(raw).takeRetainedValue())
}

/// A connection has come or gone.
func onConnection(
    _ context: UnsafeMutableRawPointer?, _ connection: OpaquePointer?,
    _ socketContext: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, _ code: MHD_ConnectionNotificationCode
) {
    guard let context, let connection, let socketContext else { return }
    let watcher = Unmanaged<ServerCore>.fromOpaque(context).takeUnretainedValue().watcher
    if code == .CONNECTION_NOTIFY_STARTED {
        socketContext.pointee = Unmanaged.passRetained(watcher.opened(connection)).toOpaque()
    } else if let raw = socketContext.pointee {
        socketContext.pointee = nil
        watcher.closed(Unmanaged<WatchedConnection>.fromOpaque(raw).takeRetainedValue())
    }
}

func onLog(_ context: UnsafeMutableRawPointer?, _ line: UnsafePointer<CChar>?) {
    guard let line else { return }
    Logger("http").debug(trimBlanks(String(cString: line).replacing("\n", with: "")))
}
