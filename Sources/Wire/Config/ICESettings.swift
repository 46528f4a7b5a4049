/// One STUN or TURN server that clients are told of.
public struct ICEServerSettings: Sendable, Hashable {
    /// `urls`: `stun:`, `stuns:`, `turn:` or `turns:` (RFC 7064, RFC 7065).
    public var urls: [String]
    /// `username`, TURN only.
    public var username: String
    /// `credential`, TURN only.
    public var credential: String

    /// A server from its parts.
    public init(urls: [String], username: String, credential: String) {
        (self.urls, self.username, self.credential) = (urls, username, credential)
    }

    /// Reads the array of tables `ice_servers` of a section.
    public static func all(reading section: ConfigSection) -> [ICEServerSettings] {
        section.sections("ice_servers").map { server in
            let urls = server.iceURLs()
            if urls.isEmpty { server.problem("urls", "must not be empty") }
            let result = ICEServerSettings(
                urls: urls, username: server.string("username"), credential: server.string("credential"))
            if urls.contains(where: { $0.hasPrefix("turn") }), result.username.isEmpty || result.credential.isEmpty {
                server.problem("urls", "a TURN server needs username and credential")
            }
            return result
        }
    }
}

/// TURN servers that share a secret with us (coturn's `use-auth-secret`): each client gets a name and a password that last for a while.
public struct CoturnSettings: Sendable, Hashable {
    /// `urls`: `turn:` or `turns:`, also `stun:`; empty: there is none.
    public var urls: [String]
    /// `secret`: coturn's `static-auth-secret`.
    public var secret: String
    /// `ttl`: seconds until a name and its password are void.
    public var ttlSeconds: Int

    /// Servers from their parts; see the properties.
    public init(urls: [String], secret: String, ttlSeconds: Int) {
        (self.urls, self.secret, self.ttlSeconds) = (urls, secret, ttlSeconds)
    }

    /// Reads the table `coturn` of a section.
    public init(reading section: ConfigSection) {
        let coturn = section.section("coturn")
        urls = coturn.iceURLs()
        secret = coturn.string("secret")
        ttlSeconds = coturn.integer("ttl", default: 3_600, in: 60...31_536_000)
        if urls.isEmpty != secret.isEmpty { coturn.problem(urls.isEmpty ? "urls" : "secret", "urls and secret go together") }
    }
}

extension ConfigSection {
    fileprivate func iceURLs() -> [String] {
        strings("urls") { Self.isICE($0) ? nil : "expected stun:host:port or turn:host:port" }
    }

    /// What matters here is that the text is safe in a `Link` header.
    private static func isICE(_ text: String) -> Bool {
        guard let colon = text.firstIndex(of: ":"), ["stun", "stuns", "turn", "turns"].contains(text[..<colon]) else {
            return false
        }
        let rest = text[text.index(after: colon)...]
        return !rest.isEmpty && rest.utf8.allSatisfy { (0x21...0x7E).contains($0) && !"<>\",;".utf8.contains($0) }
    }
}
