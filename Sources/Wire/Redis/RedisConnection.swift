import Log
import Synchronization

/// A connection for commands that comes back by itself.
///
/// hiredis blocks, so it runs on a thread of its own; callers await. Without a connection a command fails at once rather than
/// waiting, with one it is answered or fails within `RedisLink.timeoutMs`. Commands of one call are sent together and in order.
public final class RedisConnection: Sendable {
    private let loop: CommandLoop
    private let watch: SentinelWatch?

    /// Each change of the connection's state, from the first; for one consumer.
    public let statusUpdates: AsyncStream<RedisStatus>

    /// Starts to connect. Never throws: a server that is away is a state, not an error.
    public init(_ address: RedisAddress) {
        let (updates, continuation) = AsyncStream.makeStream(of: RedisStatus.self, bufferingPolicy: .bufferingNewest(64))
        statusUpdates = updates
        loop = CommandLoop(address, continuation)
        startThread(loop)
        watch = SentinelWatch.start(address) { [loop] in loop.hearOfMaster($0) }
    }

    deinit {
        watch?.stop()
        loop.stop()
    }

    /// The state now.
    public var status: RedisStatus { loop.status }

    /// Carries out one command.
    ///
    /// - Throws: `.unavailable` without a connection, `.refused` when the server answers with an error, `.overloaded`, `.closed`.
    public func send(_ command: RedisCommand) async throws(RedisError) -> RedisValue {
        let value = try await send([command])[0]
        if case .error(let text) = value { throw .refused(text) }
        return value
    }

    /// Carries out several commands in one go; the answers are in the same order, refusals as `RedisValue.error`.
    ///
    /// - Throws: `.unavailable`, `.overloaded`, `.closed`; then none, some or all have been carried out.
    public func send(_ commands: [RedisCommand]) async throws(RedisError) -> [RedisValue] {
        guard !commands.isEmpty else { return [] }
        let result = await withCheckedContinuation { loop.enqueue(CommandLoop.Request(commands: commands, continuation: $0)) }
        return try result.get()
    }

    /// Ends the connection and its thread; commands that wait fail with `.closed`.
    public func close() async {
        watch?.stop()
        await withCheckedContinuation { loop.stop($0) }
    }
}

/// The thread behind a `RedisConnection`.
final class CommandLoop: RedisLoop {
    struct Request: Sendable {
        let commands: [RedisCommand]
        let continuation: CheckedContinuation<Result<[RedisValue], RedisError>, Never>
    }

    private struct State {
        var status = RedisStatus.connecting
        var requests: [Request] = []
        var isStopping = false
        var isDone = false
        var stopped: [CheckedContinuation<Void, Never>] = []
    }

    static let requestsMax = 1_024

    private let address: RedisAddress
    private let updates: AsyncStream<RedisStatus>.Continuation
    private let event = WakeEvent()
    private let notice = MasterNotice()
    private let state = Mutex(State())
    private let log = Logger("redis")

    init(_ address: RedisAddress, _ updates: AsyncStream<RedisStatus>.Continuation) {
        self.address = address
        self.updates = updates
    }

    var status: RedisStatus { state.withLock { $0.status } }

    func enqueue(_ request: Request) {
        let refusal: RedisError? = state.withLock { state in
            if state.isStopping { return .closed }
            switch state.status {
            case .unavailable(let reason): return .unavailable(reason)
            case .connecting, .ready: break
            }
            if state.requests.count >= Self.requestsMax { return .overloaded }
            state.requests.append(request)
            return nil
        }
        if let refusal { request.continuation.resume(returning: .failure(refusal)) } else { event.wake() }
    }

    func stop(_ continuation: CheckedContinuation<Void, Never>? = nil) {
        let isDone = state.withLock { state in
            state.isStopping = true
            if !state.isDone, let continuation { state.stopped.append(continuation) }
            return state.isDone
        }
        if isDone { continuation?.resume() }
        event.wake()
    }

    func hearOfMaster(_ endpoint: RedisAddress.Endpoint) { if notice.hear(endpoint) { event.wake() } }

    func run() {
        var backoff = Backoff()
        while !isStopping {
            do throws(RedisError) {
                let link = try RedisLink.connect(address)
                notice.connected(to: link.endpoint)
                set(.ready)
                backoff.reset()
                try serve(link)
            } catch {
                fail(with: error)
                _ = event.wait(other: -1, timeoutMs: backoff.delayMs())
            }
        }
        finish()
    }

    private var isStopping: Bool { state.withLock { $0.isStopping } }

    /// Until told to stop or the connection breaks.
    private func serve(_ link: borrowing RedisLink) throws(RedisError) {
        while true {
            try notice.check(link)
            let (requests, isStopping) = state.withLock { state in
                defer { state.requests = [] }
                return (state.requests, state.isStopping)
            }
            if isStopping {
                // What was asked before `close` is still answered: a node takes its keys away on the way out.
                try answer(requests, link)
                return
            }
            if requests.isEmpty {
                // Nothing is asked, so all that can come is the end of the connection, or something of TLS's own.
                if event.wait(other: link.descriptor, timeoutMs: 60_000), try link.receive() {
                    throw .unavailable("the server says what nobody has asked")
                }
                continue
            }
            try answer(requests, link)
        }
    }

    private func answer(_ requests: [Request], _ link: borrowing RedisLink) throws(RedisError) {
        var isReplica = false
        for (index, request) in requests.enumerated() {
            do {
                let values = try link.answer(to: request.commands)
                request.continuation.resume(returning: .success(values))
                isReplica = isReplica || values.contains(where: \.tellsOfReplica)
            } catch {
                // First the state, so that a caller who got the error finds it told.
                set(.unavailable(error.description))
                for lost in requests[index...] { lost.continuation.resume(returning: .failure(error)) }
                throw error
            }
        }
        if isReplica { throw .unavailable("the server has become a replica") }
    }

    private func set(_ status: RedisStatus) {
        let isChange = state.withLock { state in
            defer { state.status = status }
            return state.status != status
        }
        guard isChange else { return }
        switch status {
        case .connecting: break
        case .ready: log.info("connected", ["server": address.safeDescription])
        case .unavailable(let reason): log.warning("not available", ["server": address.safeDescription, "reason": reason])
        }
        updates.yield(status)
    }

    private func fail(with error: RedisError) {
        set(.unavailable(error.description))
        let requests = state.withLock { state in
            defer { state.requests = [] }
            return state.requests
        }
        for request in requests { request.continuation.resume(returning: .failure(error)) }
    }

    private func finish() {
        let (requests, stopped) = state.withLock { state in
            state.isDone = true
            defer { (state.requests, state.stopped) = ([], []) }
            return (state.requests, state.stopped)
        }
        for request in requests { request.continuation.resume(returning: .failure(.closed)) }
        updates.finish()
        for waiter in stopped { waiter.resume() }
    }
}
