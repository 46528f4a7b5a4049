import Foundation
import Media
import Presentation
import Program
import Record
import Store

/// A node without a coordinator: how long it takes to start beside journals of many days, and from a request to the last byte of a
/// manifest of all of them.
struct EdgeAlone {
    let days: Int
    let jitter: Int64
    /// Journals as versions before the closing row wrote them.
    let isOld: Bool
    /// With a file for each segment beside them, as they stand in a real folder.
    var hasFiles = false

    func run() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("playback-bench-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        var bytes = 0
        for day in 0..<days {
            let directory = folder.appendingPathComponent("demo/2026/\(day)")
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
            let journal = Journal(day: day, jitter: jitter, isOld: isOld).text
            bytes += journal.utf8.count
            try Data(journal.utf8).write(to: directory.appendingPathComponent("session_s\(day).jsonl"))
            if hasFiles { addFiles(to: directory.path) }
        }
        let recorder = try Recorder(
            settings: RecordSettings(), store: try FileStore(root: folder.path), nodeAlias: "edge-1",
            openTap: { (_) async throws(RecordError) in throw .stopped }, requestKeyframe: { _ in })
        let start = ContinuousClock.now
        let found = try await recorder.recover()
        let started = Bench.milliseconds(since: start)
        let (cold, size) = try await manifest(recorder)
        var warm = Double.infinity
        for _ in 0..<5 { warm = min(warm, try await manifest(recorder).milliseconds) }
        let lengths = jitter == 0 ? "equal lengths" : "every length another"
        let figures = [started, cold, warm].map { String(format: "%.1f", $0) }
        print(
            "edge alone, \(found.recordings) days, \(lengths)\(isOld ? ", old journals" : "")\(hasFiles ? ", with files" : "") (\(bytes) bytes): start \(figures[0]) ms, "
                + "first manifest \(figures[1]) ms, later \(figures[2]) ms, \(size) bytes of MPD")
        await recorder.stopAll()
    }

    private func addFiles(to directory: String) {
        for number in 1...21_600 {
            for prefix in ["seg_", "audio_seg_"] {
                _ = FileManager.default.createFile(atPath: "\(directory)/\(prefix)\(number).m4s", contents: nil)
            }
        }
    }

    /// What a request for the manifest does behind the router.
    private func manifest(_ recorder: Recorder) async throws -> (milliseconds: Double, bytes: Int) {
        let start = ContinuousClock.now
        var material: [RecordedMaterial] = []
        for recording in recorder.playable(stream: "demo") {
            let periods = try await recorder.periods(id: recording.session, fromUs: nil, toUs: nil)
            material.append(RecordedMaterial(recording: recording, periods: periods, isGrowing: false))
        }
        guard let timeline = Timeline(material, gaps: .collapse) else { return (0, 0) }
        let bytes = timeline.mpd(addresses: ObjectAddresses(), isDynamic: false).utf8
        let size = bytes.count + ContentTag.of(bytes).utf8.count
        return (Bench.milliseconds(since: start), size)
    }
}

/// A day's journal: two tracks, segments of 4 s.
private struct Journal {
    let day: Int
    let jitter: Int64
    let isOld: Bool

    var text: String {
        let startUs = Bench.startUs + Int64(day) * Bench.dayUs
        var at = startUs
        func stamp() -> Int64 {
            at += 1
            return at
        }
        var lines = [
            #"{"at":\#(stamp()),"event":"session","id":"s\#(day)","node":"edge-1","start_us":\#(startUs),"stream":"demo","version":1}"#,
            #"{"at":\#(stamp()),"event":"period","period":1,"start_us":\#(startUs)}"#,
            #"{"at":\#(stamp()),"codecs":"avc1.42e01f","event":"track","height":720,"init":"init.m4s","kind":"video","period":1,"#
                + #""prefix":"seg_","timescale":90000,"width":1280}"#,
            #"{"at":\#(stamp()),"channels":2,"codecs":"opus","event":"track","init":"audio_init.m4s","kind":"audio","period":1,"#
                + #""prefix":"audio_seg_","timescale":48000}"#,
        ]
        let video = Array(Bench.segments(90_000, jitter)), sound = Array(Bench.segments(48_000, jitter / 2))
        for (picture, tone) in zip(video, sound) {
            for (kind, segment, bytes) in [("video", picture, 1_250_000 + picture.number % 977), ("audio", tone, 32_000)] {
                lines.append(
                    #"{"at":\#(stamp()),"bytes":\#(bytes),"d":\#(segment.duration),"event":"segment","kind":"\#(kind)","#
                        + #""n":\#(segment.number),"period":1,"samples":120,"t":\#(segment.time)}"#)
            }
        }
        lines.append(#"{"at":\#(stamp()),"event":"period_end","period":1}"#)
        let endUs = startUs + Bench.dayUs
        let row = #","duration_ms":86400000,"end_us":\#(endUs),"event":"end","segments":\#(video.count + sound.count)}"#
        lines.append(#"{"at":\#(stamp())"# + (isOld ? #","event":"end"}"# : row))
        return lines.map { $0 + "\n" }.joined()
    }
}
