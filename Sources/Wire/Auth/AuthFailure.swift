/// Why a request is not let in. Carries its HTTP status; the messages tell nothing about which credential exists.
public enum AuthFailure: Error, Sendable, Hashable {
    /// No credential, or one that isn't valid (401; answer with `WWW-Authenticate: Bearer`).
    case unauthorized
    /// A valid credential that doesn't cover this (403).
    case forbidden
    /// Too many wrong passwords from one address (429).
    case tooManyAttempts(retryAfterSeconds: Int)
    /// A request for a token that can't be meant (400).
    case badRequest(String)
    /// This program gives out no tokens, because `auth.secret` isn't set (501).
    case noSecret

    /// HTTP status.
    public var status: Int {
        switch self {
        case .unauthorized: 401
        case .forbidden: 403
        case .tooManyAttempts: 429
        case .badRequest: 400
        case .noSecret: 501
        }
    }

    /// For the `error` field of the answer.
    public var message: String {
        switch self {
        case .unauthorized: "unauthorized"
        case .forbidden: "forbidden"
        case .tooManyAttempts: "too many attempts"
        case .badRequest(let reason): reason
        case .noSecret: "auth.secret is not set, so there are no tokens to give out"
        }
    }
}
