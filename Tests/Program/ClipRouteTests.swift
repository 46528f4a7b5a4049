import Foundation
import HTTP
import MediaFixtures
import Presentation
import Program
import Testing

/// Recordings in memory, made by ffmpeg: one period for each picture size, 4 s each.
private struct MemoryRecordings: PlaybackSource {
    static let startUs: Int64 = 1_795_168_800_000_000
    let sizes: [String]
    var codecs = "avc1.42e01f"
    /// From the start of a period to that of the next.
    var everySeconds: Int64 = 10
    /// Of the recording; nil while it grows.
    var endUs: Int64?
    var updatedUs = MemoryRecordings.startUs
    private let objects: [String: [UInt8]]

    init(sizes: [String]) throws {
        self.sizes = sizes
        var objects: [String: [UInt8]] = [:]
        for (index, size) in sizes.enumerated() {
            let bytes = [UInt8](
                try Tool.run(
                    "ffmpeg",
                    [
                        "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=\(size):rate=30:d=4", "-c:v", "libx264", "-preset",
                        "ultrafast", "-g", "60", "-bf", "0", "-video_track_timescale", "90000", "-movflags",
                        "+cmaf+empty_moov+default_base_moof", "-frag_duration", "1000000", "-f", "mp4", "-",
                    ]))
            let head = try FixtureBox.parse(bytes).prefix { $0.type == "ftyp" || $0.type == "moov" }
            let end = head.reduce(0) { $0 + $1.body.count + 8 }
            objects["d/init\(index).m4s"] = Array(bytes[..<end])
            objects["d/seg\(index)_0001.m4s"] = Array(bytes[end...])
        }
        self.objects = objects
    }

    var namesNodes: Bool { false }
    func streams() async throws -> [String] { ["demo"] }
    func page(_ query: RecordingQuery) async throws -> PlaybackPage { PlaybackPage(rows: [], next: nil) }
    func recordingStart(stream: String, id: String?) async throws -> Int64? { ["s", nil].contains(id) ? Self.startUs : nil }

    func liveEdge(of stream: String) async -> LiveEdge? { nil }
    func awaitChange(of stream: String, past version: Int64, seconds: Double) async -> Bool { false }
    var segmentSecondsMax: Double { 12 }

    func material(stream: String, fromUs: Int64?, toUs: Int64?) async throws -> [RecordedMaterial] {
        let recording = IndexedRecording(
            stream: "demo", node: "n", session: "s", startUs: Self.startUs, endUs: endUs, status: .completed,
            mpdPath: "d/manifest.mpd", recordDir: "d", updatedUs: updatedUs)
        // Four seconds each, and nothing recorded in between.
        let periods = sizes.indices.map { index in
            IndexedPeriod(
                ordinal: index, startUs: Self.startUs + Int64(index) * everySeconds * 1_000_000,
                tracks: [
                    IndexedTrack(
                        kind: "video", codecs: codecs, timescale: 90_000, timeAtStart: 0,
                        initialization: "d/init\(index).m4s", segmentPrefix: "d/seg\(index)_", bandwidth: 1, width: 16,
                        height: 16,
                        segments: [IndexedSegment(number: 1, time: 0, duration: 360_000)])
                ]
            ).touching(fromUs: fromUs, toUs: toUs)
        }
        return [RecordedMaterial(recording: recording, periods: periods, isGrowing: false)]
    }

    func object(_ key: String, node: String, for request: HTTPRequest) async throws -> ObjectStream {
        guard let bytes = objects[key] else { throw HTTPError(.notFound, key) }
        let pieces = Pieces(bytes)
        return ObjectStream { await pieces.next() }
    }

    private actor Pieces {
        private var rest: ArraySlice<UInt8>
        init(_ bytes: [UInt8]) { rest = bytes[...] }
        func next() -> [UInt8]? {
            let piece = rest.prefix(5_000)
            rest = rest.dropFirst(5_000)
            return piece.isEmpty ? nil : Array(piece)
        }
    }
}

@Suite("export.mp4")
struct ClipRouteTests {
    private func status(
        _ source: MemoryRecordings, _ query: String, of name: String = "export.mp4", header: String = "X-Clip-Start"
    ) async throws -> (HTTPStatus, String) {
        var router = Router()
        for route in PlaybackRoutes(source: source).all { router.get(route.pattern, route.description, route.handler) }
        let request = try HTTPRequest(method: .get, target: "/api/playback/demo/\(name)?\(query)")
        let response = await router.respond(to: request)
        if case .bytes(let bytes) = response.body { return (response.status, String(decoding: bytes, as: UTF8.self)) }
        return (response.status, response.headers[header] ?? "")
    }

