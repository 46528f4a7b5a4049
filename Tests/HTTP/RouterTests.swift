import FoundationEssentials
import Testing

@testable import HTTP

@Suite("Router", .timeLimit(.minutes(5)))
struct RouterTests {
    private var router: Router {
        var router = Router()
        router.get("/", RouteDescription("root")) { _ in .text("root") }
        router.get("/streams/{id}", RouteDescription("one")) { .text("one \($0.parameter("id"))") }
        router.delete("/streams/{id}", RouteDescription("drop")) { _ in HTTPResponse(.noContent) }
        router.get("/streams/all", RouteDescription("all")) { _ in .text("all") }
        router.get("/object/{path*}", RouteDescription("object", parameters: [.query("node", "which node")])) {
            .text($0.parameter("path"))
        }
        router.get("/broken", RouteDescription("fails")) { _ in throw Broken() }
        router.get("/kept", RouteDescription("fails")) { _ in
            throw HTTPError(.notFound, "not before tomorrow", headers: ["Cache-Control": "max-age=60"])
        }
        router.get("/teapot", RouteDescription("fails")) { _ in
            throw HTTPError(418, "I am \"small\"", headers: ["Retry-After": "3"])
        }
        return router
    }

    private struct Broken: Error {}

    private func respond(_ method: HTTPMethod, _ target: String, _ headers: HTTPHeaders = [:], cors: CORS = .off) async throws
        -> HTTPResponse
    {
        var router = router
        router.cors = cors
        return await router.respond(to: try HTTPRequest(method: method, target: target, headers: headers))
    }

