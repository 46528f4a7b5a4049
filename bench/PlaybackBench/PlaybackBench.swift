import Foundation
import HTTP
import Media
import Nodes
import Playback
import Presentation
import Program
import Records

/// How long a manifest of a long range takes from the index to the last byte: `playback-bench [days] [files] [postgresql://…]`, the
/// last with an empty database.
///
/// Two indexes of one recording a day, 4 s segments of video and sound: one with equal lengths, as encoders with a clock of their
/// own make them, and one in which no two lengths are equal, as RTP timestamps of browsers make them. Then the same at an edge alone,
/// from journals.
@main
enum PlaybackBench {
    static func main() async throws {
        let days = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 30
        for jitter in [Int64(0), 90] {
            let folder = FileManager.default.temporaryDirectory.appendingPathComponent("playback-bench-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            try await Bench(days: days).run(.sqlite(path: folder.appendingPathComponent("index.db").path), jitter: jitter)
        }
        if let location = CommandLine.arguments.dropFirst().compactMap({ IndexLocation($0) }).first {
            try await Bench(days: days).run(location, jitter: 90)
        }
        for jitter in [Int64(0), 90] { try await EdgeAlone(days: days, jitter: jitter, isOld: false).run() }
        try await EdgeAlone(days: days, jitter: 90, isOld: true).run()
        if CommandLine.arguments.contains("files") {
            try await EdgeAlone(days: days, jitter: 90, isOld: false, hasFiles: true).run()
        }
    }
}

struct Bench {
    let days: Int
    static let startUs: Int64 = 1_795_132_800_000_000
    static let dayUs: Int64 = 86_400_000_000
    /// The figure is the middle one.
    private static let rounds = 25

    func run(_ location: IndexLocation, jitter: Int64) async throws {
        let index = RecordingIndex(location)
        try await index.open()
        let filled = try await fill(index, jitter: jitter)
        let client = HTTPClient()
        let catalog = PlaybackCatalog(index: index, directory: NodeDirectory(nodes: [], client: client))
        var took: [Double] = []
        var bytes = 0
        for _ in 0..<Self.rounds {
            let start = ContinuousClock.now
            bytes = try await manifest(catalog)
            took.append(Self.milliseconds(since: start))
        }
        took.sort()
        let times = [took[Self.rounds / 2], took[0]].map { String(format: "%.1f", $0) }
        let lengths = jitter == 0 ? "equal lengths" : "every length another"
        let kind = if case .sqlite = location { "SQLite" } else { "PostgreSQL" }
        print("\(kind), \(days) days, \(filled) segments, \(lengths): \(times[0]) ms (best \(times[1])), \(bytes) bytes of MPD")
        await client.shutdown()
        await index.close()
    }

    static func milliseconds(since start: ContinuousClock.Instant) -> Double {
        let took = start.duration(to: .now)
        return Double(took.components.attoseconds) / 1e15 + Double(took.components.seconds) * 1e3
    }

    private func fill(_ index: RecordingIndex, jitter: Int64) async throws -> Int {
        var count = 0
        for day in 0..<days {
            let startUs = Self.startUs + Int64(day) * Self.dayUs
            let recording = IndexedRecording(
                stream: "demo", node: "edge-1", session: "s\(day)", startUs: startUs, endUs: startUs + Self.dayUs,
                status: .completed, mpdPath: "demo/\(day)/manifest.mpd", recordDir: "demo/\(day)", updatedUs: startUs)
            _ = try await index.upsert(recording)
            let video = Self.segments(90_000, jitter), sound = Self.segments(48_000, jitter / 2)
            count += video.count + sound.count
            let tracks = [
                IndexedTrack(
                    kind: "video", codecs: "avc1.42e01f", timescale: 90_000, timeAtStart: 0,
                    initialization: "demo/\(day)/init.m4s",
                    segmentPrefix: "demo/\(day)/seg_", bandwidth: 2_500_000, width: 1_280, height: 720, segments: video),
                IndexedTrack(
                    kind: "audio", codecs: "opus", timescale: 48_000, timeAtStart: 0,
                    initialization: "demo/\(day)/audio_init.m4s",
                    segmentPrefix: "demo/\(day)/audio_seg_", bandwidth: 64_000, sampleRate: 48_000, channels: 2, segments: sound),
            ]
            try await index.setDetail(
                node: "edge-1", session: "s\(day)", periods: [IndexedPeriod(ordinal: 0, startUs: startUs, tracks: tracks)],
                updatedUs: startUs)
        }
        return count
    }

    static func segments(_ timescale: Int64, _ jitter: Int64) -> SegmentRuns {
        var runs = SegmentRuns()
        var time: Int64 = 0
        for number in 1...Int64(21_600) {
            let end = number * 4 * timescale + (jitter == 0 ? 0 : (number &* number &* 7_919) % jitter)
            runs.append(IndexedSegment(number: number, time: time, duration: end - time))
            time = end
        }
        return runs
    }

    /// What a request for the manifest does behind the router.
    private func manifest(_ catalog: PlaybackCatalog) async throws -> Int {
        let (fromUs, toUs) = (Self.startUs, Self.startUs + Int64(days) * Self.dayUs)
        let material = try await catalog.material(stream: "demo", fromUs: fromUs, toUs: toUs)
        guard let timeline = Timeline(material, gaps: .collapse) else { return 0 }
        let bytes = timeline.mpd(addresses: ObjectAddresses(), isDynamic: false).utf8
        return bytes.count + ContentTag.of(bytes).utf8.count
    }
}
