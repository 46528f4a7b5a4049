import Cluster
import Log
import Redis

/// Which node of the cluster a stream is published on: a key in Redis for each stream, held by one node at a time.
///
/// Each holding has a number, larger than that of any before it (the fence): where two nodes say they have the stream, the larger
/// one is right. Numbers come from Redis's clock and never fall back when its data is lost. Without Redis nobody can be asked; then
/// a publisher is let in, and when Redis is back the first to ask keeps the stream.
public actor PublisherLock: StreamClaims {
    /// What changed with a heartbeat.
    public enum Change: Sendable, Equatable {
        /// Redis is back and has given the stream this fence.
        case fenced(stream: String, fence: Int64)
        /// Another node holds the stream now.
        case lost(stream: String, to: String)
    }

    private struct Holding {
        var ticket: Int
        var credential: String
        var fence: Int64
    }

    private let redis: RedisConnection
    private let keys: StateKeys
    private let alias: String
    private var holdings: [String: Holding] = [:]
    private var lastTicket = 0
    private let log = Logger("state")

    /// - Parameters:
    ///   - redis: the node's connection.
    ///   - keys: names of the cluster.
    ///   - alias: of this node.
    public init(redis: RedisConnection, keys: StateKeys, alias: String) {
        self.redis = redis
        self.keys = keys
        self.alias = alias
    }

    /// Asks for a stream.
    ///
    /// - Parameters:
    ///   - credential: what tells one client from another; who shows the holder's takes the stream over.
    ///   - isOverriding: take it over from anyone.
    public func acquire(_ stream: String, credential: String?, isOverriding: Bool) async -> StreamClaim {
        let credential = credential ?? ""
        lastTicket += 1
        let ticket = lastTicket
        let sent = try? await redis.send([asking(stream, credential, isOverriding)])
        switch sent?.first.map({ answer($0, stream) }) ?? .unknown {
        case .taken(let node): return .taken(by: node)
        case .held(let fence): return hold(stream, ticket, credential, fence)
        case .unknown: return hold(stream, ticket, credential, 0)
        }
    }

    private func hold(_ stream: String, _ ticket: Int, _ credential: String, _ fence: Int64) -> StreamClaim {
        holdings[stream] = Holding(ticket: ticket, credential: credential, fence: fence)
        return .held(ticket: ticket, fence: fence)
    }

    /// Gives a stream back, unless it was asked for again or taken over meanwhile.
    public func release(_ stream: String, ticket: Int) async {
        guard let holding = holdings[stream], holding.ticket == ticket else { return }
        holdings[stream] = nil
        guard holding.fence > 0 else { return }
        _ = try? await redis.send(
            RedisCommand(
                script: "if redis.call('HGET', KEYS[1], 'fence') == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0",
                keys: [keys.publisher(stream)], arguments: [Array(String(holding.fence).utf8)]))
    }

    /// Renews all holdings; called with each heartbeat.
    public func renew() async -> [Change] {
        let held = holdings.map { (stream: $0.key, holding: $0.value) }
        let commands = held.map { stream, holding in
            holding.fence > 0 ? keeping(stream, holding) : asking(stream, holding.credential, false)
        }
        guard let answers = try? await redis.send(commands) else { return [] }
        var changes: [Change] = []
        for (entry, value) in zip(held, answers) where holdings[entry.stream]?.ticket == entry.holding.ticket {
            switch answer(value, entry.stream) {
            case .held(let fence) where fence != entry.holding.fence:
                holdings[entry.stream]?.fence = fence
                changes.append(.fenced(stream: entry.stream, fence: fence))
            case .taken(let node):
                holdings[entry.stream] = nil
                changes.append(.lost(stream: entry.stream, to: node))
            case .held, .unknown: break
            }
        }
        return changes
    }

    private func asking(_ stream: String, _ credential: String, _ isOverriding: Bool) -> RedisCommand {
        let script = """
            local node = redis.call('HGET', KEYS[1], 'node')
            if node and node ~= ARGV[1] and ARGV[4] ~= '1'
                and (ARGV[2] == '' or redis.call('HGET', KEYS[1], 'credential') ~= ARGV[2]) then return node end
            local time = redis.call('TIME')
            local fence = time[1] * 1000000 + time[2]
            local last = tonumber(redis.call('HGET', KEYS[1], 'fence') or '0')
            if fence <= last then fence = last + 1 end
            redis.call('HSET', KEYS[1], 'node', ARGV[1], 'credential', ARGV[2], 'fence', string.format('%.0f', fence))
            redis.call('PEXPIRE', KEYS[1], ARGV[3])
            return fence
            """
        return command(script, stream, [alias, credential, String(StateKeys.timeToLiveMs), isOverriding ? "1" : "0"])
    }

    /// A key that Redis has lost is written again: nobody else has asked for the stream.
    private func keeping(_ stream: String, _ holding: Holding) -> RedisCommand {
        let script = """
            local node = redis.call('HGET', KEYS[1], 'node')
            if node and (node ~= ARGV[1] or redis.call('HGET', KEYS[1], 'fence') ~= ARGV[4]) then return node end
            redis.call('HSET', KEYS[1], 'node', ARGV[1], 'credential', ARGV[2], 'fence', ARGV[4])
            redis.call('PEXPIRE', KEYS[1], ARGV[3])
            return tonumber(ARGV[4])
            """
        let life = String(StateKeys.timeToLiveMs)
        return command(script, stream, [alias, holding.credential, life, String(holding.fence)])
    }

    private func command(_ script: String, _ stream: String, _ arguments: [String]) -> RedisCommand {
        RedisCommand(script: script, keys: [keys.publisher(stream)], arguments: arguments.map { Array($0.utf8) })
    }

    private enum Answer {
        case held(fence: Int64)
        case taken(by: String)
        case unknown
    }

    private func answer(_ value: RedisValue, _ stream: String) -> Answer {
        switch value {
        case .integer(let fence): return .held(fence: fence)
        case .bytes(let node): return .taken(by: String(decoding: node, as: UTF8.self))
        case .error(let reason): log.warning("no lock on a stream", ["stream": stream, "reason": reason])
        default: break
        }
        return .unknown
    }
}
