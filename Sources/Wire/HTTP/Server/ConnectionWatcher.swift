import CMicrohttpd
import Log

#if canImport(Glibc)
    import Glibc
#endif

/// Watches what the library does not: headers and bodies that trickle in, clients that vanish while their connection is suspended,
/// and closed connections whose client is still sending. One thread with an epoll of its own.
///
/// A descriptor is only touched under the lock while its record exists, and the library reports a connection's end before it closes
/// the descriptor, so a reused number is never hit.
final class ConnectionWatcher: Sendable {
    /// A connection that was answered before its body was read. Closing it with bytes unread would reset it, and the reset could
    /// destroy the answer on its way (RFC 9112 section 9.6), so the bytes are read away for a while.
    struct Lingering {
        let descriptor: Int32
        let deadlineNs: UInt64
        var budget: Int
    }

    struct State {
        var connections: [UInt64: WatchedConnection] = [:]
        /// How many connections each network that is counted has.
        var perNetwork: [String: Int] = [:]
        var lingering: [UInt64: Lingering] = [:]
        var sockets: [UInt64: any WatchedSocket] = [:]
        /// Sockets with something to do besides their descriptor's events.
        var woken: Set<UInt64> = []
        var nextID: UInt64 = 1
        var lastTickNs: UInt64 = 0
        var isStopping = false
        var isRunning = false
        var stopper: CheckedContinuation<Void, Never>?
    }

    static let tickMs: Int32 = 250
    private static let lingeringMax = 256
    private static let lingerNs: UInt64 = 5_000_000_000
    /// How long a client that sends no more may wait for a handler; most such clients are gone.
    private static let halfClosedGraceNs: UInt64 = 1_000_000_000
    private static let lingerBytes = 64 << 20
    /// A body that comes in for longer than `bodySeconds` is cut off when it is slower than this in the long run.
    private static let bodyBytesPerSecondMin: UInt64 = 16 << 10

    private let epoll: Int32
    private let wakeup: Int32
    private let headerNs: UInt64
    private let bodyNs: UInt64
    private let idleNs: UInt64
    private let settings: HTTPServerSettings
    let state = Locked(State())

    /// Nil when the system has no descriptor left.
    init?(_ settings: HTTPServerSettings) {
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        wakeup = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        headerNs = UInt64(max(1, settings.headerSeconds)) * 1_000_000_000
        bodyNs = UInt64(max(1, settings.bodySeconds)) * 1_000_000_000
        idleNs = UInt64(max(1, settings.idleSeconds)) * 1_000_000_000
        self.settings = settings
        guard epoll >= 0, wakeup >= 0, control(EPOLL_CTL_ADD, wakeup, EPOLLIN.rawValue, 0) else {
            close(epoll)
            close(wakeup)
            return nil
        }
    }

    deinit {
        close(epoll)
        close(wakeup)
    }

    // MARK: Thread

    func start() -> Bool {
        state.withLock { $0.isRunning = true }
        let isStarted = BlockingThread.start { [self] in run() }
        if !isStarted { state.withLock { $0.isRunning = false } }
        return isStarted
    }

    /// Ends the thread and waits for it. The library's daemon must have stopped before.
    func stop() async {
        await withCheckedContinuation { continuation in
            let isDone = state.withLock { state -> Bool in
                state.isStopping = true
                if state.isRunning { state.stopper = continuation }
                return !state.isRunning
            }
            if isDone { continuation.resume() } else { wake() }
        }
    }

    /// Ends the thread without waiting.
    func requestStop() {
        state.withLock { $0.isStopping = true }
        wake()
    }

    func wake() { eventfd_write(wakeup, 1) }

    private func run() {
        var events = [epoll_event](repeating: epoll_event(), count: 64)
        while !state.withLock({ $0.isStopping }) {
            let count = epoll_wait(epoll, &events, Int32(events.count), Self.tickMs)
            for event in events.prefix(Int(max(0, count))) { handle(event.data.u64, event.events) }
            let now = Self.now()
            if state.withLock({ now >= $0.lastTickNs + UInt64(Self.tickMs) * 1_000_000 }) { tick(now) }
        }
        let stopper = state.withLock { state in
            for lingering in state.lingering.values { close(lingering.descriptor) }
            state.lingering = [:]
            state.isRunning = false
            return state.stopper.take()
        }
        stopper?.resume()
    }

