import Cluster
import Redis

/// Two nodes were given one name.
public struct AliasClash: Error, Sendable, Hashable, CustomStringConvertible {
    /// The name.
    public let alias: String
    /// Where the node that has it says it is.
    public let url: String

    /// One line for the operator.
    public var description: String {
        "node.alias: another node is called \(alias), at \(url); give each node an alias of its own"
    }
}

/// The steps on a node's keys that must not be torn apart. Each is one script: whoever owns the alias writes, nobody else.
enum AliasScript {
    /// Writes both records unless another process owns the alias; then its owner and what is left of its time to live.
    /// - Parameter isNews: tell the channel. Who reads the keys all the same needs no word for each heartbeat.
    static func write(
        _ keys: StateKeys, alias: String, owner: String, node: [UInt8], streams: [UInt8], isNews: Bool
    ) -> RedisCommand {
        RedisCommand(
            script: """
                local owner = redis.call('GET', KEYS[1])
                if owner and owner ~= ARGV[1] then return {owner, redis.call('PTTL', KEYS[1])} end
                redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4])
                redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4])
                redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[4])
                if ARGV[7] == '1' then redis.call('PUBLISH', ARGV[5], ARGV[6]) end
                return 1
                """, keys: [keys.owner(alias), keys.node(alias), keys.streams(alias)],
            arguments: [
                Array(owner.utf8), node, streams, Array(String(StateKeys.timeToLiveMs).utf8), Array(keys.changed.utf8),
                Array(alias.utf8), isNews ? [0x31] : [0x30],
            ])
    }

    /// Ends the ownership of a process that fell silent, unless it has changed hands meanwhile.
    static func succeed(_ key: String, owner: String) -> RedisCommand {
        RedisCommand(
            script: "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0",
            keys: [key], arguments: [Array(owner.utf8)])
    }

    /// Takes the keys away if they are still ours.
    static func remove(_ keys: StateKeys, alias: String, owner: String) -> RedisCommand {
        RedisCommand(
            script: """
                if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
                redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
                redis.call('PUBLISH', ARGV[2], ARGV[3])
                return 1
                """, keys: [keys.owner(alias), keys.node(alias), keys.streams(alias)],
            arguments: [Array(owner.utf8), Array(keys.changed.utf8), Array(alias.utf8)])
    }
}
