import CMicrohttpd
import Log

#if canImport(Glibc)
    import Glibc
#endif

/// What the library's callbacks reach: the router and the exchanges that run.
final class ServerCore: Sendable {
    private struct State {
        var exchanges: [UInt64: Exchange] = [:]
        var nextID: UInt64 = 0
        var isStopping = false
        /// New requests are given up at once: a connection left suspended would abort the library's stop.
        var isAborting = false
    }

    let settings: HTTPServerSettings
    let router: Router
    let watcher: ConnectionWatcher
    var isTLS: Bool { settings.tlsCertificate != nil }
    private let state = Locked(State())

    init(_ settings: HTTPServerSettings, router: Router, watcher: ConnectionWatcher) {
        (self.settings, self.router, self.watcher) = (settings, router, watcher)
    }

    var isStopping: Bool { state.withLock { $0.isStopping } }
    var runningCount: Int { state.withLock { $0.exchanges.count } }

    func nextID() -> UInt64 {
        state.withLock { state in
            state.nextID &+= 1
            return state.nextID
        }
    }

    func add(_ exchange: Exchange) {
        let isLate = state.withLock { state in
            state.exchanges[exchange.id] = exchange
            return state.isAborting
        }
        watcher.began(exchange)
        if isLate { exchange.abort() }
    }

    func remove(_ exchange: Exchange) {
        watcher.ended(exchange)
        exchange.abort()
        state.withLock { state in _ = state.exchanges.removeValue(forKey: exchange.id) }
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

/// Someone connects. A stopping server turns them away here: `MHD_quiesce_daemon` races with the library's own threads, and
/// aborts the process when it loses.
func onAccept(_ context: UnsafeMutableRawPointer?, _ address: UnsafePointer<sockaddr>?, _ size: socklen_t) -> MHD_Result {
    guard let context else { return .NO }
    return Unmanaged<ServerCore>.fromOpaque(context).takeUnretainedValue().isStopping ? .NO : .YES
}

/// A request line has been read.
func onTarget(
    _ context: UnsafeMutableRawPointer?, _ target: UnsafePointer<CChar>?, _ connection: OpaquePointer?
) -> UnsafeMutableRawPointer? {
    guard let context, let connection else { return nil }
    let core = Unmanaged<ServerCore>.fromOpaque(context).takeUnretainedValue()
    let exchange = Exchange(id: core.nextID(), target: target, connection: connection, core: core)
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
        // The watcher's number stands in for a pointer, so nothing has to be freed.
        socketContext.pointee = UnsafeMutableRawPointer(bitPattern: UInt(watcher.opened(cmicrohttpd_socket(connection))))
    } else {
        watcher.closed(UInt64(UInt(bitPattern: socketContext.pointee)))
    }
}

func onLog(_ context: UnsafeMutableRawPointer?, _ line: UnsafePointer<CChar>?) {
    guard let line else { return }
    Logger("http").debug(trimBlanks(String(cString: line).replacing("\n", with: "")))
}
