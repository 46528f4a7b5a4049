import Presentation
import Testing

@testable import Program

@Suite("What players of lines that grow were told (RFC 8216 6.2.2)")
struct LiveLinesTests {
    /// Recordings of a minute each, one behind the other, of which the last one grows.
    /// - Parameters:
    ///   - counts: how many segments of ten seconds a recording has, six where nothing is said.
    ///   - lost: the same of segments that are gone.
    private func line(_ sessions: [String], counts: [String: Int64] = [:], lost: [String: Set<Int64>] = [:]) throws -> Timeline {
        let material = sessions.enumerated().map { index, session in
            let startUs = 1_795_168_800_000_000 + Int64(index) * 60_000_000
            let recording = IndexedRecording(
                stream: "demo", node: "n", session: session, startUs: startUs, endUs: startUs + 60_000_000, status: .active,
                mpdPath: "d/manifest.mpd", recordDir: "d", updatedUs: startUs)
            let track = IndexedTrack(
                kind: "video", codecs: "avc1.42e01f", timescale: 90_000, timeAtStart: 0, initialization: "d/init\(session).m4s",
                segmentPrefix: "d/seg\(session)_", bandwidth: 1, width: 16, height: 16,
                segments: SegmentRuns(
                    (1...(counts[session] ?? 6)).filter { lost[session]?.contains($0) != true }.map {
                        IndexedSegment(number: $0, time: ($0 - 1) * 900_000, duration: 900_000)
                    }))
            return RecordedMaterial(
                recording: recording, periods: [IndexedPeriod(ordinal: 0, startUs: startUs, tracks: [track])],
                isGrowing: index == sessions.count - 1)
        }
        return try #require(Timeline(material, gaps: .keep))
    }

    /// As nobody was told, but as a viewer may ask.
    private func asked(_ sequence: Int) throws -> PlaylistOrigin {
        try #require(PlaylistOrigin("12.0.\(sequence).1.0.0.n.a.0"))
    }

    @Test("a viewer who asks with very many origins takes from the others one at most, and none where theirs is known")
    func room() async throws {
        let lines = LiveLines()
        let (one, two, three) = (try line(["a"]), try line(["a", "b"]), try line(["a", "b", "c"]))
        for sequence in 1...LiveLines.startsMax {
            _ = await lines.origin(try asked(sequence), of: "demo", fromUs: nil, on: two)
        }
        // What the address says holds as long as it leads to the same numbers, then the newest that was told.
        #expect(await lines.origin(try asked(1), of: "demo", fromUs: nil, on: three) == (try asked(1)))
        let newest = await lines.origin(try asked(1), of: "demo", fromUs: nil, on: try line(["b", "c"]))
        #expect(newest?.text == "12.2.13.1.0.0.n.c.0")
        _ = await lines.origin(try asked(LiveLines.startsMax + 1), of: "demo", fromUs: nil, on: two)
        var count = 0
        for sequence in 1...LiveLines.startsMax {
            let origin = try asked(sequence)
            // On this line nothing is noted anew.
            let known = await lines.origin(origin, of: "demo", fromUs: nil, on: one)
            if known != origin { count += 1 }
        }
        #expect(count >= LiveLines.startsMax - 1)
    }

    @Test(
        "what is lost of a recording that has ended moves nothing of the one that has only begun", arguments: [[3, 4], [5, 6]])
    func losses(lost: Set<Int64>) async throws {
        let lines = LiveLines()
        let told = try #require(PlaylistOrigin("12.0.1.1.0.0.n.a.0"))
        func first(of line: Timeline) async throws -> (sequence: Int, place: Int) {
            let origin = await lines.origin(told, of: "demo", fromUs: nil, on: line)
            let text = try #require(line.mediaPlaylist(.video, addresses: ObjectAddresses(), origin: origin)).text()
            let lines = text.split(separator: "\n")
            let tag = try #require(lines.first { $0.hasPrefix("#EXT-X-MEDIA-SEQUENCE:") })
            let sequence = try #require(Int(tag.split(separator: ":")[1]))
            return (sequence, try #require(lines.filter { !$0.hasPrefix("#") }.firstIndex { $0.contains("segb_0001") }))
        }
        let whole = try await first(of: line(["a", "b"], counts: ["b": 1]))
        let holed = try await first(of: line(["a", "b"], counts: ["b": 2], lost: ["a": lost]))
        #expect(whole.sequence + whole.place == 7 && holed.sequence + holed.place == 7)
    }

    @Test("a list that lags behind what was told before goes on from where it is")
    func lag() async throws {
        let lines = LiveLines()
        let told = try #require(PlaylistOrigin("12.0.1.1.0.0.n.a.0"))
        _ = await lines.origin(told, of: "demo", fromUs: nil, on: try line(["a", "b"], counts: ["b": 1]))
        #expect(await lines.origin(told, of: "demo", fromUs: nil, on: try line(["a"])) == told)
        #expect(await lines.origin(told, of: "demo", fromUs: nil, on: try line(["a", "b"], counts: ["b": 2])) == told)
    }
}
