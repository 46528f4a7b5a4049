/// `[redis]`: the same in both programs.
public struct RedisSettings: Sendable, Hashable {
    /// `url`: `redis://[user:password@]host:port/db`, the same with `rediss` for TLS, or `unix:///path`.
    public var url: String
    /// `prefix` of all keys and channels.
    public var prefix: String
    /// `sentinels`: `host:port` or a URL each; then they say where the server is, and `url` only who we are there.
    public var sentinels: [String]
    /// `master`: what the Sentinels call the servers.
    public var master: String
    /// `tls_ca`: file of the certificates that servers are trusted by; empty: the system's.
    public var tlsAuthority: String
    /// `tls_cert`: file of our certificate, for servers that want one; empty: none.
    public var tlsCertificate: String
    /// `tls_key`: file of its key.
    public var tlsKey: String

    /// Whether there is a Redis at all.
    public var isEnabled: Bool { !url.isEmpty || !sentinels.isEmpty }

    /// - Parameters:
    ///   - check: says what is wrong with a URL, without repeating it: it may hold a password.
    ///   - checkSentinel: the same for one of `sentinels`.
    public init(reading root: ConfigSection, check: (String) -> String?, checkSentinel: (String) -> String?) {
        let redis = root.section("redis")
        url = redis.string("url") { $0.isEmpty ? nil : check($0) }
        prefix = redis.string("prefix", default: "edge") { text in
            if text.isEmpty || text.utf8.count > 64 { return "must be 1 to 64 bytes" }
            return text.utf8.allSatisfy { (0x21...0x7E).contains($0) } ? nil : "must be visible ASCII without spaces"
        }
        sentinels = redis.strings("sentinels") { checkSentinel($0) }
        master = redis.string("master", default: "mymaster") { $0.isEmpty ? "must not be empty" : nil }
        tlsAuthority = redis.string("tls_ca")
        tlsCertificate = redis.string("tls_cert")
        tlsKey = redis.string("tls_key")
        if !tlsCertificate.isEmpty, tlsKey.isEmpty { redis.problem("tls_cert", "needs redis.tls_key too") }
        if !tlsKey.isEmpty, tlsCertificate.isEmpty { redis.problem("tls_key", "needs redis.tls_cert too") }
        if !isTLS, let key = ["tls_ca", "tls_cert", "tls_key"].first(where: redis.isSet), !redis.string(key).isEmpty {
            redis.problem(key, "says nothing without rediss://")
        }
    }

    private var isTLS: Bool { ([url] + sentinels).contains { $0.hasPrefix("rediss://") } }

    /// Files readable.
    public func check(_ machine: ConfigChecks) {
        for (key, path) in [("tls_ca", tlsAuthority), ("tls_cert", tlsCertificate), ("tls_key", tlsKey)] where !path.isEmpty {
            machine.readable(file: path, key: "redis.\(key)")
        }
    }
}
