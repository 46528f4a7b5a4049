import HTTP
import Presentation
import Program
import Synchronization
import Testing

/// Recordings of an hour each, of which the last one grows, up to an instant that is set, and from one that retention has come to.
private final class EndlessSource: PlaybackSource {
    private struct State {
        var nowUs: Int64 = 0
        var keptUs: Int64 = 0
        var isOver = false
        var asked: [Int64?] = []
    }

    static let hourUs: Int64 = 3_600_000_000
    /// A midnight (UTC).
    static let midnightUs: Int64 = 1_795_132_800_000_000
    private let state = Mutex(State())

    func set(hours: Double, keptHours: Double = 24, isOver: Bool = false) {
        state.withLock {
            $0.nowUs = Self.midnightUs + Int64(hours * 3.6e9)
            $0.keptUs = $0.nowUs - Int64(keptHours * 3.6e9)
            $0.isOver = isOver
        }
    }

    /// From where material was asked for, since the last time.
    func asked() -> [Int64?] {
        state.withLock { state in
            defer { state.asked = [] }
            return state.asked
        }
    }

    private static func recording(_ hour: Int64, untilUs: Int64, isGrowing: Bool) -> RecordedMaterial {
        let startUs = hour * hourUs
        let recording = IndexedRecording(
            stream: "demo", node: "n", session: "s\(hour)", startUs: startUs, endUs: isGrowing ? nil : untilUs,
            status: isGrowing ? .active : .completed, mpdPath: "d/manifest.mpd", recordDir: "d", updatedUs: untilUs)
        let track = IndexedTrack(
            kind: "video", codecs: "avc1.42e01f", timescale: 90_000, timeAtStart: 0, initialization: "d/init\(hour).m4s",
            segmentPrefix: "d/seg\(hour)_", bandwidth: 1, width: 16, height: 16,
            segments: SegmentRuns(
                (0..<(untilUs - startUs) / 10_000_000).map {
                    IndexedSegment(number: $0 + 1, time: $0 * 900_000, duration: 900_000)
                }))
        return RecordedMaterial(
            recording: recording, periods: [IndexedPeriod(ordinal: 0, startUs: startUs, continues: true, tracks: [track])],
            isGrowing: isGrowing)
    }

    func material(stream: String, fromUs: Int64?, toUs: Int64?) async throws -> [RecordedMaterial] {
        let state = state.withLock { state in
            state.asked.append(fromUs)
            return state
        }
        let first = max(state.keptUs, fromUs ?? 0) / Self.hourUs
        let last = (state.nowUs - 1) / Self.hourUs
        return (first...max(first, last)).map { hour in
            let isGrowing = hour == last && !state.isOver
            return Self.recording(hour, untilUs: min(state.nowUs, (hour + 1) * Self.hourUs), isGrowing: isGrowing)
        }.map { material in
            var material = material
            material.periods = material.periods.map { $0.touching(fromUs: fromUs, toUs: toUs) }
            return material
        }
    }

    func liveEdge(of stream: String) async -> LiveEdge? {
        let state = state.withLock { $0 }
        guard !state.isOver else { return nil }
        let last = (state.nowUs - 1) / Self.hourUs
        return LiveEdge(
            version: state.nowUs, revision: state.nowUs, node: "n", session: "s\(last)", partSecondsMax: 0.58,
            segmentSecondsMax: 12, recent: [Self.recording(last, untilUs: state.nowUs, isGrowing: true)], period: nil, tracks: [])
    }

    func awaitChange(of stream: String, past version: Int64, seconds: Double) async -> Bool { false }
    var segmentSecondsMax: Double { 12 }
    var namesNodes: Bool { false }
    func streams() async throws -> [String] { ["demo"] }
    func page(_ query: RecordingQuery) async throws -> PlaybackPage { PlaybackPage(rows: [], next: nil) }
    func recordingStart(stream: String, id: String?) async throws -> Int64? { nil }
    func object(_ key: String, node: String, for request: HTTPRequest) async throws -> ObjectStream {
        throw HTTPError(.notFound, key)
    }
}

@Suite("Lines that grow and whose beginning nobody asked for (RFC 8216 6.2.2, ISO/IEC 23009-1 5.3.1)")
struct OpenLineTests {
    private let source = EndlessSource()

