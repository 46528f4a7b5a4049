/// `[redis]`: the same in both programs.
public struct RedisSettings: Sendable, Hashable {
    /// `url`: `redis://[user:password@]host:port/db` or `unix:///path`; empty: no Redis.
    public var url: String
    /// `prefix` of all keys and channels.
    public var prefix: String

    /// - Parameter check: says what is wrong with a URL, without repeating it: it may hold a password.
    public init(reading root: ConfigSection, check: (String) -> String?) {
        let redis = root.section("redis")
        url = redis.string("url") { $0.isEmpty ? nil : check($0) }
        prefix = redis.string("prefix", default: "edge") { text in
            if text.isEmpty || text.utf8.count > 64 { return "must be 1 to 64 bytes" }
            return text.utf8.allSatisfy { (0x21...0x7E).contains($0) } ? nil : "must be visible ASCII without spaces"
        }
    }
}
