import HTTP
import Presentation
import Program
import Synchronization
import Testing

/// A recording of pictures that grows when it is told to: segments of 4 s in parts of half a second.
private final class GrowingSource: PlaybackSource {
    private struct State {
        var parts = 0
        var isOver = false
        /// Its recorder can't be asked.
        var isAway = false
    }

    private static let startUs: Int64 = 1_795_168_800_000_000
    private let state = Mutex(State())
    let room = WaitingRoom(waitersMax: 2, firstVersion: 100)

    /// The longest segment its recorder makes.
    private let longest: Double

    init(parts: Int, longest: Double = 12) {
        self.longest = longest
        grow(parts)
    }

    func grow(_ parts: Int) {
        state.withLock { $0.parts += parts }
        room.changed("demo")
    }

    func hide() { state.withLock { $0.isAway = true } }

    func end() {
        state.withLock { $0.isOver = true }
        room.changed("demo")
    }

    private func track(segments: Int) -> IndexedTrack {
        IndexedTrack(
            kind: "video", codecs: "avc1.42e01f", timescale: 90_000, timeAtStart: 0, initialization: "d/init.m4s",
            segmentPrefix: "d/seg_", bandwidth: 1, width: 16, height: 16,
            segments: SegmentRuns(
                (0..<segments).map { IndexedSegment(number: Int64($0 + 1), time: Int64($0) * 360_000, duration: 360_000) }))
    }

    private func material(_ state: State) -> RecordedMaterial {
        let recording = IndexedRecording(
            stream: "demo", node: "n", session: "s", startUs: Self.startUs, status: state.isOver ? .completed : .active,
            mpdPath: "d/manifest.mpd", recordDir: "d", updatedUs: Self.startUs + Int64(state.parts))
        return RecordedMaterial(
            recording: recording,
            periods: [IndexedPeriod(ordinal: 0, startUs: Self.startUs, tracks: [track(segments: state.parts / 8)])],
            isGrowing: !state.isOver)
    }

    func liveEdge(of stream: String) async -> LiveEdge? {
        let version = room.version(of: stream)
        let state = state.withLock { $0 }
        guard !state.isOver, !state.isAway else { return nil }
        let segments = (0..<(state.parts + 7) / 8).map { index in
            let count = min(8, state.parts - index * 8)
            return LiveEdge.Segment(
                number: Int64(index + 1), time: Int64(index) * 360_000,
                parts: (0..<count).map { LiveEdge.Part(duration: 45_000, isIndependent: $0 == 0) }, isFinished: count == 8)
        }
        return LiveEdge(
            version: version, revision: Int64(state.parts / 8), node: "n", session: "s", partSecondsMax: 0.58,
            segmentSecondsMax: longest, recent: [material(state)],
            period: IndexedPeriod(ordinal: 0, startUs: Self.startUs, tracks: [track(segments: 0)]),
            tracks: [LiveEdge.Track(segmentPrefix: "d/seg_", segments: segments)])
    }

    func awaitChange(of stream: String, past version: Int64, seconds: Double) async -> Bool {
        await room.wait(for: stream, past: version, seconds: seconds)
    }

    func material(stream: String, fromUs: Int64?, toUs: Int64?) async throws -> [RecordedMaterial] {
        [material(state.withLock { $0 })]
    }

    var segmentSecondsMax: Double { 12 }
    var namesNodes: Bool { false }
    func streams() async throws -> [String] { ["demo"] }
    func page(_ query: RecordingQuery) async throws -> PlaybackPage { PlaybackPage(rows: [], next: nil) }
    func recordingStart(stream: String, id: String?) async throws -> Int64? { nil }
    func object(_ key: String, node: String, for request: HTTPRequest) async throws -> ObjectStream {
        throw HTTPError(.notFound, key)
    }
}

@Suite("Blocking reloads of a media playlist (RFC 8216bis 6.2.5.2)")
struct LivePlaylistRouteTests {
    private func get(_ source: GrowingSource, _ query: String) async throws -> (status: HTTPStatus, text: String) {
        try await get(PlaybackRoutes(source: source), query)
    }

    private func get(_ routes: PlaybackRoutes, _ query: String) async throws -> (status: HTTPStatus, text: String) {
        var router = Router()
        for route in routes.all { router.get(route.pattern, route.description, route.handler) }
        let request = try HTTPRequest(method: .get, target: "/api/playback/demo/video.m3u8?\(query)")
        let response = await router.respond(to: request)
        guard case .bytes(let bytes) = response.body else { return (response.status, "") }
        return (response.status, String(decoding: bytes, as: UTF8.self))
    }