    private func get(_ routes: PlaybackRoutes, _ target: String) async throws -> String {
        var router = Router()
        for route in routes.all { router.get(route.pattern, route.description, route.handler) }
        let request = try HTTPRequest(method: .get, target: "/api/playback/demo/\(target)")
        let response = await router.respond(to: request)
        guard case .bytes(let bytes) = response.body, response.status == .ok else { return "\(response.status)" }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func segments(_ playlist: String) -> [Substring] {
        playlist.split(separator: "\n").filter { $0.hasPrefix("../") && $0.contains("/seg") }
    }

    private func text(_ xml: String, _ begin: String, _ end: Character) -> String? {
        xml.firstRange(of: begin).map { String(xml[$0.upperBound...].prefix { $0 != end }) }
    }

    /// Identifiers and starts.
    private func periods(_ xml: String) -> [String] {
        xml.split(separator: "\n").filter { $0.contains("<Period ") }.map { line in
            line.split(separator: " ").filter { $0.hasPrefix("id=") || $0.hasPrefix("start=") }.joined(separator: " ")
                .replacing(">", with: "")
        }
    }

    /// Hours after a midnight at which a player comes, and at which it looks again.
    private static let evening: [Double] = [22.9, 23.2, 23.999, 24.001, 24.5, 25.1, 27, 35.9]

    @Test("HLS: what a player is led to goes on over midnight and while retention removes what is a day old")
    func playlists() async throws {
        let routes = PlaybackRoutes(source: source)
        source.set(hours: Self.evening[0])
        let master = try await get(routes, "index.m3u8")
        let address = try #require(master.split(separator: "\n").last.map(String.init))
        #expect(address == "video.m3u8?from=\(EndlessSource.midnightUs / 1_000_000 + 43_200)")
        var known: [Substring] = []
        for hours in Self.evening {
            source.set(hours: hours)
            let playlist = try await get(routes, address)
            #expect(playlist.contains("#EXT-X-MEDIA-SEQUENCE:1\n") && playlist.contains("EXT-X-PLAYLIST-TYPE:EVENT"))
            let segments = segments(playlist)
            #expect(segments.count > known.count && segments.starts(with: known), "at \(hours)")
            known = segments
        }
        source.set(hours: 35.9, isOver: true)
        #expect(segments(try await get(routes, address)) == known)
    }

    @Test("HLS: a media playlist that is asked for without it goes on while it is polled")
    func polled() async throws {
        let routes = PlaybackRoutes(source: source)
        var known: [Substring] = []
        for minute in stride(from: 22 * 60, to: 30 * 60, by: 9) {
            source.set(hours: Double(minute) / 60)
            let segments = segments(try await get(routes, "video.m3u8"))
            #expect(segments.count > known.count && segments.starts(with: known), "at \(minute) min")
            known = segments
        }
        // Nobody has asked for a while: another player, another beginning.
        source.set(hours: 31)
        #expect(segments(try await get(routes, "video.m3u8")).first != known.first)
        // And none goes on without end.
        var longest = 0
        for minute in stride(from: 31 * 60, to: 75 * 60, by: 9) {
            source.set(hours: Double(minute) / 60)
            longest = max(longest, segments(try await get(routes, "video.m3u8")).count)
        }
        #expect(longest <= 36 * 360)
    }

    @Test("DASH: the same, and to the end")
    func manifests() async throws {
        let routes = PlaybackRoutes(source: source)
        source.set(hours: Self.evening[0])
        var address = "manifest.mpd"
        var known: (start: String?, periods: [String]) = (nil, [])
        for hours in Self.evening {
            source.set(hours: hours)
            let xml = try await get(routes, address)
            let start = text(xml, "availabilityStartTime=\"", "\"")
            let periods = self.periods(xml)
            #expect(known.start == nil || start == known.start)
            #expect(periods.starts(with: known.periods), "at \(hours)")
            known = (start, periods)
            address = try #require(text(xml, "<Location>", "<")).replacing("&amp;", with: "&")
        }
        #expect(known.start == "2026-11-20T12:00:00Z")
        source.set(hours: 35.9, isOver: true)
        let xml = try await get(routes, address)
        #expect(xml.contains("type=\"static\"") && periods(xml) == known.periods)
    }

    @Test("only what is shown is read, the first time too; what has ended, or is asked for, is shown whole")
    func reads() async throws {
        let routes = PlaybackRoutes(source: source)
        source.set(hours: 240, keptHours: 100)
        _ = try await get(routes, "manifest.mpd")
        #expect(source.asked() == [EndlessSource.midnightUs + 228 * EndlessSource.hourUs])
        #expect(
            try await get(routes, "manifest.mpd?from=2026-11-27T00:00:00Z").split(separator: "<").count { $0.hasPrefix("Period") }
                == 72)
        source.set(hours: 240, keptHours: 100, isOver: true)
        #expect(try await get(routes, "manifest.mpd").split(separator: "<").count { $0.hasPrefix("Period") } == 100)
    }
}
