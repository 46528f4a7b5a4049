import CoordinatorServe
import EdgeFixtures
import Foundation
import HTTP
import Testing

@Suite("Who may do what at the coordinator", .timeLimit(.minutes(5)))
struct AccessTests {
    private static let extra = """
        auth.tokens = ["admin"]
        auth.secret = "a secret of some length"
        auth.room_tokens = { demo = "room" }
        auth.accounts = [{ username = "ann", password = "pw" }]
        """

    private func guarded(_ body: (Bench, TestEdge) async throws -> Void) async throws {
        let edge = try TestEdge("edge-1", token: "node-secret")
        try await Bench.run([edge], extra: Self.extra, token: "admin") { bench in try await body(bench, edge) }
    }

    @Test("what is open to everyone", arguments: ["/healthz", "/metrics", "/api/info", "/api/openapi.json", "/api/time", "/"])
    func open(path: String) async throws {
        try await guarded { (bench, _) async throws in
            let answer = try await bench.get(path)
            #expect(answer.status == 200)
        }
    }

    @Test("where it is set, metrics need a credential like the list of nodes")
    func metrics() async throws {
        let edge = try TestEdge("edge-1", token: "node-secret")
        try await Bench.run([edge], extra: Self.extra + "\nauth.metrics = true\n", token: "admin") { bench in
            let unknown = try await bench.get("/metrics")
            #expect(unknown.status == 401)
            #expect(try await bench.get("/metrics", token: "room").status == 403)
            #expect(try await bench.get("/metrics", token: "admin").status == 200)
            #expect(try await bench.get("/healthz").status == 200)
        }
    }

    @Test(
        "everything else wants a credential, and says so",
        arguments: [
            ("GET", "/api/nodes"), ("GET", "/api/streams"), ("GET", "/api/streams/demo"), ("POST", "/api/streams/demo"),
            ("DELETE", "/api/streams/demo"), ("POST", "/api/nodes/edge-1/drain"), ("POST", "/api/nodes/edge-1/undrain"),
            ("POST", "/whip/demo"), ("POST", "/whep/demo"), ("POST", "/api/whip/edge-1/demo"), ("POST", "/api/whep/edge-1/demo"),
            ("GET", "/api/playback"), ("GET", "/api/playback/demo"), ("GET", "/api/playback/demo/manifest.mpd"),
            ("GET", "/api/playback/demo/index.m3u8"), ("GET", "/api/playback/demo/video.m3u8"),
            ("GET", "/api/playback/demo/export.mp4"), ("POST", "/api/playback/demo/export.mp4"),
            ("POST", "/api/playback/demo/one/file.mp4"), ("GET", "/api/record/object/demo/x.m4s"),
            ("POST", "/api/record/demo"), ("GET", "/api/record/demo"), ("DELETE", "/api/record/demo"),
            ("GET", "/api/storage/ping"),
            ("POST", "/api/storage/presign"), ("POST", "/api/token"), ("GET", "/api/sse/cluster"), ("GET", "/api/sse/streams"),
        ])
    func closed(method: String, path: String) async throws {
        try await guarded { (bench, edge) async throws in
            let none = try await bench.send(HTTPMethod(rawValue: method), path)
            #expect(none.status == 401)
            #expect(none.headers["WWW-Authenticate"] == "Bearer")
            #expect(try await bench.send(HTTPMethod(rawValue: method), path, token: "wrong").status == 401)
            #expect(!edge.seen.contains { $0.path.contains("demo") })
        }
    }

    @Test("a stream's token publishes, plays and looks at its stream, and nothing more")
    func roomToken() async throws {
        try await guarded { (bench, _) async throws in
            #expect(try await bench.offer("/whip/demo", token: "room").status == 201)
            #expect(try await bench.offer("/whip/other", token: "room").status == 403)
            #expect(try await bench.get("/api/playback/demo", token: "room").status == 200)
            #expect(try await bench.get("/api/playback/other", token: "room").status == 403)
            #expect(try await bench.get("/api/record/object/other/2026/x.m4s", token: "room").status == 403)
            #expect(try await bench.get("/api/record/object/demo/2026/x.m4s", token: "room").status == 404)
            #expect(try await bench.get("/api/nodes", token: "room").status == 403)
            #expect(try await bench.send(.delete, "/api/streams/demo", token: "room").status == 403)
        }
    }

    @Test("a session's address is enough for its own requests, and a wrong credential is not")
    func sessionAddress() async throws {
        try await guarded { (bench, edge) async throws in
            #expect(try await bench.send(.delete, "/session/demo/edge-1~abc").status == 204)
            #expect(edge.seen("/session/demo/abc").first?.headers["Authorization"] == "Bearer node-secret")
            #expect(try await bench.send(.delete, "/session/demo/edge-1~abc", token: "wrong").status == 401)
        }
    }

    @Test("players that can't set a header may send the token in the query, of media only")
    func queryToken() async throws {
        try await guarded { (bench, _) async throws in
            #expect(try await bench.get("/api/playback/demo/manifest.mpd?token=room").status == 404)
            #expect(try await bench.get("/api/playback/demo/manifest.mpd?token=wrong").status == 401)
            #expect(try await bench.get("/api/nodes?token=admin").status == 401)
        }
    }

