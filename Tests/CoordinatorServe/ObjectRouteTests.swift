import CoordinatorServe
import EdgeFixtures
import Foundation
import HTTP
import Synchronization
import Testing

@Suite("Objects through the coordinator (RFC 9110 sections 13 and 14)", .timeLimit(.minutes(5)))
struct ObjectRouteTests {
    private static let path = "/api/record/object/demo/2026/11/20/seg_0001.m4s"
    private static let bytes = (0..<1_000).map { UInt8($0 % 251) }

    private func withObject(_ body: (Bench, [TestEdge]) async throws -> Void) async throws {
        let edges = [try TestEdge("edge-1"), try TestEdge("edge-2", token: "secret")]
        edges[0].setObject("demo/2026/11/20/seg_0001.m4s", Self.bytes)
        edges[1].setObject("demo/2026/11/20/seg_0001.m4s", Array("other".utf8))
        edges[1].setObject("demo/2026/11/20/manifest.mpd", Array("<MPD/>".utf8))
        let recording = TestRecords.recording("one", node: "edge-1", segments: 1, updatedAt: 100)
        edges[0].setRecording(recording.row, recording.detail)
        try await Bench.run(edges) { bench in try await body(bench, edges) }
    }

    @Test("the whole object, parts of it, and nothing when it is known")
    func ranges() async throws {
        try await withObject { bench, _ in
            let whole = try await bench.get(Self.path + "?node=edge-1")
            #expect(whole.status == 200)
            #expect(whole.body == Self.bytes)
            #expect(whole.headers["Content-Type"] == "video/mp4")
            #expect(whole.headers["Content-Length"] == "1000")
            #expect(whole.headers["Cache-Control"]?.contains("immutable") == true)
            #expect(whole.headers["X-Content-Type-Options"] == "nosniff")
            #expect(whole.headers["Accept-Ranges"] == "bytes")
            let part = try await bench.get(Self.path + "?node=edge-1", ["Range": "bytes=10-19"])
            #expect(part.status == 206)
            #expect(part.headers["Content-Range"] == "bytes 10-19/1000")
            #expect(part.body == Array(Self.bytes[10...19]))
            let beyond = try await bench.get(Self.path + "?node=edge-1", ["Range": "bytes=1000-"])
            #expect(beyond.status == 416)
            #expect(beyond.headers["Content-Range"] == "bytes */1000")
            let known = try await bench.get(Self.path + "?node=edge-1", ["If-None-Match": whole.headers["ETag"] ?? "none"])
            #expect(known.status == 304)
            #expect(known.body.isEmpty)
            let head = try await bench.send(.head, Self.path + "?node=edge-1")
            #expect(head.status == 200)
            #expect(head.body.isEmpty)
            #expect(head.headers["ETag"] == whole.headers["ETag"])
        }
    }

    @Test("two nodes' objects of one name never mix; without a name the index says whose it is")
    func nodes() async throws {
        try await withObject { (bench, edges) async throws in
            #expect(try await bench.get(Self.path + "?node=edge-2").text == "other")
            #expect(edges[1].seen.last?.headers["Authorization"] == "Bearer secret")
            try await eventually("the index knows the directory") { try await bench.get(Self.path).status == 200 }
            #expect(try await bench.get(Self.path).body == Self.bytes)
            let manifest = try await bench.get("/api/record/object/demo/2026/11/20/manifest.mpd?node=edge-2")
            #expect(manifest.headers["Cache-Control"] == "no-cache")
            // A growing manifest leads its players there.
            _ = try await bench.get("/api/record/object/demo/2026/11/20/manifest.mpd?node=edge-2&gaps=keep&x=1")
            #expect(edges[1].seen.last?.query == "gaps=keep")
            _ = try await bench.get("/api/record/object/demo/2026/11/20/manifest.mpd?gaps=keep&origin=5&node=edge-2")
            #expect(edges[1].seen.last?.query == "gaps=keep&origin=5")
        }
    }