    @Test("one format over a gap is one file, a change of it is a conflict that says where")
    func formats() async throws {
        let same = try MemoryRecordings(sizes: ["64x48", "64x48"])
        #expect(try await status(same, "start=0&end=14") == (.ok, "2026-11-20T10:00:00Z"))
        #expect(try await status(same, "start=3&end=14") == (.ok, "2026-11-20T10:00:02Z"))
        #expect(try await status(same, "start=3&end=14&cut=exact") == (.ok, "2026-11-20T10:00:03Z"))
        // What begins in a gap begins behind it.
        #expect(try await status(same, "start=6&end=14&cut=exact") == (.ok, "2026-11-20T10:00:10Z"))
        #expect(try await status(same, "start=5&end=9").0 == .notFound)

        let changing = try MemoryRecordings(sizes: ["64x48", "96x64"])
        #expect(try await status(changing, "start=0&end=4").0 == .ok)
        #expect(try await status(changing, "start=10&end=14").0 == .ok)
        let (code, words) = try await status(changing, "start=0&end=14")
        #expect(code == .conflict)
        #expect(words.contains("2026-11-20T10:00:10Z"))
    }

    @Test("a recording's file is all of it, or what start and end say; either may be left out")
    func file() async throws {
        let source = try MemoryRecordings(sizes: ["64x48", "64x48"])
        for (query, start) in [
            ("", "00"), ("end=3", "00"), ("start=3", "02"), ("start=3&end=14&cut=exact", "03"), ("start=12", "12"),
        ] {
            #expect(try await status(source, query, of: "s/file.mp4") == (.ok, "2026-11-20T10:00:\(start)Z"))
        }
        #expect(try await status(source, "node=n", of: "s/file.mp4").0 == .ok)
        #expect(try await status(source, "node=other", of: "s/file.mp4").0 == .notFound)
        #expect(
            try await status(source, "", of: "unknown/file.mp4") == (.notFound, "{\"error\":\"demo has no recording unknown\"}"))
        #expect(try await status(source, "start=9&end=3", of: "s/file.mp4").0 == .badRequest)
        #expect(try await status(source, "start=30", of: "s/file.mp4").0 == .notFound)
    }

    @Test("a day's recording is whole in its file, with what came behind midnight; of a longer one the range must be given")
    func longFile() async throws {
        var source = try MemoryRecordings(sizes: ["64x48", "64x48"])
        (source.everySeconds, source.endUs) = (86_399, MemoryRecordings.startUs + 86_403_000_000)
        let whole = try await status(source, "", of: "s/file.mp4", header: "Content-Disposition")
        #expect(whole == (.ok, "inline; filename=\"demo_20261120T100000Z_8s.mp4\""))

        let lateUs = MemoryRecordings.startUs + 108_000_000_000
        (source.everySeconds, source.endUs) = (107_996, lateUs)
        let (code, words) = try await status(source, "", of: "s/file.mp4")
        #expect(code == .badRequest && words.contains("24 hours") && words.contains("start and end"))
        #expect(try await status(source, "start=40000", of: "s/file.mp4").0 == .ok)
        #expect(try await status(source, "end=86400", of: "s/file.mp4").0 == .ok)
        #expect(try await status(source, "end=86401", of: "s/file.mp4").0 == .badRequest)
        // What grows has no end yet.
        (source.endUs, source.updatedUs) = (nil, lateUs)
        #expect(try await status(source, "", of: "s/file.mp4").0 == .badRequest)
    }

    @Test("VP8 is played by DASH; HLS and MP4, which have no place for it, say so in words", arguments: ["vp8", "avc1.42e01f"])
    func webM(codecs: String) async throws {
        var source = try MemoryRecordings(sizes: ["64x48"])
        source.codecs = codecs
        let isWebM = codecs == "vp8"
        let (code, manifest) = try await status(source, "", of: "manifest.mpd")
        #expect(code == .ok)
        #expect(manifest.contains("mimeType=\"video/\(isWebM ? "webm" : "mp4")\""))
        #expect(manifest.contains("seg0_$Number%04d$.\(isWebM ? "webm" : "m4s")"))
        for name in ["index.m3u8", "video.m3u8"] {
            let (code, words) = try await status(source, "", of: name)
            #expect(code == (isWebM ? .conflict : .ok))
            #expect(words.contains("manifest.mpd") == isWebM)
        }
        let (export, words) = try await status(source, "start=0&end=3")
        #expect(export == (isWebM ? .conflict : .ok))
        #expect(words.contains("WebM") == isWebM)
    }
}
