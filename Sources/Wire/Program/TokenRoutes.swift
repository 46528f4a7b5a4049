import Auth
import HTTP
import Streams

/// `POST /api/login` for the accounts of the configuration and `POST /api/token` for narrower tokens, as on a coordinator.
struct AuthRoutes {
    let gate: Gate

    func add(to router: inout Router) {
        let login = RouteDescription(
            "A token for an account", tag: "auth", requestType: "application/json",
            responses: [
                RouteResponse(.ok, "A token for a day", contentType: "application/json"),
                RouteResponse(.unauthorized, "Wrong user name or password"), RouteResponse(.tooManyRequests, "Too many attempts"),
            ])
        router.post("/api/login", login) { request in
            let body = try await request.body.json(LoginRequest.self)
            return try Self.answer { () throws(AuthFailure) in
                try gate.authorizer.login(body, address: request.remoteAddress, now: StreamTime.system().wallMs / 1000)
            }
        }
        let token = RouteDescription("A token with chosen rights", tag: "auth", requestType: "application/json")
        router.post("/api/token", token) { request in
            try gate.check(request, .cluster)
            let body = try await request.body.json(TokenRequest.self)
            return try Self.answer { () throws(AuthFailure) in
                try gate.authorizer.mint(body, now: StreamTime.system().wallMs / 1000)
            }
        }
    }

    private static func answer(_ body: () throws(AuthFailure) -> TokenResponse) throws -> HTTPResponse {
        let token: TokenResponse
        do throws(AuthFailure) { token = try body() } catch { throw HTTPError(error) }
        return try .json(token, headers: ["Cache-Control": "no-store"])
    }
}
