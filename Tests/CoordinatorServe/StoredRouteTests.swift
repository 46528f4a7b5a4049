import EdgeFixtures
import HTTP
import Store
import StoreFixtures
import Testing

@Suite("Recordings that no node has, from a folder that all share", .timeLimit(.minutes(5)))
struct StoredRouteTests {
    private static let extra = "recorder.storage.type = \"fs\"\nrecorder.storage.root = \"{folder}/objects\""

    private func fill(_ bench: Bench, _ texts: [JournalText]) throws -> FileStore {
        let store = try FileStore(root: bench.folder.file("objects"))
        for text in texts {
            for object in text.objects { try store.putUnflushedNow(try ObjectKey(object), Array("media".utf8)) }
            try store.putNow(try ObjectKey(text.path), text.bytes, ifAbsent: false)
        }
        return store
    }

    @Test("they are listed and played, the day's manifest ends, and deleting one removes its objects")
    func served() async throws {
        let (closed, open) = (JournalText("closed", segments: 3), JournalText("open", segments: 2, end: .none))
        try await Bench.run([], extra: Self.extra) { bench in
            let store = try fill(bench, [closed, open])
            // As the recorder left it.
            let manifest = "\(open.directory)/manifest.mpd"
            try store.putNow(try ObjectKey(manifest), Array("<MPD type=\"dynamic\"/>".utf8), ifAbsent: false)
            try await eventually("both are listed") {
                let text = try await bench.get("/api/playback/demo").text
                return text.contains("\"completed\"") && text.contains("\"incomplete\"")
            }
            let day = try await bench.get("/api/record/object/\(manifest)")
            #expect(day.status == 200 && day.headers["Content-Type"] == "application/dash+xml")
            #expect(day.text.contains("type=\"static\"") && day.text.occurrences(of: "<Period") == 2)
            let tag = try #require(day.headers["ETag"])
            #expect(try await bench.get("/api/record/object/\(manifest)", ["If-None-Match": tag]).status == 304)
            #expect(try await bench.get("/api/record/object/\(manifest)", ["Range": "bytes=0-4"]).text == "<?xml")
            #expect(try await bench.get("/api/playback/demo/manifest.mpd").text.contains("type=\"static\""))
            #expect(try await bench.get("/api/record/object/\(closed.objects[1])?node=edge-a").text == "media")

            #expect(try await bench.send(.delete, "/api/playback/demo/closed").status == 204)
            for object in closed.objects { #expect(throws: StoreError.notFound) { try store.headNow(try ObjectKey(object)) } }
            for object in open.objects { _ = try store.headNow(try ObjectKey(object)) }
            #expect(try await !bench.get("/api/playback/demo").text.contains("closed"))
            #expect(try await bench.get("/api/record/object/\(manifest)").text.occurrences(of: "<Period") == 1)
            #expect(try await bench.send(.delete, "/api/playback/demo/closed").status == 404)
            // In a folder nobody can tell a writer who waits from one who is gone.
            let refused = try await bench.send(.delete, "/api/playback/demo/open")
            #expect(refused.status == 409 && refused.headers["Retry-After"] != nil)
            let metrics = try await bench.get("/metrics").text
            #expect(metrics.contains("tributary_coordinator_store_sync_recordings_total 2"))
        }
    }

    @Test("a node of that name which has it not any more does not keep it from being deleted")
    func nodeWithout() async throws {
        let text = JournalText("closed", segments: 3)
        let edge = try TestEdge("edge-a")
        try await Bench.run([], extra: Self.extra) { bench in
            let store = try fill(bench, [text])
            try await eventually("it is listed") { try await bench.get("/api/playback/demo").text.contains("closed") }
            let node = "{\"alias\": \"edge-a\", \"url\": \"\(edge.url)\"}"
            let json: HTTPHeaders = ["Content-Type": "application/json"]
            #expect(try await bench.send(.post, "/api/nodes", json, body: node).status == 201)
            try await eventually("it answers") { try await bench.get("/api/nodes").text.contains("running") }
            #expect(try await bench.send(.delete, "/api/playback/demo/closed").status == 204)
            #expect(edge.seen("/api/recordings/closed").map(\.method) == ["DELETE"])
            #expect(throws: StoreError.notFound) { try store.headNow(try ObjectKey(text.objects[1])) }
        }
        await edge.stop()
    }
}
