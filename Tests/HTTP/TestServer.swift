import Testing

@testable import HTTP

/// A server on a free port for the length of `body`.
func withServer(
    _ settings: HTTPServerSettings = HTTPServerSettings(), _ routes: (inout Router) -> Void,
    _ body: (HTTPServer) async throws -> Void
) async throws {
    var router = Router()
    routes(&router)
    let server = try HTTPServer(settings, router: router)
    try server.start()
    do {
        try await body(server)
    } catch {
        await server.stop()
        throw error
    }
    await server.stop()
}
