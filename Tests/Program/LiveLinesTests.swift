import Presentation
import Testing

@testable import Program

@Suite("What players of lines that grow were told (RFC 8216 6.2.2)")
struct LiveLinesTests {
    /// Recordings of a minute each, one behind the other, of which the last one grows.
    private func line(_ sessions: [String]) throws -> Timeline {
        let material = sessions.enumerated().map { index, session in
            let startUs = 1_795_168_800_000_000 + Int64(index) * 60_000_000
            let recording = IndexedRecording(
                stream: "demo", node: "n", session: session, startUs: startUs, endUs: startUs + 60_000_000, status: .active,
                mpdPath: "d/manifest.mpd", recordDir: "d", updatedUs: startUs)
            let track = IndexedTrack(
                kind: "video", codecs: "avc1.42e01f", timescale: 90_000, timeAtStart: 0, initialization: "d/init\(session).m4s",
                segmentPrefix: "d/seg\(session)_", bandwidth: 1, width: 16, height: 16,
                segments: SegmentRuns(
                    (0..<6).map { IndexedSegment(number: $0 + 1, time: $0 * 900_000, duration: 900_000) }))
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
}
