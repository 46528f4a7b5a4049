import Synchronization

/// The credentials a program knows; see `[auth]` of its configuration.
public struct AuthSettings: Sendable {
    /// Each opens everything.
    public var tokens: [String]
    /// Signs and checks JWTs; empty: none are accepted.
    public var secret: String
    /// Stream name → token that publishes and plays this stream.
    public var roomTokens: [String: String]
    /// User name → password, for login.
    public var accounts: [String: String]

    /// - Parameters:
    ///   - tokens: each opens everything.
    ///   - secret: signs and checks JWTs.
    ///   - roomTokens: stream name → token.
    ///   - accounts: user name → password.
    public init(tokens: [String] = [], secret: String = "", roomTokens: [String: String] = [:], accounts: [String: String] = [:])
    {
        self.tokens = tokens
        self.secret = secret
        self.roomTokens = roomTokens
        self.accounts = accounts
    }

    /// Nothing is set: every request may do everything.
    public var isOpen: Bool { tokens.isEmpty && secret.isEmpty && roomTokens.isEmpty && accounts.isEmpty }
}

/// What a request shows of itself: the values of its headers, nil when absent.
public struct Credentials: Sendable {
    /// `Authorization`.
    public var authorization: String?
    /// `X-Auth-Token`, the other carrier of a token.
    public var authToken: String?
    /// `X-Credential-Fingerprint`: a coordinator, which connects with its own token, tells with it whose request it passes on.
    /// Only believed from someone who may do everything.
    public var forwardedFingerprint: String?

    /// - Parameters:
    ///   - authorization: `Authorization`.
    ///   - authToken: `X-Auth-Token`.
    ///   - forwardedFingerprint: `X-Credential-Fingerprint`.
    public init(authorization: String? = nil, authToken: String? = nil, forwardedFingerprint: String? = nil) {
        self.authorization = authorization
        self.authToken = authToken
        self.forwardedFingerprint = forwardedFingerprint
    }

    /// What players without a key show, and JavaScript makes of none. It tells nobody from anybody.
    static let nobodys: Set<String> = ["", "undefined", "null"]

    /// Every token shown, the one of `Authorization: Bearer` (RFC 6750 section 2.1, scheme in any case) first.
    var tokens: [String] {
        var found: [String] = []
        if let authorization {
            let parts = authorization.split(separator: " ", maxSplits: 1)
            if parts.count == 2, parts[0].lowercased() == "bearer" {
                found.append(String(parts[1].drop { $0 == " " }))
            } else {
                // Another scheme is a credential too, just none that is ever valid here.
                found.append("")
            }
        }
        if let authToken { found.append(authToken) }
        return found
    }
}

/// Decides who may do what. Any thread; each decision is a pure function of the request and the time.
///
/// Other than live777: a secret alone closes the API too, an empty secret signs nothing, `*` is held to its mode, and
/// a stream's token may also change and end the sessions it started.
public final class Authorizer: Sendable {
    let settings: AuthSettings
    let used = Mutex(UsedGrants())
    private let attempts = Mutex(AttemptLimit())

    /// - Parameter settings: every credential that counts. Empty tokens and an empty secret match nothing.
    public init(_ settings: AuthSettings) {
        self.settings = settings
    }

    /// Nothing is set: every request may do everything.
    public var isOpen: Bool { settings.isOpen }

    /// Who is asking, when that may be done.
    ///
    /// - Parameter now: Unix seconds.
    /// - Throws: `.unauthorized` without a valid credential, `.forbidden` when none of those shown covers this.
    public func authorize(_ credentials: Credentials, for access: Access, now: Int64) throws(AuthFailure) -> Principal {
        let shown = credentials.tokens
        if settings.isOpen {
            let own = shown.first { !Credentials.nobodys.contains($0) }.map { fingerprint(of: $0) } ?? ""
            return Principal(id: "*", rights: .all, fingerprint: credentials.forwardedFingerprint ?? own)
        }
        if shown.isEmpty, case .session(let stream) = access { return Principal(id: stream, rights: []) }
        var isAnyValid = false
        for token in shown {
            guard let principal = principal(of: token, now: now) else { continue }
            isAnyValid = true
            guard principal.allows(access) else { continue }
            guard principal.allows(.cluster), let forwarded = credentials.forwardedFingerprint else { return principal }
            return Principal(id: principal.id, rights: principal.rights, fingerprint: forwarded)
        }
        throw isAnyValid ? .forbidden : .unauthorized
    }

