import Cluster
import Foundation
import HTTP
import Record
import SDP
import Streams
import Testing

@testable import EdgeServe

@Suite("Recordings over HTTP")
struct RecordRouteTests {
    private static let json: HTTPHeaders = ["Content-Type": "application/json"]

    @Test("start, ask, start again, stop; with a body and without")
    func startAndStop() async throws {
        try await TestNode.with { node in
            #expect(try await node.send(.post, "/api/record/demo").status == 404)
            #expect(try await node.send(.get, "/api/record/demo").status == 404)
            #expect(try await node.send(.delete, "/api/record/demo").status == 404)
            #expect(try await node.post("/whip/demo", sdp: TestOffer.publish()).status == 201)
            let idle = try await node.send(.get, "/api/record/demo")
            #expect(idle.body == #"{"recording":false,"state":"stopped"}"#)

            let started = try await node.send(.post, "/api/record/demo")
            #expect(started.status == 200 && started.headers["Content-Type"] == "application/json")
            #expect(started.body.contains(#""mpd_path":"demo/"#) && started.body.contains(#""record_dir":"demo/"#))
            let again = try await node.send(.post, "/api/record/demo/", headers: Self.json, body: "{}")
            #expect(again.status == 200)
            let status = try await node.send(.get, "/api/record/demo").body
            for part in [
                #""recording":true"#, #""state":"waiting""#, #""writing":false"#, #""segments":0"#, #""bytes":0"#,
                #""record_id":"#,
                #""mpd_path":"demo/"#,
            ] {
                #expect(status.contains(part), "\(part) in \(status)")
            }
            #expect(await node.services.registry.record(of: "demo")?.recording == true)
            let elsewhere = try await node.send(
                .post, "/api/record/demo", headers: Self.json, body: #"{"base_dir":"other/place"}"#)
            #expect(elsewhere.status == 409)

            #expect(try await node.send(.delete, "/api/record/demo").status == 200)
            #expect(try await node.send(.get, "/api/record/demo").body.contains(#""recording":false"#))
            #expect(try await node.send(.delete, "/api/record/demo").status == 200)
        }
    }

    @Test(
        "the stream tells which directory its recording was asked for with, for whoever has it go on elsewhere",
        arguments: [nil, "shows/%Y/%m/%d"])
    func baseDirectory(asked: String?) async throws {
        let body = asked.map { "{\"base_dir\":\"\($0)\"}" } ?? "{}"
        try await TestNode.with { node in
            #expect(try await node.post("/whip/demo", sdp: TestOffer.publish()).status == 201)
            let started = try await node.send(.post, "/api/record/demo", headers: Self.json, body: body)
            #expect(started.status == 200)
            let running = await node.services.registry.record(of: "demo")
            #expect(running?.recording == true && running?.recordingBaseDir == asked)
            #expect(try await node.send(.delete, "/api/record/demo").status == 200)
            #expect(await node.services.registry.record(of: "demo")?.recordingBaseDir == nil)
        }
    }

    @Test("how long a recording may be is asked for at the start or while it goes on, is shown, and is checked")
    func longest() async throws {
        try await TestNode.with { node in
            #expect(try await node.post("/whip/demo", sdp: TestOffer.publish()).status == 201)
            let steps: [(body: String, then: Int?)] = [
                (#"{"max_recording_seconds":600}"#, 600), ("{}", 600), (#"{"max_recording_seconds":60}"#, 60),
                (#"{"max_recording_seconds":0}"#, nil), (#"{"max_recording_seconds":31536000}"#, 31_536_000),
            ]
            for (body, then) in steps {
                let started = try await node.send(.post, "/api/record/demo", headers: Self.json, body: body)
                let status = try await node.send(.get, "/api/record/demo").body
                for text in [started.body, status] {
                    let shown = then.map { text.contains("\"max_recording_seconds\":\($0)") }
                    #expect(shown ?? !text.contains("max_recording_seconds"), "\(body): \(text)")
                }
                #expect(await node.services.registry.record(of: "demo")?.recordingMaxSeconds == then)
            }
            for value in ["-1", "1", "59", "31536001", "1.5", "\"60\"", "1e99"] {
                let answer = try await node.send(
                    .post, "/api/record/demo", headers: Self.json, body: "{\"max_recording_seconds\":\(value)}")
                #expect(answer.status == 400 && answer.body.contains("max_recording_seconds"), "\(value): \(answer.body)")
            }
            #expect(await node.services.registry.record(of: "demo")?.recordingMaxSeconds == 31_536_000)
            #expect(try await node.send(.delete, "/api/record/demo").status == 200)
            #expect(await node.services.registry.record(of: "demo")?.recordingMaxSeconds == nil)
        }
    }

    @Test("base_dir that would leave the root, and bodies that are no JSON, are 400 and record nothing")
    func badStart() async throws {
        try await TestNode.with { node in
            #expect(try await node.send(.post, "/api/streams/demo").status == 204)
            let directories = ["../x", "/etc", "a/../../b", "a//b", "a\\\\b", "a\\u0000b", ".", ".."]
            for directory in directories {
                let answer = try await node.send(
                    .post, "/api/record/demo", headers: Self.json, body: "{\"base_dir\":\"\(directory)\"}")
                #expect(answer.status == 400, "\(directory)")
            }
            // As long as a key may be, but nothing could lie in it.
            let long = Array(repeating: String(repeating: "a", count: 248), count: 4).joined(separator: "/")
            let answer = try await node.send(
                .post, "/api/record/demo", headers: Self.json, body: "{\"base_dir\":\"\(long)\"}")
            #expect(long.utf8.count == 995 && answer.status == 400 && answer.body.contains("at most 9"))
            for body in ["{", "[]", #"{"base_dir":5}"#] {
                #expect(try await node.send(.post, "/api/record/demo", headers: Self.json, body: body).status == 400)
            }
            #expect(try await node.send(.post, "/api/record/%2e%2e").status == 400)
            #expect(node.services.recorder.streams.isEmpty)
        }
    }

    @Test("a node that does not record says so to everything about recordings, and streams all the same")
    func turnedOff() async throws {
        try await TestNode.with("[recorder]\nenabled = false\nauto_streams = [\"*\"]") { node in
            #expect(try await node.post("/whip/demo", sdp: TestOffer.publish()).status == 201)
            let paths: [(HTTPMethod, String)] = [
                (.post, "/api/record/demo"), (.get, "/api/record/demo"), (.delete, "/api/record/demo"), (.get, "/api/recordings"),
                (.patch, "/api/recordings"), (.delete, "/api/recordings"), (.get, "/api/recordings/x"),
                (.delete, "/api/recordings/x"),
            ]
            for (method, path) in paths {
                let answer = try await node.send(method, path)
                #expect(answer.status == 501 && answer.body.contains("Recorder feature not enabled"), "\(method) \(path)")
            }
            #expect(node.services.recorder.streams.isEmpty)
        }
    }

    @Test("too little space: 507 for who asks; what is recorded by itself waits, and says so")
    func noSpace() async throws {
        try await TestNode.with("[recorder]\nmin_free_space = \"1000 TiB\"") { node in
            #expect(try await node.post("/whip/demo", sdp: TestOffer.publish()).status == 201)
            let answer = try await node.send(.post, "/api/record/demo")
            #expect(answer.status == 507 && answer.body.contains("are needed"))
            #expect(try await node.send(.get, "/api/record/demo").body.contains(#""state":"stopped""#))
        }
        try await TestNode.with("[recorder]\nmin_free_space = \"1000 TiB\"\nauto_streams = [\"*\"]") { node in
            #expect(try await node.post("/whip/demo", sdp: TestOffer.publish()).status == 201)
            var status = ""
            for _ in 0..<200 where !status.contains(#""recording":true"#) {
                status = try await node.send(.get, "/api/record/demo").body
            }
            #expect(status.contains(#""recording":true"#))
        }
    }

    @Test("the index: an empty page, parameters that are checked, unknown recordings")
    func index() async throws {
        try await TestNode.with { node in
            let page = try await node.send(.get, "/api/recordings?limit=10&since_ts=0")
            #expect(page.status == 200 && page.body == #"{"sessions":[]}"#)
            for query in ["limit=x", "limit=-1", "since_ts=9999999999999999999999", "stream=a%2fb"] {
                #expect(try await node.send(.get, "/api/recordings?\(query)").status == 400)
            }
            #expect(try await node.send(.get, "/api/recordings/none").status == 404)
            #expect(try await node.send(.delete, "/api/recordings/none").status == 404)
            let body = #"{"records":[{"stream":"demo","record":"1"}]}"#
            #expect(try await node.send(.patch, "/api/recordings", headers: Self.json, body: body).body == #"{"acked":0}"#)
            #expect(try await node.send(.delete, "/api/recordings", headers: Self.json, body: body).body == #"{"deleted":0}"#)
            #expect(try await node.send(.patch, "/api/recordings", headers: Self.json, body: "{}").status == 400)
        }
    }
}

@Suite("Objects over HTTP (RFC 9110 section 13 and 14)")
struct ObjectRouteTests {
    /// A node with one segment, one manifest and one journal in its storage, and a secret beside it.
    private func with(_ toml: String = "", _ body: (TestNode) async throws -> Void) async throws {
        try await TestNode.with(toml) { node in
            let folder = URL(fileURLWithPath: node.folder + "/storage/demo/2026/01/02")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            for (name, text) in [
                ("seg_0001.m4s", "0123456789"), ("audio_seg_0001.m4s", "sound"), ("manifest.mpd", "<MPD/>"),
                ("session_1.jsonl", "{}"),
                ("seg_0002.m4s.tmp", "half"),
            ] {
                try Data(text.utf8).write(to: folder.appendingPathComponent(name))
            }
            try Data("secret".utf8).write(to: URL(fileURLWithPath: node.folder + "/secret.mpd"))
            try FileManager.default.createSymbolicLink(
                at: folder.appendingPathComponent("link.mpd"),
                withDestinationURL: URL(fileURLWithPath: node.folder + "/secret.mpd"))
            try await body(node)
        }
    }

    private static let base = "/api/record/object/demo/2026/01/02/"

    @Test("media types, whole bodies, ranges and conditions")
    func serving() async throws {
        try await with { node in
            let whole = try await node.send(.get, Self.base + "seg_0001.m4s")
            #expect(whole.status == 200 && whole.body == "0123456789" && whole.headers["Content-Type"] == "video/mp4")
            let etag = try #require(whole.headers["ETag"])
            for name in ["seg_0001.m4s", "manifest.mpd"] {
                let answer = try await node.send(.get, Self.base + name)
                #expect(answer.headers["X-Content-Type-Options"] == "nosniff", "\(name)")
            }
            #expect(try await node.send(.get, Self.base + "audio_seg_0001.m4s").headers["Content-Type"] == "audio/mp4")
            #expect(try await node.send(.get, Self.base + "manifest.mpd").headers["Content-Type"] == "application/dash+xml")
            let part = try await node.send(.get, Self.base + "seg_0001.m4s", headers: ["Range": "bytes=2-4"])
            #expect(part.status == 206 && part.body == "234" && part.headers["Content-Range"] == "bytes 2-4/10")
            #expect(try await node.send(.get, Self.base + "seg_0001.m4s", headers: ["Range": "bytes=-3"]).body == "789")
            #expect(try await node.send(.get, Self.base + "seg_0001.m4s", headers: ["Range": "bytes=10-"]).status == 416)
            #expect(try await node.send(.get, Self.base + "seg_0001.m4s", headers: ["If-None-Match": etag]).status == 304)
            let head = try await node.send(.head, Self.base + "seg_0001.m4s")
            #expect(head.status == 200 && head.headers["Content-Length"] == "10" && head.body.isEmpty)
        }
    }

    @Test(
        "nothing outside of the root, and nothing that is no recording",
        arguments: [
            ("%2e%2e/%2e%2e/%2e%2e/%2e%2e/secret.mpd", 400), ("..%2f..%2fsecret.mpd", 400),
            ("%2fetc%2fpasswd", 400), ("a%00.mpd", 400), ("a%5c..%5cb.mpd", 400), ("none.mpd", 404), ("session_1.jsonl", 404),
            ("seg_0002.m4s.tmp", 404), ("link.mpd", 404), ("", 404),
        ])
    func outside(_ path: String, _ status: Int) async throws {
        try await with { node in
            let answer = try await node.send(.get, Self.base + path)
            #expect(answer.status == status || (path == "link.mpd" && answer.status >= 400), "\(answer.status)")
            #expect(!answer.body.contains("secret"))
        }
    }

    @Test(
        "what the server's thread answers is what the handler answers",
        arguments: [
            ("seg_0001.m4s", [:]), ("seg_0001.m4s", ["Range": "bytes=2-4"]), ("seg_0001.m4s", ["Range": "bytes=10-"]),
            ("seg_0001.m4s", ["If-None-Match": "*"]), ("manifest.mpd", ["Accept-Encoding": "gzip"]), ("none.mpd", [:]),
            ("session_1.jsonl", [:]), ("link.mpd", [:]), ("%2e%2e/%2e%2e/secret.mpd", [:]), ("seg_0001.m4s?part=0", [:]),
            ("seg_0001.m4s", ["Authorization": "Bearer nobody"]), ("seg_0001.m4s", ["Authorization": "Bearer elsewhere"]),
            ("seg_0001.m4s", ["Authorization": ""]), ("seg_0001.m4s?token=all", ["Authorization": ""]),
        ] as [(String, HTTPHeaders)])
    func immediate(_ path: String, _ fields: HTTPHeaders) async throws {
        let toml = "[auth]\ntokens = [\"all\"]\nroom_tokens = { demo = \"room\", other = \"elsewhere\" }\n"
        try await with(toml) { node in
            var router = node.services.router
            // Behind a middleware no answer is made on the server's thread.
            router.use { request, next in await next(request) }
            let later = try HTTPServer(HTTPServerSettings(), router: router)
            try later.start()
            var headers = fields
            if headers["Authorization"] == nil { headers["Authorization"] = "Bearer room" }
            if headers["Authorization"] == "" { headers["Authorization"] = nil }
            for method in [HTTPMethod.get, .head] {
                var answers: [(HTTPStatus, HTTPHeaders, [UInt8])] = []
                for url in [node.services.url, later.url] {
                    let answer = try await node.client.send(HTTPClientRequest(method, url + Self.base + path, headers: headers))
                    var fields = answer.headers
                    fields["Date"] = nil
                    answers.append((answer.status, fields, try await answer.collect()))
                }
                #expect(answers[0] == answers[1])
            }
            await later.stop()
        }
    }

    @Test("a stream's token reads its own recordings only")
    func authorization() async throws {
        let toml = """
            [auth]
            tokens = ["all"]
            room_tokens = { demo = "room", other = "elsewhere" }
            """
        try await with(toml) { node in
            for (token, status) in [("room", 200), ("all", 200), ("elsewhere", 403)] {
                let headers: HTTPHeaders = ["Authorization": "Bearer \(token)"]
                let answer = try await node.send(.get, Self.base + "manifest.mpd", headers: headers)
                #expect(answer.status == status)
            }
            #expect(try await node.send(.get, Self.base + "manifest.mpd").status == 401)
        }
    }

    @Test("a link to a clip opens that clip without a token, and no object")
    func link() async throws {
        try await with("[auth]\nroom_tokens = { demo = \"room\" }\n") { node in
            let clip = "/api/playback/demo/export.mp4?start=1767312000&end=1767312002"
            #expect(try await node.send(.post, clip).status == 401)
            let made = try await node.send(.post, clip, headers: ["Authorization": "Bearer room"])
            #expect(made.status == 200)
            let link = try #require(
                (try JSONSerialization.jsonObject(with: Data(made.body.utf8)) as? [String: Any])?["url"] as? String)
            // Let in: none of these files is in a recording.
            #expect(try await node.send(.get, link).status == 404)
            #expect(try await node.send(.get, clip).status == 401)
            let signed = String(link.split(separator: "?")[1])
            #expect(try await node.send(.get, Self.base + "seg_0001.m4s?" + signed).status == 401)
        }
    }
}
