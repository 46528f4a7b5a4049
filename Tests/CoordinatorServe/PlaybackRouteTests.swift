import Cluster
import CoordinatorServe
import EdgeFixtures
import Foundation
import HTTP
import Testing

@Suite("Recordings and playback over HTTP", .timeLimit(.minutes(5)))
struct PlaybackRouteTests {
    private static let day: Int64 = 86_400_000_000

    /// Two nodes: a day of `demo` on each, and a growing one of `live`.
    private func recorded() throws -> [TestEdge] {
        let edges = [try TestEdge("edge-1"), try TestEdge("edge-2")]
        let at = TestRecords.tenOClockUs
        let one = TestRecords.recording("one", node: "edge-1", segments: 3, updatedAt: 100)
        let two = TestRecords.recording("two", node: "edge-2", startUs: at + Self.day, segments: 5, updatedAt: 100)
        let live = TestRecords.recording("live", stream: "live", node: "edge-1", segments: 2, status: .active, updatedAt: 101)
        edges[0].setRecording(one.row, one.detail)
        edges[0].setRecording(live.row, live.detail)
        edges[1].setRecording(two.row, two.detail)
        return edges
    }

    private func synced(_ bench: Bench) async throws {
        try await eventually("all recordings are in the index") {
            let demo = try await bench.get("/api/playback/demo/manifest.mpd").text.occurrences(of: "<Period ")
            let live = try await bench.get("/api/playback/live/manifest.mpd").status
            return demo == 2 && live == 200
        }
    }

    private struct Placed: Decodable {
        let id: String
        let start: String
        let gap: Double?
    }

    @Test("a node whose clock is an hour ahead is listed and played where its recording really was")
    func wrongClock() async throws {
        let hourMs: Int64 = 3_600_000
        let edges = [try TestEdge("edge-1"), try TestEdge("edge-2", clockAheadMs: hourMs)]
        let at = TestRecords.tenOClockUs
        // From 10:00:00 to 10:00:06, and from 10:00:05, which edge-2 took for 11:00:05.
        let one = TestRecords.recording("one", node: "edge-1", segments: 3, updatedAt: 100)
        let two = TestRecords.recording(
            "two", node: "edge-2", startUs: at + 5_000_000 + hourMs * 1_000, segments: 5, updatedAt: 100)
        edges[0].setRecording(one.row, one.detail)
        edges[1].setRecording(two.row, two.detail)
        try await Bench.run(edges) { bench in
            var rows: [Placed] = []
            try await eventually("both recordings are listed, with gaps that make sense") {
                let answer = try await bench.get("/api/playback/demo")
                rows = try JSONDecoder().decode([Placed].self, from: Data(answer.body))
                return rows.count == 2 && abs((rows[0].gap ?? 9) + 1) < 0.3
            }
            #expect(rows.map(\.id) == ["two", "one"])
            #expect(rows[0].start.hasPrefix("2026-11-20T10:00:0"))
            #expect(rows[1].gap == nil)
            try await eventually("both play") {
                try await bench.get("/api/playback/demo/manifest.mpd").text.occurrences(of: "<Period ") == 2
            }
            // In the range by the real time only: three segments of edge-2 after 10:00:07.
            let late = try await bench.get("/api/playback/demo/manifest.mpd?from=2026-11-20T10:00:08Z&to=2026-11-20T10:30:00Z")
            #expect(late.text.contains("node=edge-2") && !late.text.contains("node=edge-1"))
            #expect(try await bench.get("/api/playback/demo/manifest.mpd?from=2026-11-20T10:59:00Z").status == 404)
            let nodes = try await bench.get("/api/nodes").text
            #expect(nodes.contains(#""clock_offset_ms":-3599"#) || nodes.contains(#""clock_offset_ms":-3600"#))
        }
    }

    private struct Row: Decodable {
        let year: Int
        let month: Int
        let day: Int
        let mpd_path: String
        let node_alias: String
        let start: String
        let end: String?
        let duration: Double
        let status: String
        let id: String
    }

    @Test("streams and their recordings by day, newest first, in pages")
    func lists() async throws {
        try await Bench.run(recorded()) { bench in
            try await synced(bench)
            #expect(try await bench.get("/api/playback").text == "[\"demo\",\"live\"]")
            let all = try JSONDecoder().decode([Row].self, from: Data(try await bench.get("/api/playback/demo/").body))
            #expect(all.map(\.node_alias) == ["edge-2", "edge-1"])
            #expect(all.map(\.day) == [21, 20])
            #expect(all.map(\.status) == ["completed", "completed"])
            #expect(all[1].start == "2026-11-20T10:00:00Z")
            #expect(all[1].end == "2026-11-20T10:00:06Z")
            #expect(all[1].duration == 6)
            #expect(all[1].mpd_path == "demo/2026/11/20/manifest.mpd")
            let first = try await bench.get("/api/playback/demo?limit=1")
            let link = try #require(first.headers["Link"])
            let next = try #require(link.firstMatch(of: /<(.+)>; rel="next"/)).1
            let rest = try await bench.get(String(next))
            #expect(try JSONDecoder().decode([Row].self, from: Data(rest.body)).map(\.id) == ["one"])
            #expect(rest.headers["Link"] == nil)
            let narrow = try await bench.get("/api/playback/demo?to=2026-11-20T12:00:00Z")
            #expect(try JSONDecoder().decode([Row].self, from: Data(narrow.body)).map(\.id) == ["one"])
            #expect(try await bench.get("/api/playback/nobody").text == "[]")
        }
    }