    @Test("what is not there is 404, what can't be reached 503, whose node is unknown 404")
    func failures() async throws {
        try await withObject { (bench, edges) async throws in
            try await eventually("the index knows the directory") { try await bench.get(Self.path).status == 200 }
            #expect(try await bench.get("/api/record/object/demo/2026/11/20/seg_0002.m4s?node=edge-1").status == 404)
            let nobodys = try await bench.get("/api/record/object/no/such/thing.m4s")
            #expect(nobodys.status == 404 && nobodys.headers["Cache-Control"] == "no-store")
            #expect(try await bench.get(Self.path + "?node=nobody").status == 404)
            await edges[0].stop()
            #expect(try await bench.get(Self.path).status == 200, "kept in memory")
            let away = try await bench.get(Self.path.replacing("0001", with: "0003"))
            #expect(away.status == 503)
            #expect(away.headers["Retry-After"] != nil)
        }
    }

    @Test(
        "paths that are no keys are 400 and reach no node",
        arguments: [
            "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "demo/%2e%2e%2fsecret", "%2fetc/passwd", "demo//x.m4s",
            "demo/%00.m4s",
            "demo/a%5c..%5cb", "demo/%2e/x.m4s",
        ])
    func traversal(path: String) async throws {
        try await withObject { (bench, edges) async throws in
            #expect(try await bench.get("/api/record/object/\(path)?node=edge-1").status == 400)
            #expect(!edges[0].seen.contains { $0.path.hasPrefix("/api/record/object") })
        }
    }

    @Test("a player that goes away ends the transfer from the node, and a slow one holds it back")
    func abort() async throws {
        try await withObject { (bench, edges) async throws in
            let request = HTTPClientRequest(.get, "\(bench.coordinator.url)/api/record/object/demo/endless.m4s?node=edge-1")
            let response = try await bench.client.send(request)
            #expect(response.status == 200)
            #expect(response.headers["Content-Length"] == String(1 << 40))
            var count = 0
            while count < 1 << 20, let chunk = try await response.body.next() { count += chunk.count }
            #expect(edges[0].brokenBodies == 0)
            response.body.cancel()
            try await eventually("the node notices") { edges[0].brokenBodies == 1 }
        }
    }

    @Test("many who ask for one object at once make one request of its node; what another credential got is not theirs")
    func singleFlight() async throws {
        try await withObject { (bench, edges) async throws in
            let path = "/api/record/object/demo/2026/11/20/seg_0001.m4s"
            try await withThrowingTaskGroup(of: Answer.self) { group in
                for _ in 0..<50 { group.addTask { try await bench.get(Self.path + "?node=edge-1") } }
                for try await answer in group { #expect(answer.status == 200 && answer.body == Self.bytes) }
            }
            #expect(edges[0].seen(path).count == 1)
            let metrics = try await bench.get("/metrics").text
            #expect(metrics.contains("object_cache_requests_total{result=\"miss\"} 1\n"))
            #expect(metrics.contains("object_cache_bytes 1000\n"))
            #expect(try await bench.get(Self.path + "?node=edge-1", ["Range": "bytes=-3"]).body == Array(Self.bytes.suffix(3)))
            #expect(
                try await bench.get(Self.path + "?node=edge-1", ["Range": "bytes=0-"]).headers["Content-Range"]
                    == "bytes 0-999/1000")
            #expect(edges[0].seen(path).count == 1)
            #expect(try await bench.get(Self.path + "?node=edge-1", token: "another").status == 200)
            #expect(edges[0].seen(path).count == 2)
        }
    }

    @Test("a manifest is read anew once a recording was deleted here")
    func deleted() async throws {
        try await withObject { (bench, edges) async throws in
            let manifest = "demo/2026/11/20/manifest.mpd"
            edges[0].setObject(manifest, Array("<MPD>one</MPD>".utf8))
            try await eventually("the recording is listed") { try await bench.get("/api/playback/demo").text.contains("\"one\"") }
            let path = "/api/record/object/\(manifest)?node=edge-1"
            #expect(try await bench.get(path).text == "<MPD>one</MPD>")
            edges[0].setObject(manifest, Array("<MPD/>".utf8))
            #expect(try await bench.send(.delete, "/api/playback/demo/one").status == 204)
            #expect(try await bench.get(path).text == "<MPD/>")
        }
    }

