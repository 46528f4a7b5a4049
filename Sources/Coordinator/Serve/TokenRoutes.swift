import Auth
import Foundation
import HTTP

/// Logging in, and tokens for others.
struct TokenRoutes: Sendable {
    let authorizer: Authorizer

    func add(to router: inout GuardedRouter) {
        router.on(
            .post, "/api/login",
            RouteDescription(
                "A token for a user name and password", tag: "tokens", requestType: "application/json",
                responses: [
                    RouteResponse(200, "The token", contentType: "application/json"), RouteResponse(401, "Wrong"),
                    RouteResponse(429, "Too many wrong ones"),
                ]), needs: { _ in nil }
        ) { request in
            let login = try await request.body.json(LoginRequest.self, limit: 4_096)
            return try Self.answer { () throws(AuthFailure) in
                try authorizer.login(login, address: request.remoteAddress, now: Self.now())
            }
        }
        router.on(
            .post, "/api/token",
            RouteDescription(
                "A token for a stream, with some rights, for a while", tag: "tokens", requestType: "application/json",
                responses: [RouteResponse(200, "The token", contentType: "application/json")]), needs: { _ in .cluster }
        ) { request in
            let wanted = try await request.body.json(TokenRequest.self, limit: 4_096)
            return try Self.answer { () throws(AuthFailure) in try authorizer.mint(wanted, now: Self.now()) }
        }
    }

    private static func now() -> Int64 { Int64(Date().timeIntervalSince1970) }

    private static func answer(_ make: () throws(AuthFailure) -> TokenResponse) throws -> HTTPResponse {
        let token: TokenResponse
        do throws(AuthFailure) {
            token = try make()
        } catch {
            throw HTTPError(error)
        }
        return try .json(token, headers: ["Cache-Control": "no-store"])
    }
}