    @Test(
        "what can't be meant is 400",
        arguments: [
            "/api/playback/demo?limit=0", "/api/playback/demo?limit=x", "/api/playback/demo?cursor=nonsense",
            "/api/playback/demo?from=yesterday", "/api/playback/demo?from=20&to=10", "/api/playback/.demo",
            "/api/playback/demo/manifest.mpd?gaps=maybe", "/api/playback/demo/manifest.mpd?to=x",
            "/api/playback/a%2fb/index.m3u8",
        ])
    func refusals(path: String) async throws {
        try await Bench.run([]) { bench in
            let answer = try await bench.get(path)
            #expect(answer.status == 400)
            #expect(answer.text.hasPrefix("{\"error\":"))
        }
    }

    @Test("one manifest over days and nodes, whose objects name their node, also when a node is away")
    func manifest() async throws {
        let edges = try recorded()
        try await Bench.run(edges) { bench in
            try await synced(bench)
            let whole = try await bench.get("/api/playback/demo/manifest.mpd")
            #expect(whole.headers["Content-Type"] == "application/dash+xml")
            #expect(whole.headers["Cache-Control"] == "no-cache")
            #expect(whole.headers["X-Content-Type-Options"] == "nosniff")
            #expect(whole.text.contains("type=\"static\""))
            #expect(whole.text.contains("mediaPresentationDuration=\"PT16S\""))
            #expect(whole.text.contains("seg_two_$Number%04d$.m4s?node=edge-2"))
            let tag = try #require(whole.headers["ETag"])
            #expect(try await bench.get("/api/playback/demo/manifest.mpd", ["If-None-Match": tag]).status == 304)
            let part = try await bench.get("/api/playback/demo/manifest.mpd?from=1795168802&to=2026-11-20T10:00:04Z")
            #expect(part.text.contains("mediaPresentationDuration=\"PT2S\""))
            #expect(part.text.contains("startNumber=\"2\""))
            #expect(try await bench.get("/api/playback/demo/manifest.mpd?from=2027-01-01T00:00:00Z").status == 404)
            await edges[1].stop()
            try await eventually("edge-2 is lost") { try await bench.get("/api/nodes").text.contains("\"lost\"") }
            #expect(try await bench.get("/api/playback/demo/manifest.mpd").text == whole.text)
        }
    }

    @Test("a growing recording is dynamic, and what is left of it when its node dies is static and lost")
    func dynamic() async throws {
        let edges = try recorded()
        try await Bench.run(edges) { bench in
            try await synced(bench)
            let growing = try await bench.get("/api/playback/live/manifest.mpd")
            #expect(growing.text.contains("type=\"dynamic\""))
            #expect(growing.text.contains("UTCTiming"))
            #expect(
                growing.text.contains("<Location>manifest.mpd?gaps=keep&amp;origin=\(TestRecords.tenOClockUs)</Location>"))
            let more = TestRecords.recording("live", stream: "live", node: "edge-1", segments: 4, status: .active, updatedAt: 300)
            edges[0].setRecording(more.row, more.detail)
            try await eventually("it has grown") {
                let now = try await bench.get("/api/playback/live/manifest.mpd", ["If-None-Match": growing.headers["ETag"] ?? ""])
                return now.status == 200 && now.text.contains("r=\"3\"")
            }
            await edges[0].stop()
            try await eventually("it is lost") { try await bench.get("/api/playback/live").text.contains("\"status\":\"lost\"") }
            let left = try await bench.get("/api/playback/live/manifest.mpd")
            #expect(left.text.contains("type=\"static\""))
            #expect(left.text.contains("mediaPresentationDuration=\"PT8S\""))
        }
    }

    @Test("HLS: the playlists lead to each other and carry range and token on")
    func hls() async throws {
        try await Bench.run(recorded()) { bench in
            try await synced(bench)
            let main = try await bench.get("/api/playback/demo/index.m3u8?from=1795168802&token=t")
            #expect(main.headers["Content-Type"] == "application/vnd.apple.mpegurl")
            #expect(main.text.contains("\nvideo.m3u8?from=1795168802&token=t\n"))
            let video = try await bench.get("/api/playback/demo/video.m3u8?from=1795168802&token=t")
            #expect(video.text.contains("seg_one_0002.m4s?node=edge-1&token=t\n"))
            #expect(!video.text.contains("seg_one_0001.m4s"))
            #expect(video.text.occurrences(of: "#EXTINF") == 7)
            #expect(try await bench.get("/api/playback/demo/audio.m3u8").text.occurrences(of: "#EXTINF") == 8)
            let nothing = try await bench.get("/api/playback/nobody/index.m3u8")
            #expect(nothing.status == 404 && nothing.headers["Cache-Control"] == "no-store")
        }
    }

    @Test("the clock for players is a date of now")
    func time() async throws {
        try await Bench.run([]) { bench in
            let answer = try await bench.get("/api/time")
            let date = try #require(
                try? Date(answer.text, strategy: .iso8601.year().month().day().time(includingFractionalSeconds: true)))
            #expect(abs(date.timeIntervalSinceNow) < 60)
            #expect(answer.headers["Cache-Control"] == "no-store")
        }
    }
}
