import Cluster
import EdgeFixtures
import Foundation
import HTTP
import Redis
import RedisFixtures
import TestThreads
import Testing

@Suite("A cluster that shares one token and meets in Redis", .offThePool, .serialized, .timeLimit(.minutes(5)))
struct SharedTokenTests {
    private static let object = "demo/2026/11/20/seg_0001.m4s"

    /// A node that is known by its records in Redis alone and lets nobody in without the token.
    private func cluster(_ body: (Bench, TestEdge) async throws -> Void) async throws {
        let redis = try RedisServerProcess()
        try redis.start()
        let edge = try TestEdge("edge-1", token: "shared")
        edge.setObject(Self.object, Array("segment".utf8))
        let recording = TestRecords.recording("one", node: "edge-1", segments: 1)
        edge.setRecording(recording.row, recording.detail)
        let connection = RedisConnection(redis.address)
        let writing = Task {
            let keys = StateKeys(prefix: "edge")
            for _ in 1...600 where !Task.isCancelled {
                let node = NodeRecord(
                    alias: "edge-1", url: edge.url, startedAtMs: 1, updatedAtMs: Int64(Date().timeIntervalSince1970 * 1_000))
                // Fails until redis-server listens.
                _ = try? await connection.send([
                    RedisCommand(["SET", keys.node("edge-1")], bytes: try ClusterJSON.encode(node), ["PX", "3000"]),
                    RedisCommand(
                        ["SET", keys.streams("edge-1")], bytes: try ClusterJSON.encode([TestRecords.stream("demo")]),
                        ["PX", "3000"]),
                    RedisCommand("PUBLISH", keys.changed, "edge-1"),
                ])
                try await Task.sleep(for: .milliseconds(200))
            }
        }
        let extra = """
            redis.url = "unix://\(redis.socketPath)"
            auth.tokens = ["shared", "people"]
            auth.room_tokens = { demo = "room" }
            """
        try await Bench.run([], extra: extra, foreign: 1, token: "people") { bench in try await body(bench, edge) }
        writing.cancel()
        _ = try? await writing.value
        await connection.close()
        await edge.stop()
        redis.stop()
    }

    @Test("recordings are read and objects fetched with the coordinator's own token")
    func recordings() async throws {
        try await cluster { bench, _ in
            try await eventually("the recording is listed") {
                try await bench.get("/api/playback/demo", token: "room").text.contains("\"node_alias\":\"edge-1\"")
            }
            let object = try await bench.get("/api/record/object/\(Self.object)", token: "room")
            #expect(object.status == 200 && object.text == "segment")
            #expect(try await bench.get("/api/record/object/\(Self.object)").status == 401)
        }
    }

    @Test("sessions begin and end, whoever asked and whether a token was sent or not")
    func sessions() async throws {
        try await cluster { bench, edge in
            let answer = try await bench.offer("/whep/demo", token: "room")
            #expect(answer.status == 201)
            let asked = try #require(edge.seen("/whep/demo").first)
            #expect(asked.headers["Authorization"] == "Bearer shared")
            #expect(asked.headers["X-Credential-Fingerprint"]?.isEmpty == false)
            #expect(try await bench.offer("/whep/demo").status == 401)
            let location = try #require(answer.headers["Location"])
            #expect(try await bench.send(.delete, location).status == 204)
            #expect(edge.seen.last?.headers["Authorization"] == "Bearer shared")
        }
    }
}