    private func handle(_ id: UInt64, _ events: UInt32) {
        if id == 0 {
            var value: eventfd_t = 0
            eventfd_read(wakeup, &value)
            let woken = state.withLock { state in
                defer { state.woken = [] }
                return state.woken.compactMap { state.sockets[$0] }
            }
            for socket in woken { socket.wakened() }
            return
        }
        if let socket = state.withLock({ $0.sockets[id] }) { return socket.ready(events) }
        if drain(id) { return }
        let isReset = events & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0
        let now = Self.now()
        let connection = state.withLock { $0.connections[id] }
        let exchange = connection?.state.withLock { state -> Exchange? in
            state.halfClosedNs = now
            switch state.phase {
            case .busy(let exchange): return exchange
            case .idle:
                // The library waits for the rest of a request line even when no more can come.
                state.headerDeadlineNs = now + Self.halfClosedGraceNs
                return nil
            case .answering, .upgraded: return nil
            }
        }
        exchange?.clientLeft(isReset: isReset)
    }

    /// Reads a lingering connection empty; false when `id` is none.
    private func drain(_ id: UInt64) -> Bool {
        state.withLock { state in
            guard var lingering = state.lingering[id] else { return false }
            let isOver = withUnsafeTemporaryAllocation(byteCount: 65536, alignment: 1) { buffer -> Bool in
                while lingering.budget > 0 {
                    let count = cmicrohttpd_receive_now(lingering.descriptor, buffer.baseAddress, buffer.count)
                    if count < 0 { return errno != EAGAIN && errno != EINTR }
                    if count == 0 { return true }
                    lingering.budget -= count
                }
                return true
            }
            state.lingering[id] = isOver ? nil : lingering
            if isOver { close(lingering.descriptor) }
            return true
        }
    }

    private func tick(_ now: UInt64) {
        let (sockets, slow, left) = state.withLock { state -> ([any WatchedSocket], Int, [Exchange]) in
            let elapsed = state.lastTickNs == 0 ? 0 : now - state.lastTickNs
            state.lastTickNs = now
            for (id, lingering) in state.lingering where now >= lingering.deadlineNs {
                close(lingering.descriptor)
                state.lingering[id] = nil
            }
            let slow = state.connections.values.filter { isTooSlow($0, now, elapsed) }
            // Not close: the descriptor is the library's, which sees the end of the stream and closes.
            for connection in slow { cmicrohttpd_break(connection.descriptor) }
            let left = state.connections.values.compactMap { connection in
                connection.state.withLock { state -> Exchange? in
                    guard case .busy(let exchange) = state.phase, let since = state.halfClosedNs else { return nil }
                    return now - since > Self.halfClosedGraceNs ? exchange : nil
                }
            }
            return (Array(state.sockets.values), slow.count, left)
        }
        for exchange in left { exchange.abortUnanswered() }
        if slow > 0 { Logger("http").debug("slow clients were cut off", ["count": "\(slow)"]) }
        for socket in sockets { socket.tick(now) }
    }

    private func isTooSlow(_ connection: WatchedConnection, _ now: UInt64, _ elapsed: UInt64) -> Bool {
        connection.state.withLock { state in
            switch state.phase {
            case .idle:
                if state.isBetweenRequests { lookForNext(connection.descriptor, &state, now) }
                return now >= state.headerDeadlineNs
            case .busy(let exchange):
                guard let received = exchange.receivedWhileRoom() else { return false }
                state.receivingNs += elapsed
                let late = state.receivingNs > bodyNs ? (state.receivingNs - bodyNs) / 1_000_000_000 : 0
                return late > received / Self.bodyBytesPerSecondMin
            case .answering, .upgraded: return false
            }
        }
    }

    /// A byte more than at the last look is of a request line: from now on the header has to come, and not only some silence to end.
    /// The first look is here and not when the request before ended, where it would be a system call for each request.
    private func lookForNext(_ descriptor: Int32, _ state: inout WatchedConnection.State, _ now: UInt64) {
        let received = cmicrohttpd_bytes_received(descriptor)
        if let before = state.bytesBefore, received != before {
            state.isBetweenRequests = false
            state.headerDeadlineNs = min(state.headerDeadlineNs, now + headerNs)
        }
        state.bytesBefore = received
    }

    // MARK: Connections, on the library's threads

    func opened(_ raw: OpaquePointer) -> WatchedConnection {
        let connection = WatchedConnection(id: reserveID(), raw, headerDeadlineNs: Self.now() + headerNs, settings)
        state.withLock { state in
            state.connections[connection.id] = connection
            if let network = connection.countedNetwork { state.perNetwork[network, default: 0] += 1 }
            control(EPOLL_CTL_ADD, connection.descriptor, EPOLLRDHUP.rawValue | EPOLLET.rawValue, connection.id)
        }
        return connection
    }