    /// Every token is compared with every other, so the time tells nothing about which one was nearly right.
    private func principal(of token: String, now: Int64) -> Principal? {
        guard !token.isEmpty else { return nil }
        var found: Principal?
        for (stream, known) in settings.roomTokens where isSame(shown: token, secret: known) {
            found = Principal(id: stream, rights: [.publish, .subscribe], fingerprint: fingerprint(of: token))
        }
        for known in settings.tokens where isSame(shown: token, secret: known) {
            found = Principal(id: "*", rights: .all, fingerprint: fingerprint(of: token))
        }
        if let found { return found }
        guard let claims = TokenCodec(secret: settings.secret)?.claims(of: token, now: now) else { return nil }
        return Principal(id: claims.id, rights: Rights(rawValue: claims.mode), fingerprint: fingerprint(of: token))
    }
}

extension Authorizer {
    /// A day.
    static let loginSeconds: Int64 = 86_400
    /// A year, the longest a token lives.
    static let lifetimeSecondsMax: Int64 = 31_536_000

    /// A JWT for someone who knows an account's password: everything, for 24 hours.
    ///
    /// - Parameters:
    ///   - address: of the client, for counting wrong passwords.
    ///   - now: Unix seconds.
    /// - Throws: `.badRequest` when something is empty, `.unauthorized`, `.tooManyAttempts` after 10 failures in a
    ///   minute, `.noSecret`.
    public func login(_ request: LoginRequest, address: String, now: Int64) throws(AuthFailure) -> TokenResponse {
        guard !request.username.isEmpty, !request.password.isEmpty else {
            throw .badRequest("username and password must be given")
        }
        guard let codec = TokenCodec(secret: settings.secret) else { throw .noSecret }
        if let seconds = attempts.withLock({ $0.wait(address, now: now) }) { throw .tooManyAttempts(retryAfterSeconds: seconds) }
        var isKnown = false
        for (name, password) in settings.accounts {
            let isName = isSame(shown: request.username, secret: name)
            let isPassword = isSame(shown: request.password, secret: password)
            if isName, isPassword { isKnown = true }
        }
        guard isKnown, let token = codec.token(id: "*", rights: .all, now: now, lifetime: Self.loginSeconds) else {
            attempts.withLock { $0.fail(address, now: now) }
            throw .unauthorized
        }
        attempts.withLock { $0.succeed(address) }
        return TokenResponse(accessToken: token)
    }

    /// A JWT as asked for; the caller must have been authorized for `.cluster`.
    ///
    /// - Parameter now: Unix seconds.
    /// - Throws: `.badRequest` for a lifetime outside 1 s … 1 year, no id or no right; `.noSecret`.
    public func mint(_ request: TokenRequest, now: Int64) throws(AuthFailure) -> TokenResponse {
        guard !request.id.isEmpty, request.id.utf8.count <= 64 else { throw .badRequest("id must be a stream name or *") }
        guard (1...Self.lifetimeSecondsMax).contains(request.duration) else {
            throw .badRequest("duration must be 1 to \(Self.lifetimeSecondsMax) seconds")
        }
        guard !request.rights.isEmpty else { throw .badRequest("one of subscribe, publish and admin must be true") }
        guard let codec = TokenCodec(secret: settings.secret),
            let token = codec.token(id: request.id, rights: request.rights, now: now, lifetime: request.duration)
        else { throw .noSecret }
        return TokenResponse(accessToken: token)
    }
}
