import Auth
import Cluster
import Foundation
import HTTP
import Nodes

/// A router whose every route says what right it needs; there is no way to add one that forgot.
struct GuardedRouter {
    /// What a request must be allowed to do; nil lets everyone in. May throw to refuse what is asked.
    typealias Needs = @Sendable (HTTPRequest) async throws -> Access?

    private(set) var router = Router()
    private let authorizer: Authorizer

    init(authorizer: Authorizer) { self.authorizer = authorizer }

    mutating func use(_ middleware: @escaping Router.Middleware) { router.use(middleware) }

    /// - Parameter isMedia: the token may also stand in the query, for players that can't set a header.
    mutating func on(
        _ method: HTTPMethod, _ pattern: String, _ description: RouteDescription, isMedia: Bool = false,
        needs: @escaping Needs, _ handler: @escaping Router.Handler
    ) {
        let authorizer = authorizer
        router.on(method, pattern, description) { request in
            var request = request
            if request.pathParameters["stream"] != nil { _ = try request.streamName() }
            if let access = try await needs(request) {
                let principal = try Self.authorize(request, access, authorizer, isMedia: isMedia)
                request.context[NodeRequest.fingerprintKey] = principal.fingerprint
            }
            return try await handler(request)
        }
    }

    /// A route that anyone may ask.
    mutating func open(_ pattern: String, _ description: RouteDescription, _ handler: @escaping Router.Handler) {
        router.get(pattern, description, handler)
    }

    private static func authorize(
        _ request: HTTPRequest, _ access: Access, _ authorizer: Authorizer, isMedia: Bool
    ) throws(HTTPError) -> Principal {
        var credentials = Credentials(
            authorization: request.headers["Authorization"], authToken: request.headers["X-Auth-Token"],
            forwardedFingerprint: request.headers["X-Credential-Fingerprint"])
        if isMedia, credentials.authorization == nil, let token = request.query.first("token") {
            credentials.authorization = "Bearer \(token)"
        }
        do throws(AuthFailure) {
            return try authorizer.authorize(credentials, for: access, now: Int64(Date().timeIntervalSince1970))
        } catch {
            throw HTTPError(error)
        }
    }
}

extension HTTPError {
    /// The answer to a request that is not let in.
    init(_ failure: AuthFailure) {
        var headers: HTTPHeaders = [:]
        if case .unauthorized = failure { headers["WWW-Authenticate"] = "Bearer" }
        if case .tooManyAttempts(let seconds) = failure { headers["Retry-After"] = String(seconds) }
        self.init(HTTPStatus(rawValue: failure.status), failure.message, headers: headers)
    }
}

extension HTTPRequest {
    /// The path's stream name; throws 400 when it is none.
    func streamName() throws(HTTPError) -> String {
        let name = parameter("stream")
        guard StreamName.isValid(name) else { throw HTTPError(.badRequest, "not a stream name") }
        return name
    }

    /// Values of a repeatable query parameter.
    func set(_ names: String...) -> Set<String> {
        Set(names.flatMap { query.all($0) }.filter { !$0.isEmpty })
    }
}
