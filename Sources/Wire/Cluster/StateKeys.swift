/// The names of the cluster's keys and channel in Redis.
public struct StateKeys: Sendable, Hashable {
    /// What all names begin with, `redis.prefix`.
    public let prefix: String

    /// How long a node's keys live without a heartbeat; a coordinator calls the node lost then.
    public static let timeToLiveMs = 3_000
    /// How often a node writes them.
    public static let heartbeatMs = 1_000

    /// - Parameter prefix: `redis.prefix` of the configuration.
    public init(prefix: String) {
        self.prefix = prefix
    }

    /// After this much silence a node is taken for dead: two of its heartbeats are missing, and half of another.
    public static let silenceMs = 2_500

    /// Holds the `NodeRecord` of `alias`.
    public func node(_ alias: String) -> String { "\(prefix):node:\(alias)" }
    /// Holds the array of `StreamRecord` of `alias`.
    public func streams(_ alias: String) -> String { "\(prefix):streams:\(alias)" }
    /// Names the process that writes the keys of `alias`: its instance, a space, its URL.
    public func owner(_ alias: String) -> String { "\(prefix):owner:\(alias)" }
    /// Hash that tells which node a stream is published on: `node`, `credential`, `fence`.
    public func publisher(_ stream: String) -> String { "\(prefix):publisher:\(stream)" }
    /// Channel that carries the alias of a node whose keys have changed.
    public var changed: String { "\(prefix):changed" }
    /// `SCAN MATCH` pattern of all node keys; glob characters of the prefix are quoted.
    public var nodePattern: String {
        var quoted = ""
        for character in prefix {
            if "*?[]\\^-".contains(character) { quoted.append("\\") }
            quoted.append(character)
        }
        return "\(quoted):node:*"
    }

    /// The alias in a key made by `node(_:)`, or nil when it is some other key.
    public func alias(ofNodeKey key: String) -> String? {
        let start = "\(prefix):node:"
        guard key.hasPrefix(start) else { return nil }
        let alias = String(key.dropFirst(start.count))
        return NodeAlias.isValid(alias) ? alias : nil
    }
}
