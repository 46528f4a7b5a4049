import Auth
import HTTP

/// `POST /api/login` for the accounts of the configuration and `POST /api/token` for narrower tokens.
public struct TokenRoutes: Sendable {
    private static let bodyBytesMax = 4_096
    private let gate: Gate

    /// - Parameter gate: knows the accounts and makes the tokens.
    public init(_ gate: Gate) { self.gate = gate }

    /// Adds both routes.
    public func add(to router: inout Router) {
        let login = RouteDescription(
            "A token for an account", tag: "auth", requestType: "application/json",
            responses: [
                RouteResponse(.ok, "A token for a day", contentType: "application/json"),
                RouteResponse(.unauthorized, "Wrong user name or password"), RouteResponse(.tooManyRequests, "Too many attempts"),
            ])
        router.post("/api/login", login) { request in
            let body = try await request.body.json(LoginRequest.self, limit: Self.bodyBytesMax)
            return try Self.answer { () throws(AuthFailure) in
                try gate.authorizer.login(body, address: request.clientNetwork, now: WallClock.seconds())
            }
        }
        let token = RouteDescription(
            "A token for a stream, with some rights, for a while", tag: "auth", requestType: "application/json",
            responses: [RouteResponse(.ok, "The token", contentType: "application/json")])
        router.post("/api/token", token) { request in
            try gate.check(request, .cluster)
            let body = try await request.body.json(TokenRequest.self, limit: Self.bodyBytesMax)
            return try Self.answer { () throws(AuthFailure) in try gate.authorizer.mint(body, now: WallClock.seconds()) }
        }
    }

    private static func answer(_ body: () throws(AuthFailure) -> TokenResponse) throws -> HTTPResponse {
        let token: TokenResponse
        do throws(AuthFailure) { token = try body() } catch { throw HTTPError(error) }
        return try .json(token, headers: ["Cache-Control": "no-store"])
    }
}
