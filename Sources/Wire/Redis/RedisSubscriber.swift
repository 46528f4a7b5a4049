import Log
import Synchronization

/// What a subscriber hears.
public enum RedisEvent: Sendable, Hashable {
    /// Subscribed, at first or again: what was published before was missed, so read the state afresh.
    case subscribed
    /// A message.
    case message(channel: String, payload: [UInt8])
    /// The connection is gone, and why; attempts go on.
    case lost(String)
}

/// Hears the messages of channels, over a connection of its own that comes back by itself.
public final class RedisSubscriber: Sendable {
    /// What is heard, in order; for one consumer. One that falls more than 4,096 events behind loses the oldest.
    public let events: AsyncStream<RedisEvent>
    private let loop: SubscriberLoop
    private let watch: SentinelWatch?

    /// Starts to connect and subscribe.
    public init(_ address: RedisAddress, channels: [String]) {
        let (events, continuation) = AsyncStream.makeStream(of: RedisEvent.self, bufferingPolicy: .bufferingNewest(4_096))
        self.events = events
        loop = SubscriberLoop(address, channels, continuation)
        startThread(loop)
        watch = SentinelWatch.start(address) { [loop] in loop.hearOfMaster($0) }
    }

    deinit {
        watch?.stop()
        loop.stop()
    }

    /// Ends the connection and its thread, and `events` with them.
    public func close() async {
        watch?.stop()
        await withCheckedContinuation { loop.stop($0) }
    }
}

/// The thread behind a `RedisSubscriber`.
final class SubscriberLoop: RedisLoop {
    private struct State {
        var isStopping = false
        var isDone = false
        var stopped: [CheckedContinuation<Void, Never>] = []
    }

    /// After this long without a message the server is asked whether it is there; after twice as long it counts as gone.
    static let silenceMs = 2_000

    private let address: RedisAddress
    private let channels: [String]
    private let events: AsyncStream<RedisEvent>.Continuation
    private let event = WakeEvent()
    private let notice = MasterNotice()
    private let state = Mutex(State())
    private let log = Logger("redis")

    init(_ address: RedisAddress, _ channels: [String], _ events: AsyncStream<RedisEvent>.Continuation) {
        self.address = address
        self.channels = channels
        self.events = events
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
        var isLost = false
        while !isStopping {
            do throws(RedisError) {
                let link = try RedisLink.connect(address)
                notice.connected(to: link.endpoint)
                try subscribe(link)
                backoff.reset()
                isLost = false
                events.yield(.subscribed)
                try listen(link)
            } catch {
                if !isLost {
                    log.warning("subscription is gone", ["server": address.safeDescription, "reason": error.description])
                    events.yield(.lost(error.description))
                }
                isLost = true
                _ = event.wait(other: -1, timeoutMs: backoff.delayMs())
            }
        }
        finish()
    }

    private var isStopping: Bool { state.withLock { $0.isStopping } }

    /// One command a channel, so that each has one answer.
    private func subscribe(_ link: borrowing RedisLink) throws(RedisError) {
        for value in try link.answer(to: channels.map { RedisCommand("SUBSCRIBE", $0) }) {
            if case .error(let text) = value { throw .unavailable(text) }
        }
    }

    private func listen(_ link: borrowing RedisLink) throws(RedisError) {
        var isAsked = false
        while !isStopping {
            try notice.check(link)
            while let message = try link.nextMessage() { tell(message) }
            if event.wait(other: link.descriptor, timeoutMs: Self.silenceMs) {
                try link.receive()
                isAsked = false
            } else if !isStopping {
                if isAsked { throw .unavailable("no answer in \(Self.silenceMs) ms") }
                try link.send(RedisCommand("PING"))
                isAsked = true
            }
        }
    }

    /// `["message", channel, payload]`; answers to `PING` are of no interest.
    private func tell(_ message: RedisValue) {
        guard let parts = message.elements, parts.count == 3, parts[0].text == "message", let channel = parts[1].text,
            let payload = parts[2].bytes
        else { return }
        events.yield(.message(channel: channel, payload: payload))
    }

    private func finish() {
        let stopped = state.withLock { state in
            state.isDone = true
            defer { state.stopped = [] }
            return state.stopped
        }
        events.finish()
        for waiter in stopped { waiter.resume() }
    }
}