    @Test("a link to a file is given to who may play the stream, and opens that file without a token in it")
    func link() async throws {
        try await guarded { (bench, _) async throws in
            func url(_ answer: Answer) throws -> String {
                try #require((try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any])?["url"] as? String)
            }
            for file in ["/api/playback/demo/export.mp4?start=1795168800&end=1795168802", "/api/playback/demo/one/file.mp4"] {
                let mark = file.contains("?") ? "&" : "?"
                #expect(try await bench.send(.post, file + mark + "token=room").status == 401)
                let made = try await bench.send(.post, file, token: "room")
                #expect(made.status == 200 && made.headers["Cache-Control"] == "no-store")
                let link = try url(made)
                #expect(link.hasPrefix(file + mark + "expires="))
                // Let in: nothing is recorded here.
                #expect(try await bench.get(link).status == 404)
                #expect(try await bench.send(.head, link).status == 404)
                #expect(try await bench.get(link + "&cut=exact").status == 401)
                #expect(try await bench.get(link.replacing("/demo/", with: "/other/")).status == 401)
                // Who shows a wrong token is refused, whatever else he brings.
                #expect(try await bench.get(link, token: "wrong").status == 401)
                #expect(try await bench.send(.post, link).status == 401)
            }
            #expect(try await bench.send(.post, "/api/playback/other/one/file.mp4", token: "room").status == 403)
            #expect(try await bench.send(.post, "/api/playback/.demo/one/file.mp4", token: "admin").status == 400)
            // One address is not enough for what leads to others.
            #expect(try await bench.send(.post, "/api/playback/demo/manifest.mpd", token: "admin").status == 405)
        }
    }

    @Test("a login gives a token that opens; a wrong one, an empty one and broken JSON don't")
    func login() async throws {
        try await guarded { (bench, _) async throws in
            func login(_ body: String) async throws -> Answer {
                try await bench.send(.post, "/api/login", ["Content-Type": "application/json"], body: body)
            }
            let right = try await login("{\"username\":\"ann\",\"password\":\"pw\"}")
            #expect(right.status == 200)
            #expect(right.headers["Cache-Control"] == "no-store")
            let token = try #require(
                (try JSONSerialization.jsonObject(with: Data(right.body)) as? [String: Any])?["access_token"] as? String)
            #expect(try await bench.get("/api/nodes", token: token).status == 200)
            #expect(try await login("{\"username\":\"ann\",\"password\":\"no\"}").status == 401)
            #expect(try await login("{\"username\":\"\",\"password\":\"\"}").status == 400)
            #expect(try await login("{").status == 400)
        }
    }

    @Test("a token made for one stream holds for that stream")
    func mintedToken() async throws {
        try await guarded { (bench, _) async throws in
            let body = "{\"id\":\"cam\",\"duration\":60,\"publish\":true,\"subscribe\":false,\"admin\":false}"
            let answer = try await bench.send(
                .post, "/api/token", ["Content-Type": "application/json"], token: "admin", body: body)
            #expect(answer.status == 200)
            let token = try #require(
                (try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any])?["access_token"] as? String)
            #expect(try await bench.offer("/whip/cam", token: token).status == 201)
            #expect(try await bench.offer("/whep/cam", token: token).status == 403)
            #expect(try await bench.offer("/whip/demo", token: token).status == 403)
            #expect(try await bench.get("/api/nodes", token: token).status == 403)
        }
    }
}

@Suite("Pages of other origins (WHATWG Fetch section 3.2)", .timeLimit(.minutes(5)))
struct OriginTests {
    @Test("those of the list may read answers, also those that come from a node; others may not")
    func list() async throws {
        let edge = try TestEdge("edge-1")
        try await Bench.run([edge], extra: "http.cors = [\"https://a.example\"]") { bench in
            for (origin, allowed) in [("https://a.example", "https://a.example"), ("https://b.example", nil)] {
                for (method, path) in [
                    (HTTPMethod.get, "/api/nodes"), (.options, "/whip/demo"), (.delete, "/session/demo/edge-1~x"),
                ] {
                    let answer = try await bench.send(method, path, ["Origin": origin])
                    #expect(answer.headers["Access-Control-Allow-Origin"] == allowed, "\(path)")
                    #expect(answer.headers.all("Vary") == ["Origin"], "\(path)")
                }
            }
        }
    }
}

@Suite("Limits of the coordinator", .timeLimit(.minutes(5)))
struct LimitTests {
    @Test("more requests than the rate are 429 with a time to come back; health is not counted")
    func rate() async throws {
        try await Bench.run([], extra: "limits.rate_rps = 0.1\nlimits.rate_burst = 4") { bench in
            var statuses: [Int] = []
            for _ in 0..<6 {
                let answer = try await bench.get("/api/streams")
                statuses.append(answer.status)
                if answer.status == 429 { #expect(answer.headers["Retry-After"] != nil) }
            }
            // Bench.run has asked once itself.
            #expect(statuses == [200, 200, 200, 429, 429, 429])
            let health = try await bench.get("/healthz")
            #expect(health.status == 200)
        }
    }

    @Test("sessions of the cluster and viewers of a stream are limited")
    func sessions() async throws {
        let edge = try TestEdge("edge-1")
        edge.setStreams([TestRecords.stream("demo", viewers: 2), TestRecords.stream("other")])
        try await Bench.run([edge], extra: "limits.max_subs_per_stream = 2\nlimits.max_sessions = 5") { bench in
            try await eventually("the streams show") { try await bench.get("/api/streams").text.contains("other") }
            let full = try await bench.offer("/whep/demo")
            #expect(full.status == 403)
            let other = try await bench.offer("/whep/other")
            #expect(other.status == 201)
            edge.setStreams([TestRecords.stream("demo", viewers: 2), TestRecords.stream("other", viewers: 1)])
            try await eventually("the fifth session shows") {
                try await bench.get("/api/streams").text.occurrences(of: "~v0") == 2
            }
            let publisher = try await bench.offer("/whip/third")
            #expect(publisher.status == 503)
            #expect(publisher.headers["Retry-After"] == "5")
        }
    }
}
