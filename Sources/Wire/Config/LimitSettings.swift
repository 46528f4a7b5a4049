/// `[limits]`: the same in both programs. 0 means no limit.
public struct LimitSettings: Sendable, Hashable {
    /// `rate_rps`: requests a second of one client address, over time.
    public var rateRPS: Double
    /// `rate_burst`: requests of one client address at once.
    public var rateBurst: Int
    /// `max_subs_per_stream`: viewers of one stream.
    public var maxSubsPerStream: Int
    /// `max_sessions`: publishers and viewers together.
    public var maxSessions: Int
    /// `max_sessions_per_address`, of a node alone: sessions of one client address.
    public var maxSessionsPerAddress = 0
    /// `max_sessions_per_token`, of a node alone: sessions opened with one credential.
    public var maxSessionsPerToken = 0
    /// `max_connections_per_address`: HTTP connections of one client address at once.
    public var maxConnectionsPerAddress: Int

    /// Sessions of a node when nothing is set: 1.2 GB at 58 KB each. One address has a twentieth, more than the people of an office behind one
    /// NAT, and one credential half, as viewers often share one.
    private static let sessions = 20_000
    /// Connections of one address when nothing is set: a quarter of what the server takes in all. A browser holds six, so that an office of
    /// a hundred people behind one NAT is far below it.
    private static let connections = 1024

    /// Reads `[limits]`.
    /// - Parameters:
    ///   - root: the whole configuration.
    ///   - isNode: a node holds sessions, so it has limits by default, and some of its own.
    public init(reading root: ConfigSection, isNode: Bool = false) {
        let limits = root.section("limits")
        rateRPS = limits.number("rate_rps", default: 0, in: 0...1_000_000)
        rateBurst = limits.integer("rate_burst", default: 0, in: 0...1_000_000)
        maxSubsPerStream = limits.integer("max_subs_per_stream", default: 0, in: 0...1_000_000)
        maxSessions = limits.integer("max_sessions", default: isNode ? Self.sessions : 0, in: 0...1_000_000)
        maxConnectionsPerAddress = limits.integer("max_connections_per_address", default: Self.connections, in: 0...1_000_000)
        if isNode {
            maxSessionsPerAddress = limits.integer("max_sessions_per_address", default: Self.sessions / 20, in: 0...1_000_000)
            maxSessionsPerToken = limits.integer("max_sessions_per_token", default: Self.sessions / 2, in: 0...1_000_000)
        }
        if rateBurst > 0, rateRPS == 0 { limits.problem("rate_burst", "does nothing without limits.rate_rps") }
    }
}