    private func waiting(_ source: GrowingSource, _ count: Int) async {
        while source.room.count < count { await Task.yield() }
    }

    @Test("what is there is answered at once")
    func present() async throws {
        let source = GrowingSource(parts: 11)
        for query in ["", "_HLS_msn=1", "_HLS_msn=1&_HLS_part=7", "_HLS_msn=2&_HLS_part=2", "_HLS_msn=0"] {
            let answer = try await get(source, query)
            #expect(answer.status == .ok && answer.text.contains("seg_0002.m4s?part=2\""), "\(query): \(answer)")
        }
        #expect(source.room.count == 0)
    }

    @Test("the next part is waited for, and so is a whole segment over all of its parts")
    func blocking() async throws {
        let source = GrowingSource(parts: 11)
        async let part = get(source, "_HLS_msn=2&_HLS_part=3")
        async let segment = get(source, "_HLS_msn=2")
        await waiting(source, 2)
        source.grow(1)
        let first = try await part
        #expect(first.status == .ok && first.text.contains("seg_0002.m4s?part=3\"\n"))
        #expect(!first.text.contains("\n../../record/object/d/seg_0002.m4s\n"))
        await waiting(source, 1)
        source.grow(3)
        await waiting(source, 1)
        source.grow(1)
        let second = try await segment
        #expect(second.status == .ok && second.text.contains("\n../../record/object/d/seg_0002.m4s\n"))
    }

    @Test("a part that its segment ends without is the first one of the next segment")
    func rollover() async throws {
        let source = GrowingSource(parts: 15)
        async let answer = get(source, "_HLS_msn=2&_HLS_part=8")
        await waiting(source, 1)
        source.grow(1)
        await waiting(source, 1)
        source.grow(1)
        let text = try await answer.text
        #expect(text.contains("seg_0003.m4s?part=0\",INDEPENDENT=YES\n"))
    }

    @Test("the end of the recording ends the wait")
    func ending() async throws {
        let source = GrowingSource(parts: 11)
        async let answer = get(source, "_HLS_msn=2&_HLS_part=3")
        await waiting(source, 1)
        source.end()
        let (status, text) = try await answer
        #expect(status == .ok && text.hasSuffix("#EXT-X-ENDLIST\n") && !text.contains("EXT-X-PART"))
        #expect(text.contains("#EXT-X-TARGETDURATION:12\n"))
    }

    @Test("the target duration stays what it was when the recorder can't be asked, and when it has ended (RFC 8216bis 6.2.1)")
    func targetDuration() async throws {
        let source = GrowingSource(parts: 11, longest: 30)
        let routes = PlaybackRoutes(source: source)
        let known = try await get(routes, "").text
        #expect(known.contains("#EXT-X-TARGETDURATION:30\n") && known.contains("#EXT-X-PART:"))
        source.hide()
        let away = try await get(routes, "").text
        #expect(away.contains("#EXT-X-TARGETDURATION:30\n") && !away.contains("#EXT-X-PART:"))
        source.end()
        let over = try await get(routes, "").text
        #expect(over.contains("#EXT-X-TARGETDURATION:30\n") && over.hasSuffix("#EXT-X-ENDLIST\n"))
    }

    @Test(
        "what makes no sense is refused",
        arguments: [
            "_HLS_msn=9", "_HLS_msn=2&_HLS_part=99", "_HLS_part=1", "_HLS_msn=x", "_HLS_msn=-1", "_HLS_msn=99999999999999",
        ])
    func refused(query: String) async throws {
        #expect(try await get(GrowingSource(parts: 11), query).status == .badRequest)
    }

    @Test("when too many wait, or all is over, the next one is told to come again")
    func unavailable() async throws {
        let source = GrowingSource(parts: 11)
        async let first = get(source, "_HLS_msn=2")
        async let second = get(source, "_HLS_msn=3")
        await waiting(source, 2)
        #expect(try await get(source, "_HLS_msn=2").status == .serviceUnavailable)
        source.room.close()
        #expect(try await first.status == .serviceUnavailable)
        #expect(try await second.status == .serviceUnavailable)
    }

    @Test("a delta leaves out what is older than six target durations")
    func delta() async throws {
        let source = GrowingSource(parts: 30 * 8)
        let whole = try await get(source, "_HLS_skip=").text
        let delta = try await get(source, "_HLS_skip=YES").text
        #expect(whole.contains("CAN-SKIP-UNTIL=72.0") && !whole.contains("EXT-X-SKIP"))
        #expect(delta.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS=12\n") && !delta.contains("seg_0012.m4s\n"))
        #expect(delta.hasSuffix(whole.suffix(delta.count / 2)))
    }
}