    @Test("without memory for objects every request goes to the node")
    func noCache() async throws {
        let edge = try TestEdge("edge-1")
        edge.setObject("demo/1/seg_0001.m4s", Self.bytes)
        try await Bench.run([edge], extra: "playback.cache_bytes = 0") { (bench) async throws in
            for _ in 0..<2 {
                #expect(try await bench.get("/api/record/object/demo/1/seg_0001.m4s?node=edge-1").body == Self.bytes)
            }
            #expect(edge.seen("/api/record/object/demo/1/seg_0001.m4s").count == 2)
        }
    }

    @Test("with a shared store here, objects are read from it, and from the node what it has not")
    func sharedStore() async throws {
        let edge = try TestEdge("edge-1")
        edge.setObject("demo/1/seg_0002.m4s", Array("from the node".utf8))
        let store = "recorder.storage.type = \"fs\"\nrecorder.storage.root = \"{folder}/objects\""
        try await Bench.run([edge], extra: store) { bench in
            let directory = bench.folder.file("objects/demo/1")
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            try Data("from the store".utf8).write(to: URL(fileURLWithPath: directory + "/audio_seg_0001.m4s"))
            let local = try await bench.get("/api/record/object/demo/1/audio_seg_0001.m4s?node=edge-1", ["Range": "bytes=-5"])
            #expect(local.status == 206)
            #expect(local.text == "store")
            #expect(local.headers["Content-Type"] == "audio/mp4")
            #expect(try await bench.get("/api/record/object/demo/1/seg_0002.m4s?node=edge-1").text == "from the node")
            #expect(try await bench.get("/api/storage/ping").text == "ok")
            let presign = "{\"method\":\"GET\",\"path\":\"demo/1/x.m4s\",\"ttl_seconds\":60}"
            let json: HTTPHeaders = ["Content-Type": "application/json"]
            let signed = try await bench.send(.post, "/api/storage/presign", json, body: presign)
            #expect(signed.status == 501)
            let bad = try await bench.send(.post, "/api/storage/presign", json, body: presign.replacing("demo/1", with: ".."))
            #expect(bad.status == 400)
            chmod(bench.folder.file("objects"), 0o500)
            defer { chmod(bench.folder.file("objects"), 0o700) }
            if getuid() != 0 { #expect(try await bench.get("/api/storage/ping").status == 503) }
        }
    }

    @Test("of a shared store only what players ask for is served, whoever is said to have it")
    func notForPlayers() async throws {
        let names = ["demo/1/session_a.jsonl", "demo/1/x.sql", "demo/1/seg_0001.m4s.tmp", ".probe/x"]
        let edge = try TestEdge("edge-1")
        for name in names { edge.setObject(name, Array("from the node".utf8)) }
        let store = "recorder.storage.type = \"fs\"\nrecorder.storage.root = \"{folder}/objects\""
        try await Bench.run([edge], extra: store) { bench in
            for name in names {
                let file = URL(fileURLWithPath: bench.folder.file("objects/" + name))
                try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
                try Data("from the store".utf8).write(to: file)
                for query in ["", "?node=edge-1", "?part=0&node=edge-1"] {
                    let answer = try await bench.get("/api/record/object/\(name)\(query)")
                    #expect(answer.status == 404, "\(name)\(query)")
                    #expect(answer.headers["Cache-Control"] == "no-store")
                    #expect(try await bench.send(.head, "/api/record/object/\(name)\(query)").status == 404)
                }
            }
            #expect(!edge.seen.contains { $0.path.hasPrefix("/api/record/object") })
        }
    }

    /// A bucket of S3 with two objects, a small and a large one; the first answer with the large one breaks off.
    private static func bucket(_ seen: Seen) throws -> HTTPServer {
        var router = Router()
        router.get("/recordings/root/demo/1/{name}", RouteDescription("object")) { request in
            let number = seen.add(request)
            let isLarge = request.parameter("name") == "seg_0002.m4s"
            let bytes = isLarge ? Self.large : Self.bytes
            let headers: HTTPHeaders = ["ETag": "\"tag\"", "Last-Modified": "Sat, 21 Nov 2026 03:04:05 GMT"]
            guard isLarge, number == 0, request.method == .get else {
                return HTTPResponse(headers: headers, body: .shared(SharedBody(bytes), owner: nil))
            }
            return .stream(contentType: "a/b", length: Int64(bytes.count), headers: headers) { writer in
                try await writer.write(Array(bytes[..<200_000]))
                throw CancellationError()
            }
        }
        let server = try HTTPServer(HTTPServerSettings(), router: router)
        try server.start()
        return server
    }

    /// What the bucket was asked.
    private final class Seen: Sendable {
        private let all = Mutex<[(method: HTTPMethod, range: String?)]>([])

        /// How many there were before.
        func add(_ request: HTTPRequest) -> Int {
            all.withLock { all in
                all.append((request.method, request.headers["Range"]))
                return all.count - 1
            }
        }

        func taken() -> [(method: HTTPMethod, range: String?)] {
            all.withLock { all in
                defer { all = [] }
                return all
            }
        }
    }

    private static let large = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ ($0 >> 8)) }

    @Test("past the cache from a bucket: one request each, and a break on the way is not seen")
    func bucket() async throws {
        let seen = Seen()
        let origin = try Self.bucket(seen)
        let settings = """
            playback.cache_bytes = 0
            recorder.storage.type = "s3"
            recorder.storage.bucket = "recordings"
            recorder.storage.root = "root"
            recorder.storage.region = "us-east-1"
            recorder.storage.endpoint = "\(origin.url)"
            recorder.storage.access_key_id = "a"
            recorder.storage.secret_access_key = "b"
            """
        try await Bench.run([], extra: settings) { bench in
            let (small, large) = ("/api/record/object/demo/1/seg_0001.m4s", "/api/record/object/demo/1/seg_0002.m4s")
            #expect(try await bench.get(large).body == Self.large)
            #expect(seen.taken().map(\.method) == [.get, .get])
            let whole = try await bench.get(small)
            #expect(whole.status == 200 && whole.body == Self.bytes && whole.headers["ETag"] == "\"tag\"")
            #expect(seen.taken().map(\.method) == [.get])
            let part = try await bench.get(small, ["Range": "bytes=10-19"])
            #expect(part.status == 206 && part.body == Array(Self.bytes[10...19]))
            #expect(part.headers["Content-Range"] == "bytes 10-19/1000" && part.headers["Content-Type"] == "video/mp4")
            #expect(seen.taken().map(\.range) == ["bytes=10-19"])
            let head = try await bench.send(.head, large)
            #expect(head.status == 200 && head.body.isEmpty && head.headers["Content-Length"] == "300000")
            let known = try await bench.get(small, ["If-None-Match": "\"tag\""])
            #expect(known.status == 304 && known.body.isEmpty)
            #expect(seen.taken().map(\.method) == [.head, .head])
            #expect(try await bench.get(small, ["Range": "bytes=1000-"]).status == 416)
            #expect(try await bench.get("/api/record/object/demo/2/seg_0001.m4s").status == 404)
        }
        await origin.stop()
    }

    @Test("without a shared store the storage routes say so")
    func noStore() async throws {
        try await Bench.run([]) { bench in
            #expect(try await bench.get("/api/storage/ping").status == 503)
            let answer = try await bench.send(
                .post, "/api/storage/presign", ["Content-Type": "application/json"], body: "{\"method\":\"GET\",\"path\":\"a/b\"}"
            )
            #expect(answer.status == 503)
            let wrong = try await bench.send(
                .post, "/api/storage/presign", ["Content-Type": "application/json"], body: "{\"method\":\"EAT\",\"path\":\"a/b\"}"
            )
            #expect(wrong.status == 400)
        }
    }
}
