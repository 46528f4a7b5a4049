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
        /// Hours since the midnight of which the recording is gone.
        var deleted: Set<Int64> = []
        /// What its recorder says, in seconds; nil: it can't be asked.
        var longest: Double? = 12
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

    func delete(_ hours: Set<Int64>) { state.withLock { $0.deleted.formUnion(hours) } }
    func tell(longest: Double?) { state.withLock { $0.longest = longest } }

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
        return (first...max(first, last)).filter { hour in
            !state.deleted.contains(hour - Self.midnightUs / Self.hourUs)
        }.map { hour in
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
        guard !state.isOver, let longest = state.longest else { return nil }
        let last = (state.nowUs - 1) / Self.hourUs
        return LiveEdge(
            version: state.nowUs, revision: state.nowUs, node: "n", session: "s\(last)", partSecondsMax: 0.58,
            segmentSecondsMax: longest, recent: [Self.recording(last, untilUs: state.nowUs, isGrowing: true)], period: nil,
            tracks: [])
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
        #expect(address.hasPrefix("video.m3u8?from=\(EndlessSource.midnightUs / 1_000_000 + 43_200)&origin="))
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

    /// Media sequence and discontinuity numbers by segment.
    private func numbers(_ playlist: String) -> [Substring: [Int]] {
        var numbers: [Substring: [Int]] = [:]
        var (sequence, discontinuity) = (-1, -1)
        for line in playlist.split(separator: "\n") {
            let value = line.split(separator: ":").last.flatMap { Int($0) }
            if line.hasPrefix("#EXT-X-MEDIA-SEQUENCE:") { sequence = value ?? -1 }
            if line.hasPrefix("#EXT-X-DISCONTINUITY-SEQUENCE:") { discontinuity = value ?? -1 }
            if line == "#EXT-X-DISCONTINUITY" { discontinuity += 1 }
            guard line.hasPrefix("../"), line.contains("/seg") else { continue }
            numbers[line] = [sequence, discontinuity]
            sequence += 1
        }
        return numbers
    }

    /// The address of the pictures that a player is led to.
    private func address(_ routes: PlaybackRoutes) async throws -> String {
        try #require(try await get(routes, "index.m3u8").split(separator: "\n").last.map(String.init))
    }

    @Test(
        "HLS: what is deleted moves no segment that is left, here and in a process that has told nobody anything",
        arguments: [[12], [12, 13, 14], [15], [20, 21], [12, 16, 21]] as [Set<Int64>])
    func deleted(hours: Set<Int64>) async throws {
        let routes = PlaybackRoutes(source: source)
        source.set(hours: 22.9)
        let address = try await address(routes)
        let known = numbers(try await get(routes, address))
        #expect(known.count == 10 * 360 + 324)
        source.delete(hours)
        for (hours, isOver) in [(23.5, false), (24.5, false), (24.5, true)] {
            source.set(hours: hours, isOver: isOver)
            for routes in [routes, PlaybackRoutes(source: source)] {
                let playlist = try await get(routes, address)
                let now = numbers(playlist)
                let kept = now.filter { known[$0.key] != nil }
                #expect(kept.count == 324, "at \(hours)")
                #expect(kept == known.filter { kept[$0.key] != nil }, "at \(hours)")
                #expect(playlist.contains("#EXT-X-ENDLIST") == isOver && playlist.contains("PLAYLIST-TYPE:VOD") == isOver)
                #expect(!playlist.contains("PLAYLIST-TYPE:EVENT"))
            }
        }
    }

    @Test("HLS: so does what is deleted of that which came since the player did; without what it counts from it must begin again")
    func deletedSince() async throws {
        let routes = PlaybackRoutes(source: source)
        source.set(hours: 20.5)
        let address = try await address(routes)
        var known: [Substring: [Int]] = [:]
        for hours in [20.5, 21.5, 22.5, 23.5] {
            source.set(hours: hours)
            known = numbers(try await get(routes, address))
        }
        source.delete([21])
        source.set(hours: 23.75)
        let left = numbers(try await get(routes, address)).filter { known[$0.key] != nil }
        #expect(left.count == 180)
        #expect(left == known.filter { left[$0.key] != nil })
        source.delete([23])
        source.set(hours: 24.5)
        #expect(try await get(routes, address) == "410")
        let again = try await self.address(routes)
        let anew = numbers(try await get(routes, again))
        #expect(again != address && anew.count == 10 * 360 + 180)
    }

    @Test("HLS: what is deleted again and again, of newer recordings too, moves no segment that is left")
    func deletedAgain() async throws {
        let routes = PlaybackRoutes(source: source)
        source.set(hours: 20.5)
        let address = try await address(routes)
        var known: [Substring: [Int]] = [:]
        func poll(at hours: [Double]) async throws {
            for hours in hours {
                source.set(hours: hours)
                known = numbers(try await get(routes, address))
            }
        }
        try await poll(at: [20.5, 21.5, 22.5])
        source.delete([12])
        try await poll(at: [22.75, 23.5, 24.5])
        source.delete([23])
        source.set(hours: 24.75)
        let left = numbers(try await get(routes, address)).filter { known[$0.key] != nil }
        #expect(left.count == 180)
        #expect(left == known.filter { left[$0.key] != nil })
    }

    @Test("HLS: three target durations are left, whatever is deleted before a recording that has only begun (RFC 8216 6.2.2)")
    func begun() async throws {
        let routes = PlaybackRoutes(source: source)
        // Of the newest hour there is one segment.
        source.set(hours: 21.004)
        let address = try await address(routes)
        let known = numbers(try await get(routes, address))
        #expect(known.count == 9 * 360 + 1)
        source.delete([12])
        source.set(hours: 21.005)
        for routes in [routes, PlaybackRoutes(source: source)] {
            let left = numbers(try await get(routes, address))
            #expect(left.count == 361)
            #expect(left == known.filter { left[$0.key] != nil })
        }
    }

    @Test("HLS: a process that knows nothing of the newest recording yet, whose recorder can't be asked, goes on")
    func unknown() async throws {
        source.set(hours: 21.004)
        let address = try await address(PlaybackRoutes(source: source))
        source.delete([21])
        source.tell(longest: nil)
        #expect(segments(try await get(PlaybackRoutes(source: source), address)).count == 9 * 360)
    }

    @Test("HLS: a rendition that the line never had is not there; one whose beginning is deleted is gone")
    func absence() async throws {
        let routes = PlaybackRoutes(source: source)
        source.set(hours: 20.5)
        let address = try await address(routes)
        #expect(try await get(routes, address.replacing("video.m3u8", with: "audio.m3u8")) == "404")
        source.delete([20])
        source.set(hours: 21.5)
        #expect(try await get(routes, address) == "410")
    }

    @Test("HLS: the target duration a player was told of stays in another process that can't ask the recorder (RFC 8216 6.2.1)")
    func targetDuration() async throws {
        source.set(hours: 20.5)
        source.tell(longest: 30)
        let address = try await address(PlaybackRoutes(source: source))
        for longest in [30, nil] as [Double?] {
            source.tell(longest: longest)
            #expect(try await get(PlaybackRoutes(source: source), address).contains("#EXT-X-TARGETDURATION:30\n"))
        }
    }

    @Test(
        "HLS: an origin that nobody was given is refused",
        arguments: [
            "", "1", "12.0.1.1.0.0.", "12.0.-1.1.0.0.n.s.0", "0.0.1.1.0.0.n.s.0", "181.0.1.1.0.0.n.s.0",
            "12.0.1.1.0.99999999999999.n.s.0",
        ])
    func badOrigin(text: String) async throws {
        source.set(hours: 20.5)
        #expect(try await get(PlaybackRoutes(source: source), "video.m3u8?origin=\(text)") == "400")
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
