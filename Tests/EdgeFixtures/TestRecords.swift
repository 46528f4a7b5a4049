import Cluster
import Foundation

/// Records as an edge makes them, for tests.
package enum TestRecords {
    /// 2026-11-20T10:00:00Z
    package static let tenOClockUs: Int64 = 1_795_168_800_000_000

    /// A stream with a publisher or without.
    package static func stream(
        _ name: String, isPublished: Bool = true, isCopy: Bool = false, upstream: [String] = [], isRecording: Bool = false,
        recordingBaseDir: String? = nil, recordingMaxSeconds: Int? = nil, viewers: Int = 0, sourceURL: String? = nil
    ) -> StreamRecord {
        let cascade = isCopy ? CascadeRecord(sourceURL: sourceURL) : nil
        let publisher = SessionRecord(id: "p", createdAt: 1, state: .connected, cascade: cascade)
        return StreamRecord(
            id: name, createdAt: 1, publish: StreamSide(sessions: isPublished ? [publisher] : []),
            subscribe: StreamSide(sessions: (0..<viewers).map { SessionRecord(id: "v\($0)", createdAt: 1, state: .connected) }),
            codecs: [CodecRecord(kind: "video", codec: "H264")], recording: isRecording,
            recordingBaseDir: recordingBaseDir, recordingMaxSeconds: recordingMaxSeconds, upstream: upstream)
    }

    /// A recording of two-second segments, H.264 and Opus, with its row.
    package static func recording(
        _ id: String, stream: String = "demo", node: String, startUs: Int64 = tenOClockUs, segments: Int,
        status: RecordingStatus = .completed, updatedAt: Int64 = tenOClockUs
    ) -> (row: RecordingRecord, detail: RecordingDetail) {
        let directory = "\(stream)/2026/11/20"
        let lengthUs = Int64(segments) * 2_000_000
        let row = RecordingRecord(
            id: id, stream: stream, record: id, startTs: startUs, endTs: status == .active ? nil : startUs + lengthUs,
            durationMs: lengthUs / 1_000, mpdPath: "\(directory)/manifest.mpd", recordDir: directory, status: status,
            nodeAlias: node, updatedAt: updatedAt)
        func track(_ index: Int, _ prefix: String, _ initialization: String, _ offset: Int64, _ length: Int64)
            -> RecordingPeriodTrack
        {
            RecordingPeriodTrack(
                track: index, initObject: "\(directory)/\(initialization)", segmentPrefix: "\(directory)/\(prefix)",
                mediaTimeOffset: offset,
                segments: (0..<Int64(segments)).map { number in
                    RecordingSegment(
                        object: "\(directory)/\(prefix)" + String(format: "%04d", Int(number) + 1) + ".m4s",
                        t: offset + number * length, d: length, bytes: 1_000 + number)
                })
        }
        let detail = RecordingDetail(
            id: id, stream: stream, nodeAlias: node, status: status, mpdPath: row.mpdPath, recordDir: directory,
            updatedAt: updatedAt,
            tracks: [
                RecordingTrack(
                    kind: "video", codecs: "avc1.42e01f", mimeType: "video/mp4", timescale: 90_000, width: 640, height: 360,
                    frameRate: "30", bandwidth: 1_000_000),
                RecordingTrack(
                    kind: "audio", codecs: "opus", mimeType: "audio/mp4", timescale: 48_000, sampleRate: 48_000, channels: 2,
                    bandwidth: 64_000),
            ],
            periods: [
                RecordingPeriod(
                    id: "\(id)-0", startUs: startUs, durationMs: lengthUs / 1_000,
                    tracks: [
                        track(0, "seg_\(id)_", "init_\(id).m4s", 90_000, 180_000),
                        track(1, "audio_seg_\(id)_", "audio_init_\(id).m4s", 48_000, 96_000),
                    ])
            ])
        return (row, detail)
    }
}

/// A directory of its own; gone when the value is.
package final class TemporaryFolder: Sendable {
    package let path: String

    package init() throws {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("tributary-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    package func file(_ name: String) -> String { "\(path)/\(name)" }
}

/// Asks again and again until `condition` holds.
/// - Throws: ``NeverTrue`` when it does not within a minute: a guard against hanging, not a measure of speed.
package func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
    let clock = ContinuousClock()
    let deadline = clock.now + .seconds(60)
    while clock.now < deadline {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(20))
    }
    throw NeverTrue(what: what)
}

/// What a test waited for in vain.
package struct NeverTrue: Error, CustomStringConvertible {
    let what: String

    package var description: String { "never came true: \(what)" }
}
