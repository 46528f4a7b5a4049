import Config
import CoordinatorServe
import EdgeFixtures
import HTTP
import Testing

/// An answer with its body read.
struct Answer {
    let status: Int
    let headers: HTTPHeaders
    let body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }
}

/// A coordinator on a port of its own before some edges.
struct Bench {
    let coordinator: Coordinator
    let client: HTTPClient
    let folder: TemporaryFolder

    /// - Parameter extra: more configuration; `{folder}` stands for the bench's own directory.
    init(_ edges: [TestEdge], extra: String = "", database: String? = nil, web: String? = nil) async throws {
        folder = try TemporaryFolder()
        var text = "http.listen = \"127.0.0.1:0\"\n" + (database ?? "database.url = \"sqlite:\(folder.file("index.db"))\"") + "\n"
        text += extra.replacing("{folder}", with: folder.path) + "\n"
        for edge in edges {
            text += "[[nodes]]\nalias = \"\(edge.alias)\"\nurl = \"\(edge.url)\"\n"
            if let token = edge.token { text += "token = \"\(token)\"\n" }
        }
        let config = try ConfigLoader.load(
            CoordinatorConfig.self, text: Array(text.utf8), file: "bench.toml", environmentPrefix: "COORDINATOR",
            environment: [:], checking: [])
        coordinator = try await Coordinator(config, webFolder: web)
        try await coordinator.start()
        client = HTTPClient()
    }

    /// Runs `body` before these edges, which all answer by then, and stops everything whatever happens.
    /// - Parameter foreign: how many nodes more `extra` leads to, which must answer, too.
    static func run(
        _ edges: [TestEdge], extra: String = "", foreign: Int = 0, token: String? = nil, database: String? = nil,
        web: String? = nil,
        _ body: (Bench) async throws -> Void
    ) async throws {
        let bench = try await Bench(edges, extra: extra, database: database, web: web)
        do {
            try await eventually("all nodes run") {
                try await bench.get("/api/nodes", token: token).text.occurrences(of: "\"status\":\"running\"")
                    >= edges.count + foreign
            }
            try await body(bench)
        } catch {
            Issue.record(error)
        }
        await bench.coordinator.stop()
        await bench.client.shutdown()
        for edge in edges { await edge.stop() }
    }

    func get(_ path: String, _ headers: HTTPHeaders = [:], token: String? = nil) async throws -> Answer {
        try await send(.get, path, headers, token: token)
    }

    func send(
        _ method: HTTPMethod, _ path: String, _ headers: HTTPHeaders = [:], token: String? = nil, body: String = ""
    ) async throws -> Answer {
        var request = HTTPClientRequest(method, coordinator.url + path, headers: headers)
        if !body.isEmpty { request.body = .bytes(Array(body.utf8)) }
        if let token { request.headers["Authorization"] = "Bearer \(token)" }
        let response = try await client.send(request)
        return Answer(status: response.status.rawValue, headers: response.headers, body: try await response.collect())
    }

    /// An offer to WHIP or WHEP.
    func offer(_ path: String, token: String? = nil) async throws -> Answer {
        try await send(.post, path, ["Content-Type": "application/sdp"], token: token, body: "v=0 offer")
    }
}

extension String {
    func occurrences(of part: String) -> Int { ranges(of: part).count }
}

extension TestEdge {
    /// The requests for a path.
    func seen(_ path: String) -> [Seen] { seen.filter { $0.path == path } }
}
