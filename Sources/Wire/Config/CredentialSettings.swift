import Cluster

/// `[auth]`: the same in both programs.
public struct CredentialSettings: Sendable, Hashable {
    /// One person who may log in.
    public struct Account: Sendable, Hashable {
        /// `username`.
        public var username: String
        /// `password`.
        public var password: String

        /// - Parameters:
        ///   - username: what is typed first.
        ///   - password: what is typed second.
        public init(username: String, password: String) {
            self.username = username
            self.password = password
        }
    }

    /// `tokens`: each opens everything.
    public var tokens: [String]
    /// `secret`: signs and checks JWTs (HS256); empty: JWTs are not accepted.
    public var secret: String
    /// `room_tokens`: stream name → the token that publishes and plays this stream alone.
    public var roomTokens: [String: String]
    /// `[[auth.accounts]]`: who may `POST /api/login`.
    public var accounts: [Account]
    /// `open`: no credential is meant to be needed, whatever address is listened on.
    public var isOpen: Bool
    /// `metrics`: `/metrics`, where names of streams and nodes stand, needs a credential, too.
    public var guardsMetrics: Bool

    /// Whether anything at all asks for a credential.
    public var isAnySet: Bool { !tokens.isEmpty || !secret.isEmpty || !roomTokens.isEmpty || !accounts.isEmpty }

    /// Reads `[auth]` and refuses to let everyone in by accident.
    public init(reading root: ConfigSection, listen: ListenAddress) {
        let auth = root.section("auth")
        tokens = auth.strings("tokens") { Self.wrong(inToken: $0) }
        secret = auth.string("secret")
        roomTokens = auth.pairs("room_tokens") { name, token in
            StreamName.isValid(name) ? Self.wrong(inToken: token) : "not a stream name"
        }
        accounts = []
        for section in auth.sections("accounts") {
            let account = Account(
                username: section.string("username") { $0.isEmpty ? "must not be empty" : nil },
                password: section.string("password") { $0.isEmpty ? "must not be empty" : nil })
            if !section.isSet("username") { section.problem("username", "must be set") }
            if !section.isSet("password") { section.problem("password", "must be set") }
            if accounts.contains(where: { $0.username == account.username }) { section.problem("username", "stands twice") }
            accounts.append(account)
        }
        isOpen = auth.flag("open", default: false)
        guardsMetrics = auth.flag("metrics", default: false)
        if !accounts.isEmpty, secret.isEmpty { auth.problem("accounts", "a login gives out a JWT: set auth.secret too") }
        if isOpen, isAnySet { auth.problem("open", "contradicts the credentials in [auth]: remove one or the other") }
        if guardsMetrics, !isAnySet { auth.problem("metrics", "nothing is set in [auth] that could be asked for") }
        if !isAnySet, !isOpen, !listen.isLoopback {
            root.problem(
                "http.listen",
                "\(listen) can be reached from other machines but nothing in [auth] is set:"
                    + " set auth.tokens, or auth.open = true to let everyone in")
        }
    }

    /// A token is sent in a header (RFC 6750 section 2.1), so it has no spaces or control characters.
    private static func wrong(inToken token: String) -> String? {
        if token.isEmpty { return "must not be empty" }
        return token.utf8.allSatisfy { (0x21...0x7E).contains($0) } ? nil : "must be visible ASCII without spaces"
    }
}
