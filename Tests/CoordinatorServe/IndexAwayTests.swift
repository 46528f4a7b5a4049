import EdgeFixtures
import HTTP
import PostgresFixtures
import Testing

@Suite("A coordinator whose index is away", .timeLimit(.minutes(5)))
struct IndexAwayTests {
    @Test("recordings are refused in words and health says so, sessions go on, and all comes back by itself")
    func away() async throws {
        let server = try PostgresServerProcess()
        try server.start()
        let database = "database.url = \"\(try server.createDatabase())\""
        server.stop()
        let edge = try TestEdge("a")
        try await Bench.run([edge], database: database) { bench in
            let refused = try await bench.get("/api/playback")
            #expect(refused.status == 503)
            #expect(refused.text == #"{"error":"the recording index is not available"}"#)
            #expect(refused.headers["Retry-After"] != nil)
            let health = try await bench.get("/healthz")
            #expect(health.status == 503 && health.text.contains("the recording index can't be read"))
            #expect(!health.text.contains(PostgresServerProcess.password))
            #expect(try await bench.get("/metrics").text.contains("tributary_coordinator_index_connected 0"))
            #expect(try await bench.offer("/whip/live").status == 201)
            try server.start()
            try await eventually("the index is back") { try await bench.get("/api/playback").status == 200 }
            #expect(try await bench.get("/healthz").status == 200)
            #expect(try await bench.get("/metrics").text.contains("tributary_coordinator_index_connected 1"))
        }
    }
}
