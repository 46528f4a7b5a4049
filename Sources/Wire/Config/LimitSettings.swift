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
    /// `max_connections_per_address`: HTTP connections of one client address at once.
    public var maxConnectionsPerAddress: Int

    /// Reads `[limits]`.
    public init(reading root: ConfigSection) {
        let limits = root.section("limits")
        rateRPS = limits.number("rate_rps", default: 0, in: 0...1_000_000)
        rateBurst = limits.integer("rate_burst", default: 0, in: 0...1_000_000)
        maxSubsPerStream = limits.integer("max_subs_per_stream", default: 0, in: 0...1_000_000)
        maxSessions = limits.integer("max_sessions", default: 0, in: 0...1_000_000)
        maxConnectionsPerAddress = limits.integer("max_connections_per_address", default: 0, in: 0...1_000_000)
        if rateBurst > 0, rateRPS == 0 { limits.problem("rate_burst", "does nothing without limits.rate_rps") }
    }
}
