import Auth
import Config
import HTTP

extension HTTPServerSettings {
    /// `[http]` as the server takes it, with what `[limits]` says of connections.
    public init(_ http: ListenSettings, _ limits: LimitSettings) {
        self.init(listen: http.listen.description)
        tlsCertificate = http.isTLS ? http.tlsCert : nil
        tlsKey = http.isTLS ? http.tlsKey : nil
        cors = CORS(http.corsOrigins)
        maxBody = http.maxBody
        let proxies = http.trustedProxies
        isTrustedProxy = { address in proxies.contains { $0.contains(address) } }
        // Whoever is on this machine or passes on what others ask is not one client.
        countsAddress = { address in !ClientNetwork.isLoopback(address) && !proxies.contains { $0.contains(address) } }
        maxConnectionsPerAddress = limits.maxConnectionsPerAddress
    }
}

extension CORS {
    /// `http.cors`: `*` lets everyone in, no origin nobody.
    init(_ origins: [String]) {
        self = origins.isEmpty ? .off : origins.contains("*") ? .any : .origins(origins)
    }
}

extension AuthSettings {
    /// `[auth]` as the authorizer takes it.
    public init(_ auth: CredentialSettings) {
        self.init(
            tokens: auth.tokens, secret: auth.secret, roomTokens: auth.roomTokens,
            accounts: Dictionary(auth.accounts.map { ($0.username, $0.password) }, uniquingKeysWith: { first, _ in first }))
    }
}

extension Router {
    /// What stands before every route: counting, and the rate of `[limits]` when there is one.
    public mutating func use(_ requests: RequestMetrics, _ limits: LimitSettings) {
        use(requests)
        guard limits.rateRPS > 0 else { return }
        use(RateLimiter(perSecond: limits.rateRPS, burst: limits.rateBurst))
    }
}