    private func text(_ response: HTTPResponse) -> String {
        guard case .bytes(let bytes) = response.body else { return "" }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test(
        "the most exact pattern wins, a trailing slash makes no difference",
        arguments: [
            ("/", "root"), ("/streams/a", "one a"), ("/streams/a/", "one a"), ("/streams/all", "all"), ("/streams/all/", "all"),
            ("/streams/%61ll", "all"),
            ("/streams/a%2Db?x", "one a-b"), ("/object/a/b%20c.mp4", "a/b c.mp4"), ("/object/a%252e", "a%2e"),
        ])
    func matching(target: String, expected: String) async throws {
        #expect(text(try await respond(.get, target)) == expected)
    }

    @Test("what fits nothing is 404", arguments: ["/streams", "/streams/a/b", "/object", "/object/", "//", "/streams//"])
    func unknown(target: String) async throws {
        #expect(try await respond(.get, target).status == .notFound)
    }

    @Test(
        "what could leave a folder is 400",
        arguments: [
            "/object/..", "/object/%2e%2e%2fx", "/object/a/../b", "/object/.", "/object//etc", "/streams/a%2fb", "/streams/..",
            "/streams/%2E",
        ])
    func traversal(target: String) async throws {
        #expect(try await respond(.get, target).status == .badRequest)
    }

    @Test("a wrong method is 405 with Allow, OPTIONS tells the same")
    func methods() async throws {
        let wrong = try await respond(.put, "/streams/a")
        #expect(wrong.status == .methodNotAllowed && wrong.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS")
        let options = try await respond(.options, "/streams/a")
        #expect(options.status == .noContent && options.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS")
        #expect(try await respond(.delete, "/streams/all").status == .noContent, "a less exact pattern has the method")
    }

    @Test("no cache keeps an error that doesn't say so itself", arguments: ["/none", "/broken", "/teapot", "/object/.."])
    func keptErrors(target: String) async throws {
        #expect(try await respond(.get, target).headers["Cache-Control"] == "no-store")
        #expect(try await respond(.get, "/kept").headers["Cache-Control"] == "max-age=60")
        #expect(try await respond(.get, "/").headers["Cache-Control"] == nil)
    }

    @Test("errors are JSON; strange ones don't leak")
    func errors() async throws {
        let own = try await respond(.get, "/teapot")
        #expect(own.status == 418 && own.headers["Retry-After"] == "3" && text(own) == #"{"error":"I am \"small\""}"#)
        let strange = try await respond(.get, "/broken")
        #expect(strange.status == .internalServerError && text(strange) == #"{"error":"internal error"}"#)
    }

    @Test(
        "CORS headers are on every answer when on, and on none when off",
        arguments: ["/", "/nothing", "/teapot", "/broken", "/object/.."])
    func cors(target: String) async throws {
        let on = try await respond(.get, target, cors: .any)
        #expect(on.headers["Access-Control-Allow-Origin"] == "*")
        #expect(on.headers.list("Access-Control-Expose-Headers").contains("Location"))
        #expect(try await respond(.get, target).headers["Access-Control-Allow-Origin"] == nil)
    }

    @Test("preflight is answered before any middleware")
    func preflight() async throws {
        var router = router
        router.cors = .any
        router.use { _, _ in throw HTTPError(.unauthorized, "who are you") }
        let asked: HTTPHeaders = ["Origin": "https://a", "Access-Control-Request-Method": "PATCH"]
        let preflight = await router.respond(to: try HTTPRequest(method: .options, target: "/streams/a", headers: asked))
        #expect(preflight.status == .noContent && preflight.headers.list("Access-Control-Allow-Methods").contains("PATCH"))
        #expect(preflight.headers.list("Access-Control-Allow-Headers").contains("If-Match"))
        let real = await router.respond(to: try HTTPRequest(method: .get, target: "/"))
        #expect(real.status == .unauthorized && real.headers["Access-Control-Allow-Origin"] == "*")
    }

    @Test(
        "with a list, only pages of its origins may read answers, and caches are told that it matters",
        arguments: [
            ("https://a.example", true), ("HTTPS://A.example", true), ("http://b.example:8080", true),
            ("http://a.example", false), ("https://a.example.evil", false), ("https://a.example:443", false), ("null", false),
            ("", false), (nil, false),
        ] as [(String?, Bool)])
    func origins(origin: String?, isAllowed: Bool) async throws {
        let list = CORS.origins(["https://A.example", "http://b.example:8080"])
        var headers: HTTPHeaders = [:]
        headers["Origin"] = origin
        for target in ["/", "/nothing", "/broken"] {
            let answer = try await respond(.get, target, headers, cors: list)
            #expect(answer.headers["Access-Control-Allow-Origin"] == (isAllowed ? origin : nil))
            #expect((answer.headers["Access-Control-Expose-Headers"] != nil) == isAllowed)
            #expect(answer.headers.all("Vary") == ["Origin"])
        }
        guard origin != nil else { return }
        headers["Access-Control-Request-Method"] = "DELETE"
        let preflight = try await respond(.options, "/streams/a", headers, cors: list)
        #expect(preflight.status == .noContent && preflight.headers.all("Vary") == ["Origin"])
        #expect(preflight.headers["Access-Control-Allow-Origin"] == (isAllowed ? origin : nil))
        #expect((preflight.headers["Access-Control-Allow-Methods"] != nil) == isAllowed)
    }

    @Test("middleware sees the route, may change the request, and runs outermost first")
    func middleware() async throws {
        var router = Router()
        router.use { request, next in
            var request = request
            request.context["who"] = request.route
            var response = await next(request)
            response.headers.add("X", "outer")
            return response
        }
        router.use { request, next in
            var response = await next(request)
            response.headers.add("X", "inner")
            return response
        }
        router.get("/a/{b}", RouteDescription("a")) { .text($0.context["who"] as? String ?? "") }
        let response = await router.respond(to: try HTTPRequest(method: .get, target: "/a/1"))
        #expect(text(response) == "/a/{b}" && response.headers.all("X") == ["inner", "outer"])
    }

    @Test("metrics count by route and status")
    func metrics() async throws {
        let metrics = RequestMetrics()
        var router = router
        router.use(metrics)
        for target in ["/streams/a", "/streams/b", "/nothing", "/never"] {
            _ = await router.respond(to: try HTTPRequest(method: .get, target: target))
        }
        let text = metrics.prometheus(prefix: "edge")
        #expect(
            text.contains("edge_http_request_duration_seconds_count{method=\"GET\",route=\"/streams/{id}\",status=\"200\"} 2\n"))
        #expect(text.contains("edge_http_request_duration_seconds_count{method=\"GET\",route=\"none\",status=\"404\"} 2\n"))
        #expect(text.contains("edge_http_requests_running 0\n"))
    }

    @Test("the OpenAPI document names every route")
    func openAPI() throws {
        struct Document: Decodable {
            struct Operation: Decodable {
                struct Parameter: Decodable {
                    let name: String
                    let `in`: String
                }
                let operationId: String
                let parameters: [Parameter]?
            }
            let openapi: String
            let paths: [String: [String: Operation]]
        }
        let text = router.openAPI(title: "edge", version: "1")
        let document = try JSONDecoder().decode(Document.self, from: Data(text.utf8))
        #expect(document.openapi == "3.1.0")
        #expect(document.paths["/streams/{id}"]?.keys.sorted() == ["delete", "get"])
        #expect(document.paths["/object/{path}"]?["get"]?.parameters?.map(\.name) == ["path", "node"])
        let ids = document.paths.values.flatMap { $0.values.map(\.operationId) }
        #expect(Set(ids).count == ids.count)
    }
}
