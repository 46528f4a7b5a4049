import CMicrohttpd

#if canImport(Glibc)
    import Glibc
#endif

/// One upgraded connection: its session runs on the watcher's thread, the handler's closure in a task.
final class WebSocketConnection: WatchedSocket {
    private struct Link: @unchecked Sendable {  // why: only touched under the lock that holds it.
        let descriptor: Int32
        let handle: OpaquePointer
        let session: WebSocketSession
    }

    private static let queueBytes = 256 << 10

    let socket: WebSocket
    private let id: UInt64
    private let core: ServerCore
    private let body: @Sendable (WebSocket) async throws -> Void
    private let link = Locked<Link?>(nil)
    private let task = Locked<Task<Void, Never>?>(nil)

    init(core: ServerCore, body: @escaping @Sendable (WebSocket) async throws -> Void) {
        let watcher = core.watcher
        let id = watcher.reserveID()
        (self.core, self.body, self.id) = (core, body, id)
        socket = WebSocket(
            incoming: BytePipe(capacity: Self.queueBytes) { watcher.wake(id) },
            outgoing: BytePipe(capacity: Self.queueBytes) { watcher.wake(id) })
    }

    /// The library has sent the answer and hands the socket over; on its thread.
    func upgraded(_ descriptor: Int32, _ handle: OpaquePointer, early: [UInt8]) {
        let session = WebSocketSession(
            descriptor: descriptor, socket: socket, early: early, messageBytesMax: core.settings.webSocketMessageBytes,
            nowNs: ConnectionWatcher.now())
        guard let session else { return cmicrohttpd_upgrade_close(handle) }
        link.withLock { $0 = Link(descriptor: descriptor, handle: handle, session: session) }
        core.watcher.add(id, self, descriptor)
        let running = Task { [socket, body] in
            do {
                try await body(socket)
                socket.close(.normal)
            } catch is WebSocket.Broken {
                socket.close(.normal)
            } catch is CancellationError {
                socket.close(.goingAway)
            } catch {
                socket.close(.internalError)
            }
            // What the client still sends must not fill the queue, or its goodbye would wait behind it.
            do { while try await socket.incoming.read() != nil {} } catch {}
        }
        task.withLock { $0 = running }
        core.watcher.wake(id)
    }

    /// The server stops: say so, and let the closure end.
    func goAway() {
        socket.close(.goingAway)
        task.withLock { $0 }?.cancel()
    }

    // MARK: WatchedSocket

    func ready(_ events: UInt32) { service() }
    func wakened() { service() }
    func tick(_ nowNs: UInt64) { service() }

    private func service() {
        let now = ConnectionWatcher.now()
        let outcome = link.withLock { link in link.map { ($0.descriptor, $0.session.service(now)) } }
        switch outcome {
        case (let descriptor, .open(let reads, let writes))?:
            core.watcher.watch(id, descriptor, reads: reads, writes: writes)
        case (_, .closed)?: end(nil)
        case (_, .broken)?: end(WebSocket.Broken())
        case nil: break
        }
    }

    /// Gives the socket back to the library, which closes it.
    func end(_ error: (any Error)?) {
        guard let link = link.withLock({ $0.take() }) else { return }
        core.watcher.remove(id, link.descriptor)
        if let error { socket.incoming.fail(error) } else { socket.incoming.finish() }
        socket.outgoing.fail(error ?? WebSocket.Broken())
        if error != nil { task.withLock { $0 }?.cancel() }
        cmicrohttpd_upgrade_close(link.handle)
    }
}

/// The library has switched protocols.
func onUpgrade(
    _ context: UnsafeMutableRawPointer?, _ connection: OpaquePointer?, _ requestContext: UnsafeMutableRawPointer?,
    _ early: UnsafePointer<CChar>?, _ earlyCount: Int, _ socket: Int32, _ handle: OpaquePointer?
) {
    guard let requestContext, let handle else { return }
    let exchange = Unmanaged<Exchange>.fromOpaque(requestContext).takeUnretainedValue()
    guard let webSocket = exchange.state.withLock({ $0.webSocket }) else { return cmicrohttpd_upgrade_close(handle) }
    exchange.core.watcher.upgraded(exchange.socket)
    // The client's delayed acknowledgement would hold each small message back for 40 ms.
    if let connection { cmicrohttpd_no_delay(cmicrohttpd_socket(connection)) }
    webSocket.upgraded(socket, handle, early: Array(UnsafeRawBufferPointer(start: early, count: early == nil ? 0 : earlyCount)))
}
