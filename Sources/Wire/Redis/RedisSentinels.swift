import Synchronization

/// The Sentinels that watch over a group of servers and know which of them is the master (Redis manual, "Sentinel clients").
public struct RedisSentinels: Sendable, Hashable {
    /// What the Sentinels call the group.
    public let master: String
    /// One that answers is enough.
    public let addresses: [RedisAddress]

    /// - Parameter addresses: at least one.
    public init(master: String, addresses: [RedisAddress]) {
        self.master = master
        self.addresses = addresses
    }

    /// A connection to the first Sentinel that knows the master, and where that is.
    func ask() throws(RedisError) -> SentinelAnswer {
        var reasons: [String] = []
        for address in addresses {
            do throws(RedisError) {
                let link = try RedisLink.connect(address)
                let endpoint = try master(by: link)
                return SentinelAnswer(master: endpoint, link: link)
            } catch {
                reasons.append("\(address.safeDescription): \(error.description)")
            }
        }
        throw .unavailable("no Sentinel knows the master \(master): \(reasons.joined(separator: "; "))")
    }

    func master(by link: borrowing RedisLink) throws(RedisError) -> RedisAddress.Endpoint {
        let answer = try link.answer(to: [RedisCommand("SENTINEL", "GET-MASTER-ADDR-BY-NAME", master)])[0]
        if case .error(let text) = answer { throw .unavailable(text) }
        guard let parts = answer.elements, parts.count == 2, let host = parts[0].text, let text = parts[1].text,
            let port = UInt16(text)
        else { throw .unavailable("knows no such master") }
        return .tcp(host: host, port: port)
    }
}

/// Where the master is, by a Sentinel.
struct SentinelAnswer: ~Copyable {
    let master: RedisAddress.Endpoint
    let link: RedisLink
}

/// Asks the Sentinels again and again where the master is and tells it to a loop: one that is cut off from its replicas, and from
/// the Sentinels that have made another one the master, would go on taking what is lost then.
final class SentinelWatch: RedisLoop {
    static let intervalMs = 1_000

    private let sentinels: RedisSentinels
    private let tell: @Sendable (RedisAddress.Endpoint) -> Void
    private let isStopping = Atomic(false)
    private let event = WakeEvent()

    /// - Parameter tell: called on the watch's own thread.
    init(_ sentinels: RedisSentinels, tell: @escaping @Sendable (RedisAddress.Endpoint) -> Void) {
        self.sentinels = sentinels
        self.tell = tell
    }

    /// Watches on a thread of its own; nil when the address names no Sentinels.
    static func start(_ address: RedisAddress, tell: @escaping @Sendable (RedisAddress.Endpoint) -> Void) -> SentinelWatch? {
        guard let sentinels = address.sentinels else { return nil }
        let watch = SentinelWatch(sentinels, tell: tell)
        startThread(watch)
        return watch
    }

    func stop() {
        isStopping.store(true, ordering: .relaxed)
        event.wake()
    }

    func run() {
        while !isEnding {
            // Where there is none to ask the loop can't connect either, and says so.
            try? follow()
            _ = event.wait(other: -1, timeoutMs: Self.intervalMs)
        }
    }

    private var isEnding: Bool { isStopping.load(ordering: .relaxed) }

    private func follow() throws(RedisError) {
        let answer = try sentinels.ask()
        tell(answer.master)
        while true {
            _ = event.wait(other: -1, timeoutMs: Self.intervalMs)
            if isEnding { return }
            tell(try sentinels.master(by: answer.link))
        }
    }
}

/// What a loop has heard of where the master is.
final class MasterNotice: Sendable {
    private let master = Mutex<RedisAddress.Endpoint?>(nil)

    /// - Returns: whether that is news.
    func hear(_ endpoint: RedisAddress.Endpoint) -> Bool {
        master.withLock { master in
            defer { master = endpoint }
            return master != endpoint
        }
    }

    /// What was heard before a connection was made is older than what that was made by.
    func connected(to endpoint: RedisAddress.Endpoint) { master.withLock { $0 = endpoint } }

    /// Throws when the master is another server than the one this leads to.
    func check(_ link: borrowing RedisLink) throws(RedisError) {
        let endpoint = link.endpoint
        if master.withLock({ $0 != endpoint }) { throw .unavailable("another server has become the master") }
    }
}
