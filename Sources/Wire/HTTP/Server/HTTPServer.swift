import CMicrohttpd
import Log

#if canImport(Glibc)
    import Glibc
#endif

/// An HTTP/1.1 server on libmicrohttpd. Handlers run on Swift concurrency; only those of routes that say so begin on the server's threads.
public final class HTTPServer: Sendable {
    private enum Phase {
        case bound(Int32)
        case running(Daemon)
        case stopped
    }

    private let settings: HTTPServerSettings
    private let core: ServerCore
    private let phase: Locked<Phase>
    private let certificate: (chain: String, key: String)?
    private let host: String
    /// The port it listens on.
    public let port: UInt16

    /// Binds and listens, so that a port in use is known at once; nothing is answered before ``start()``.
    public init(_ settings: HTTPServerSettings, router: Router) throws(HTTPServerError) {
        var router = router
        router.cors = settings.cors
        self.settings = settings
        certificate = try Self.readCertificate(settings)
        guard let watcher = ConnectionWatcher(settings) else {
            throw .cannotListen(listen: settings.listen, reason: "no file descriptors left")
        }
        core = ServerCore(settings, router: router, watcher: watcher)
        let listener = try ListenSocket(settings.listen)
        port = listener.port
        host = listener.host
        phase = Locked(.bound(listener.descriptor))
    }

    /// A server that nobody stopped stops by itself: what the library's threads point to stays until they have ended.
    deinit {
        switch phase.withLock({ $0 }) {
        case .stopped: break
        case .bound(let descriptor): close(descriptor)
        case .running(let daemon): daemon.abandon()
        }
    }

    /// `http://host:port` or `https://host:port`; a server on all interfaces names the loopback one.
    public var url: String {
        let name = host.isEmpty || host == "::" ? "localhost" : host == "0.0.0.0" ? "127.0.0.1" : host
        return (certificate == nil ? "http://" : "https://") + (name.contains(":") ? "[\(name)]" : name) + ":\(port)"
    }

    /// Starts answering. Throws when the library doesn't start, for TLS mostly because of the certificate.
    public func start() throws(HTTPServerError) {
        let failure = phase.withLock { phase -> HTTPServerError? in
            guard case .bound(let descriptor) = phase else { return nil }
            guard core.watcher.start() else { return .cannotStart(listen: settings.listen) }
            guard let daemon = Daemon(descriptor, settings, certificate, core) else {
                core.watcher.requestStop()
                // The library has closed the socket; its number may be another's by now.
                phase = .stopped
                return certificate == nil
                    ? .cannotStart(listen: settings.listen)
                    : .badCertificate(reason: "certificate and key are not valid or don't fit")
            }
            phase = .running(daemon)
            return nil
        }
        if let failure { throw failure }
    }

    /// Stops accepting, lets running handlers finish for at most `stopSeconds`, then cancels them. Safe to call twice.
    ///
    /// - Parameter latest: when they are cancelled even if less has passed; nil: never earlier.
    public func stop(by latest: ContinuousClock.Instant? = nil) async {
        let old = phase.withLock { phase -> Phase in
            defer { phase = .stopped }
            return phase
        }
        switch old {
        case .stopped: return
        case .bound(let descriptor): close(descriptor)
        case .running(let daemon):
            core.beginStop()
            let clock = ContinuousClock()
            let patience = clock.now + .seconds(settings.stopSeconds)
            let deadline = min(patience, latest ?? patience)
            while core.runningCount > 0, clock.now < deadline {
                // A stop that is itself cancelled no longer waits.
                do { try await Task.sleep(for: .milliseconds(10)) } catch { break }
            }
            core.abortAll()
            await daemon.stop()
            await core.watcher.stop()
        }
    }

    private static func readCertificate(_ settings: HTTPServerSettings) throws(HTTPServerError) -> (chain: String, key: String)? {
        switch (settings.tlsCertificate, settings.tlsKey) {
        case (nil, nil): return nil
        case (let chain?, let key?): return (try readPEM(chain), try readPEM(key))
        default: throw .badCertificate(reason: "certificate and key are both needed")
        }
    }

    private static func readPEM(_ path: String) throws(HTTPServerError) -> String {
        guard let file = fopen(path, "re") else {
            throw .badCertificate(reason: "\(path): \(String(cString: strerror(errno)))")
        }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = fread(&bytes, 1, bytes.count, file)
        guard let text = String(validating: bytes[..<count], as: UTF8.self), text.contains("-----BEGIN") else {
            throw .badCertificate(reason: "\(path): not a PEM file")
        }
        return text
    }
}