    func closed(_ connection: WatchedConnection) {
        let (id, lingers) = (connection.id, connection.state.withLock { $0.lingers })
        state.withLock { state in
            guard state.connections.removeValue(forKey: id) != nil else { return }
            if let network = connection.countedNetwork, let count = state.perNetwork[network] {
                state.perNetwork[network] = count > 1 ? count - 1 : nil
            }
            control(EPOLL_CTL_DEL, connection.descriptor, 0, 0)
            guard lingers, !state.isStopping, state.lingering.count < Self.lingeringMax else { return }
            let own = fcntl(connection.descriptor, F_DUPFD_CLOEXEC, 0)
            guard own >= 0 else { return }
            cmicrohttpd_end_sending(own)
            let deadline = Self.now() + Self.lingerNs
            state.lingering[id] = Lingering(descriptor: own, deadlineNs: deadline, budget: Self.lingerBytes)
            control(EPOLL_CTL_ADD, own, EPOLLIN.rawValue | EPOLLRDHUP.rawValue, id)
        }
    }

    /// Whether one more connection from an address is let in. The library's own limit knows no exceptions.
    func admits(_ address: String) -> Bool {
        guard settings.maxConnectionsPerAddress > 0, let network = settings.countedNetwork(of: address) else { return true }
        return state.withLock { $0.perNetwork[network] ?? 0 } < settings.maxConnectionsPerAddress
    }

    /// A request line is complete, so the rest of the header has to come soon. Where its bytes came faster than the watcher looks, this is
    /// the first that is seen of them.
    func began(_ connection: WatchedConnection) {
        let deadlineNs = Self.now() + headerNs
        connection.state.withLock { state in
            state.isBetweenRequests = false
            state.headerDeadlineNs = min(state.headerDeadlineNs, deadlineNs)
        }
    }

    /// A request has come that is answered without waiting.
    func answering(_ connection: WatchedConnection) { connection.state.withLock { $0.phase = .answering } }

    /// A request has come whose handler may wait.
    func began(_ exchange: Exchange) {
        exchange.socket.state.withLock { state in
            state.phase = .busy(exchange)
            state.receivingNs = 0
        }
    }

    func ended(_ connection: WatchedConnection) {
        let now = Self.now()
        connection.state.withLock { state in
            state.phase = .idle
            (state.isBetweenRequests, state.bytesBefore) = (true, nil)
            state.headerDeadlineNs = now + (state.halfClosedNs == nil ? idleNs + headerNs : Self.halfClosedGraceNs)
        }
    }

    func upgraded(_ connection: WatchedConnection) {
        state.withLock { _ in
            connection.state.withLock { $0.phase = .upgraded }
            control(EPOLL_CTL_DEL, connection.descriptor, 0, 0)
        }
    }

    /// The answer goes out before the body was read.
    func lingerWhenClosed(_ connection: WatchedConnection) { connection.state.withLock { $0.lingers = true } }

    // MARK: WebSockets

    func reserveID() -> UInt64 {
        state.withLock { state in
            defer { state.nextID += 1 }
            return state.nextID
        }
    }

    func add(_ id: UInt64, _ socket: any WatchedSocket, _ descriptor: Int32) {
        state.withLock { state in
            state.sockets[id] = socket
            control(EPOLL_CTL_ADD, descriptor, EPOLLIN.rawValue, id)
        }
    }

    /// Calls `wakened` of a socket soon, on the watcher's thread.
    func wake(_ id: UInt64) {
        state.withLock { state in _ = state.woken.insert(id) }
        wake()
    }

    func watch(_ id: UInt64, _ descriptor: Int32, reads: Bool, writes: Bool) {
        control(EPOLL_CTL_MOD, descriptor, (reads ? EPOLLIN.rawValue : 0) | (writes ? EPOLLOUT.rawValue : 0), id)
    }

    func remove(_ id: UInt64, _ descriptor: Int32) {
        state.withLock { state in
            state.sockets[id] = nil
            control(EPOLL_CTL_DEL, descriptor, 0, 0)
        }
    }

    @discardableResult
    private func control(_ operation: Int32, _ descriptor: Int32, _ events: UInt32, _ id: UInt64) -> Bool {
        var event = epoll_event()
        event.events = events
        event.data.u64 = id
        return epoll_ctl(epoll, operation, descriptor, &event) == 0
    }

    /// Monotonic nanoseconds.
    static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// A socket that the watcher's thread serves; all calls come from that thread.
protocol WatchedSocket: AnyObject, Sendable {
    /// The descriptor is readable, writable or broken.
    func ready(_ events: UInt32)
    /// Some task has something to send.
    func wakened()
    /// Time passes.
    func tick(_ nowNs: UInt64)
}
