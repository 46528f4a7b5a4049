import Auth
import HTTP

/// Asks the authorizer about a request and gives its refusals their HTTP form (RFC 6750 section 3). Any thread.
public struct Gate: Sendable {
    /// Knows the credentials.
    public let authorizer: Authorizer

    /// - Parameter authorizer: knows the credentials.
    public init(_ authorizer: Authorizer) { self.authorizer = authorizer }

    /// What a token in the query is called: ours, and that of RFC 6750 section 2.3.
    public static let queryNames = ["token", "access_token"]

    /// Who asks, when that may be done.
    ///
    /// - Parameter mayStandInQuery: whether the token may also be in the query, see `queryNames`, or a signature in its place, see
    ///   `LinkSignature`, for players that can't set a header.
    /// - Throws: 401, 403 or 429.
    @discardableResult
    public func check(_ request: HTTPRequest, _ access: Access, mayStandInQuery: Bool = false) throws(HTTPError) -> Principal {
        var credentials = Credentials(request)
        let now = WallClock.seconds()
        if mayStandInQuery, credentials.authorization == nil {
            if credentials.authToken == nil, let principal = linked(request, access, now: now) { return principal }
            if let token = Self.queryNames.lazy.compactMap({ request.query.first($0) }).first {
                credentials.authorization = "Bearer \(token)"
            }
        }
        do throws(AuthFailure) {
            return try authorizer.authorize(credentials, for: access, now: now)
        } catch {
            throw HTTPError(error)
        }
    }
}

extension Credentials {
    /// What a request shows in its headers.
    public init(_ request: HTTPRequest) {
        self.init(
            authorization: request.headers["Authorization"], authToken: request.headers["X-Auth-Token"],
            forwardedFingerprint: request.headers["X-Credential-Fingerprint"])
    }
}

extension HTTPError {
    /// The answer to a request that is not let in.
    public init(_ failure: AuthFailure) {
        var headers: HTTPHeaders = [:]
        switch failure {
        case .unauthorized: headers["WWW-Authenticate"] = "Bearer"
        case .tooManyAttempts(let seconds): headers["Retry-After"] = String(seconds)
        case .forbidden, .badRequest, .noSecret: break
        }
        self.init(HTTPStatus(rawValue: failure.status), failure.message, headers: headers)
    }
}
