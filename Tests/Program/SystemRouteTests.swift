import Auth
import Foundation
import HTTP
import Testing

@testable import Program

private let program = ProgramDescription(
    name: "program", purpose: "Does.", environmentPrefix: "P", metricPrefix: "tributary_program")

/// A router with the routes every program has, and what answers it.
private struct Answers {
    var router = Router()

    init(auth: AuthSettings = AuthSettings(), health: @escaping @Sendable () async throws -> Void = {}) {
        let gate = Gate(Authorizer(auth))
        let requests = RequestMetrics()
        router.use(requests)
        router.get("/things/{stream}", RouteDescription("A thing")) { request in
            let name = try request.streamName()
            try gate.check(request, .observe(stream: name), mayStandInQuery: true)
            return .text(name)
        }
        TokenRoutes(gate).add(to: &router)
        SystemRoutes(
            program, alias: "a", requests: requests, health: health, info: { ["program": "program"] },
            metrics: { $0.add(.gauge("tributary_program_things", "Things."), 3) }
        ).add(to: &router)
    }

    func get(_ target: String, _ headers: HTTPHeaders = [:]) async throws -> (status: Int, headers: HTTPHeaders, body: String) {
        try await Self.read(router, .get, target, headers)
    }

    private static func read(
        _ router: Router, _ method: HTTPMethod, _ target: String, _ headers: HTTPHeaders
    ) async throws -> (status: Int, headers: HTTPHeaders, body: String) {
        let server = try HTTPServer(HTTPServerSettings(), router: router)
        try server.start()
        let client = HTTPClient()
        let response = try await client.send(HTTPClientRequest(method, server.url + target, headers: headers))
        let body = String(decoding: try await response.collect(), as: UTF8.self)
        await client.shutdown()
        await server.stop()
        return (response.status.rawValue, response.headers, body)
    }
}

@Suite("Routes every program has")
struct SystemRouteTests {
    @Test("health is ok until the program says otherwise")
    func health() async throws {
        let good = try await Answers().get("/healthz")
        #expect(good.status == 200 && good.body == "ok")
        let bad = try await Answers(health: { throw HTTPError(.serviceUnavailable, "no index") }).get("/healthz")
        #expect(bad.status == 503 && bad.body.contains("no index"))
    }

    @Test("metrics of the process, of the requests and the program's own, each described once")
    func metrics() async throws {
        let text = try await Answers().get("/metrics").body
        #expect(text.contains("tributary_program_info{version=\"\(ProgramVersion.current)\",alias=\"a\"} 1\n"))
        #expect(text.contains("\ntributary_program_things 3\n") && text.contains("\ntributary_program_http_requests_running 1\n"))
        let lines = text.split(separator: "\n")
        let helped = lines.filter { $0.hasPrefix("# HELP ") }.map { $0.split(separator: " ")[2] }
        #expect(Set(helped).count == helped.count && helped.count > 6)
        let sampled = lines.filter { !$0.hasPrefix("#") }.map { $0.prefix { $0 != "{" && $0 != " " } }
        for name in sampled { #expect(helped.contains { name == $0 || name.hasPrefix($0 + "_") }, "\(name)") }
    }

    @Test("the document names every route, itself too")
    func document() async throws {
        let answer = try await Answers().get("/api/openapi.json")
        let document = try #require(try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any])
        let paths = try #require(document["paths"] as? [String: Any])
        #expect(
            Set(paths.keys) == [
                "/healthz", "/metrics", "/api/info", "/api/openapi.json", "/api/login", "/api/token", "/things/{stream}",
            ])
        #expect(try await Answers().get("/api/info").body.contains("\"program\""))
    }
}

@Suite("Credentials of a request (RFC 6750)")
struct GateTests {
    @Test(
        "where the token may stand",
        arguments: [
            ("/things/demo", [:], 401), ("/things/demo", ["Authorization": "Bearer t"], 200),
            ("/things/demo", ["authorization": "bearer t"], 200), ("/things/demo", ["X-Auth-Token": "t"], 200),
            ("/things/demo?token=t", [:], 200), ("/things/demo?token=x", [:], 401),
            ("/things/demo?token=t", ["Authorization": "Bearer x"], 401), ("/things/demo", ["Authorization": "Bearer room"], 403),
            ("/things/other", ["Authorization": "Bearer room"], 200), ("/things/.x", ["Authorization": "Bearer t"], 400),
        ] as [(String, HTTPHeaders, Int)])
    func tokens(target: String, headers: HTTPHeaders, status: Int) async throws {
        let answers = Answers(auth: AuthSettings(tokens: ["t"], roomTokens: ["other": "room"]))
        let answer = try await answers.get(target, headers)
        #expect(answer.status == status)
        #expect(answer.headers["WWW-Authenticate"] == (status == 401 ? "Bearer" : nil))
    }
}
