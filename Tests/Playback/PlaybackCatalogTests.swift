import Foundation
import HTTP
import Media
import Nodes
import Playback
import Presentation
import Records
import Testing

@Suite("What is recorded, for one manifest")
struct PlaybackCatalogTests {
    @Test("a publisher that comes and goes all month makes no manifest too large; segments do")
    func manyRecordings() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("catalog-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let index = RecordingIndex(.sqlite(path: folder.appendingPathComponent("index.db").path))
        try await index.open()
        let client = HTTPClient()
        let catalog = PlaybackCatalog(index: index, directory: NodeDirectory(nodes: [], client: client))
        let dayUs: Int64 = 86_400_000_000
        func add(_ session: String, at startUs: Int64, segments: Int) async throws {
            let recording = IndexedRecording(
                stream: "demo", node: "a", session: session, startUs: startUs, endUs: startUs + 60_000_000, status: .completed,
                mpdPath: "m", recordDir: "d", updatedUs: startUs)
            _ = try await index.upsert(recording)
            var runs = SegmentRuns()
            runs.append(SegmentRuns.Run(number: 1, time: 0, duration: 90_000, count: segments))
            let track = IndexedTrack(
                kind: "video", codecs: "avc1.42e01f", timescale: 90_000, timeAtStart: 0, initialization: "i", segmentPrefix: "s",
                bandwidth: 1, segments: runs)
            try await index.setDetail(
                node: "a", session: session, periods: [IndexedPeriod(ordinal: 0, startUs: startUs, tracks: [track])],
                updatedUs: startUs)
        }
        for number in 0..<1_100 { try await add("s\(number)", at: dayUs + Int64(number) * 600_000_000, segments: 2) }
        let all = try await catalog.material(stream: "demo", fromUs: nil, toUs: nil)
        #expect(all.map(\.recording.session) == (0..<1_100).map { "s\($0)" })
        #expect(all.allSatisfy { $0.periods.first?.tracks.first?.segments.count == 2 })
        try await add("long", at: 30 * dayUs, segments: 3_000_000)
        await #expect(throws: HTTPError.self) { try await catalog.material(stream: "demo", fromUs: nil, toUs: nil) }
        #expect(try await catalog.material(stream: "demo", fromUs: nil, toUs: 20 * dayUs).count == 1_100)
        // Of a node whose clock is five seconds slow.
        #expect(try await catalog.recordingStart(stream: "demo", id: "s1") == dayUs + 600_000_000)
        try await index.noteClock(node: "a", offsetUs: 5_000_000, atUs: dayUs)
        #expect(try await catalog.recordingStart(stream: "demo", id: "s1") == dayUs + 605_000_000)
        #expect(try await catalog.recordingStart(stream: "demo", id: nil) == dayUs + 5_000_000)
        #expect(try await catalog.recordingStart(stream: "demo", id: "none") == nil)
        await client.shutdown()
        await index.close()
    }
}
