import Auth
import HTTP
import Streams

/// Asks the authorizer about a request and gives its refusals their HTTP form (RFC 6750 section 3).
struct Gate {
    let authorizer: Authorizer

    /// Who asks, when that may be done.
    @discardableResult
    func check(_ request: HTTPRequest, _ access: Access) throws(HTTPError) -> Principal {
        let credentials = Credentials(
            authorization: request.headers["Authorization"], authToken: request.headers["X-Auth-Token"],
            forwardedFingerprint: request.headers["X-Credential-Fingerprint"])
        do throws(AuthFailure) {
            return try authorizer.authorize(credentials, for: access, now: StreamTime.system().wallMs / 1000)
        } catch {
            throw HTTPError(error)
        }
    }

    /// Lets someone use a session. Its URL alone is enough, since several players send no token here (RFC 9725 section 5); a token
    /// that is sent has to be the one that opened the session, or one that may administrate the stream.
    func check(_ request: HTTPRequest, session owner: SessionOwner, stream: String) throws(HTTPError) {
        let principal = try check(request, .session(stream: stream))
        let isOther = !principal.fingerprint.isEmpty && principal.fingerprint != owner.credential
        if isOther, owner.credential != nil, !principal.allows(.administrate(stream: stream)) {
            throw HTTPError(AuthFailure.forbidden)
        }
    }
}

extension HTTPError {
    init(_ failure: AuthFailure) {
        var headers: HTTPHeaders = [:]
        switch failure {
        case .unauthorized: headers["WWW-Authenticate"] = "Bearer"
        case .tooManyAttempts(let seconds): headers["Retry-After"] = String(seconds)
        case .forbidden, .badRequest, .noSecret: break
        }
        self.init(HTTPStatus(rawValue: failure.status), failure.message, headers: headers)
    }
}
