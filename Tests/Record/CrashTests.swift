import Cluster
import Foundation
import Media
import MediaFixtures
import TestThreads
import Testing

@testable import MediaPlane
@testable import Record
@testable import Store

@Suite("A process that dies while it records", .offThePool)
struct CrashTests {
    /// Records without end, as fast as it can, and kills itself a moment after so many segments.
    private static func recordAndDie(root: String, codec: FixtureCodec, segments: Int, afterUs: UInt32) async throws {
        let store = try FileStore(root: root)
        let feed = try RecorderFeed()
        let recorder = try Recorder(
            settings: RecordSettings(segmentSeconds: 0.5, freeBytesMin: 0, threads: 1), store: store, nodeAlias: "edge-a",
            openTap: { (_) async throws(RecordError) in feed.tap }, requestKeyframe: { _ in },
            realtimeUs: RecordingDirectory.nowUs)
        try await recorder.recover()
        var publisher = Publisher()
        publisher.codec = codec
        if codec == .vp8 { publisher.tracks[0].codec = .vp8 }
        publisher.pictures = try SyntheticMedia.pictures(codec, frames: 120, gop: 15)
        publisher.sounds = (0..<200).map(Publisher.sound)
        try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
        let killer = Thread {
            for _ in 0..<60_000 where recorder.metrics.segments < segments { usleep(1000) }
            usleep(afterUs)
            kill(getpid(), SIGKILL)
        }
        killer.start()
        publisher.startNs = WallClock.monotonicNs()
        while true {
            feed.send(publisher.events(), paceUs: 2000)
            publisher.startNs += 5_000_000_000
        }
    }

    @Test(
        "kill -9 at any moment leaves what plays, CMAF or WebM; the next start closes it", .timeLimit(.minutes(5)),
        arguments: [(FixtureCodec.h264, 10), (.vp8, 5)])
    func killed(codec: FixtureCodec, rounds: Int) async throws {
        let place = try RecordingDirectory()
        let root = place.store.root
        var generator = MediaFixtures.SeededGenerator(seed: 11)
        var closed = 0
        var decoded: Set<String> = []
        for round in 0..<rounds {
            let segments = round % 4
            let afterUs = UInt32.random(in: 2000...50_000, using: &generator)
            await #expect(processExitsWith: .signal(SIGKILL)) {
                [root = root as String, name = codec.rawValue as String, segments = segments as Int, afterUs = afterUs as UInt32]
                in
                let codec = FixtureCodec(rawValue: name) ?? .h264
                try await Self.recordAndDie(root: root, codec: codec, segments: segments, afterUs: afterUs)
            }
            let day = try RecordingDirectory.day("demo")
            let before = (try? place.names(day)) ?? []
            // Even before the repair, every object under its final name is whole.
            for name in before where name.hasSuffix(".webm") && name.contains("seg_") {
                let bytes = try place.bytes("\(day)/\(name)")
                #expect(FragmentScanner(bytes).wholeBytes == bytes.count, "round \(round): \(name)")
            }
            for name in before where name.hasSuffix(".m4s") && name.contains("seg_") {
                let (_, broken) = try CMAFCheck.segment(try place.bytes("\(day)/\(name)"), isVideo: !name.contains("audio_"))
                #expect(broken == [], "round \(round): \(name)")
            }
            closed += try await checkRepair(place, round: round, decoded: &decoded)
        }
        #expect(closed >= rounds / 2)
        if codec == .vp8 { #expect(try place.names(RecordingDirectory.day("demo")).contains("seg_0001.webm")) }
    }

    /// Starts a recorder where one died; returns how many recordings it had to close.
    /// - Parameter decoded: objects that were decoded in earlier rounds, by name; none is written twice.
    private func checkRepair(_ place: RecordingDirectory, round: Int, decoded: inout Set<String>) async throws -> Int {
        let day = try RecordingDirectory.day("demo")
        let recorder = try place.recorder([:])
        let found = try await recorder.recover()
        #expect(recorder.recordings().sessions.allSatisfy { $0.status == .completed && $0.endTs != nil })
        #expect(recorder.recordings(limit: 100).sessions.count == found.recordings)
        let names = (try? place.names(day)) ?? []
        #expect(names.allSatisfy { !$0.hasSuffix(".tmp") }, "round \(round)")
        guard found.recordings > 0 else { return 0 }
        let objects = try ManifestCheck(place, day).check(isStatic: true, periods: nil, seconds: nil)
        // Complete: what is there is in the manifest, what is in the manifest is there.
        #expect(Set(names.filter(SegmentContainer.holds)).symmetricDifference(objects) == [], "round \(round)")
        for row in recorder.recordings().sessions {
            let detail = try await recorder.detail(id: row.id)
            for track in detail.periods.flatMap(\.tracks) where detail.tracks[track.track].kind == "video" {
                let names = Set(track.segments.map(\.object))
                if names.isSubset(of: decoded) { continue }
                decoded.formUnion(names)
                let file = try track.segments.reduce(try place.bytes(track.initObject)) { try $0 + place.bytes($1.object) }
                #expect(try Probe.decodeErrors(file) == "", "round \(round)")
            }
        }
        await recorder.stopAll()
        return found.repaired
    }

    @Test("a torn journal, a torn segment and a lost segment cost no more than themselves")
    func torn() async throws {
        let place = try RecordingDirectory()
        let feed = try RecorderFeed()
        let recorder = try place.recorder(["demo": feed])
        try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
        var publisher = Publisher()
        publisher.startNs = WallClock.monotonicNs()
        publisher.pictures = try SyntheticMedia.h264(frames: 300, gop: 30, size: "160x90")
        publisher.sounds = (0..<500).map(Publisher.sound)
        feed.send(publisher.events())
        await recorder.stopAll()
        let day = try RecordingDirectory.day("demo")
        let directory = place.store.root + "/" + day

        // As if the process had died after segment 4: no end, no fifth, a line half written, a segment half written.
        let journal = try #require(try place.names(day).first { $0.hasPrefix("session_") })
        var lines = String(decoding: try place.bytes("\(day)/\(journal)"), as: UTF8.self).split(separator: "\n")
        lines.removeAll {
            $0.contains("\"end\"") || $0.contains("period_end") || $0.contains("\"n\":5") || $0.contains("\"n\":4")
        }
        try Data((lines.joined(separator: "\n") + "\n{\"at\":17,\"ev").utf8).write(
            to: URL(fileURLWithPath: "\(directory)/\(journal)"))
        let whole = try place.bytes("\(day)/seg_0005.m4s")
        try Data(whole.dropLast(100)).write(to: URL(fileURLWithPath: "\(directory)/seg_0005.m4s.tmp"))
        try FileManager.default.removeItem(atPath: "\(directory)/seg_0005.m4s")
        try FileManager.default.removeItem(atPath: "\(directory)/audio_seg_0002.m4s")
        try Data("half a manifest".utf8).write(to: URL(fileURLWithPath: "\(directory)/.manifest.mpd.x.tmp"))

        var decoded: Set<String> = []
        #expect(try await checkRepair(place, round: 0, decoded: &decoded) == 1)
        let next = try place.recorder([:])
        #expect(try await next.recover() == (1, 0))
        let detail = try await next.detail(id: try #require(next.recordings().sessions.first?.id))
        let counts = Dictionary(
            uniqueKeysWithValues: detail.periods[0].tracks.map { (detail.tracks[$0.track].kind, $0.segments.count) })
        // The chunk that was whole in the fifth video segment is kept; sound has a hole and goes on behind it.
        #expect(counts == ["video": 5, "audio": 4])
        await next.stopAll()
    }
}
