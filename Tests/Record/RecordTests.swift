import Cluster
import Foundation
import FoundationXML
import MediaFixtures
import TestThreads
import Testing

@testable import MediaPlane
@testable import Record
@testable import Store

@Suite("Recordings in storage (contract: recording layout)", .offThePool)
struct RecorderTests {
    private static let pictures: [SyntheticMedia.Picture] = (try? SyntheticMedia.h264(frames: 180, gop: 30, size: "160x90")) ?? []
    private static let sounds: [[UInt8]] = (try? SyntheticMedia.opus(packets: 300)) ?? []

    private let place: RecordingDirectory
    private let settings = RecordSettings(segmentSeconds: 2, freeBytesMin: 0, threads: 2)

    init() throws {
        place = try RecordingDirectory()
    }

    private func publisher() -> Publisher {
        var publisher = Publisher()
        publisher.startNs = WallClock.monotonicNs()
        publisher.pictures = Self.pictures
        publisher.sounds = Self.sounds
        return publisher
    }

    /// Records one publisher from start to stop.
    private func record(_ stream: String, base: String? = nil) async throws -> (id: String, recorder: Recorder) {
        let feed = try RecorderFeed()
        let recorder = try place.recorder([stream: feed], settings: settings)
        try await recorder.recover()
        let info = try await recorder.start(
            stream: stream, key: RecordingDirectory.key(stream), baseDirectory: try base.map { try ObjectKey($0) })
        feed.send(publisher().events())
        #expect(await recorder.stop(stream: stream))
        return (info.id, recorder)
    }

    @Test("one recording is exactly the objects of the contract, and plays")
    func layout() async throws {
        let (id, recorder) = try await record("demo")
        let day = try RecordingDirectory.day("demo")
        let media = (1...3).flatMap { ["seg_000\($0).m4s", "audio_seg_000\($0).m4s"] }
        #expect(
            try place.names(day) == (media + ["audio_init.m4s", "init.m4s", "manifest.mpd", "session_\(id).jsonl"]).sorted())
        let video = try place.bytes(day + "/init.m4s") + (1...3).flatMap { try place.bytes(day + "/seg_000\($0).m4s") }
        let probe = try Probe(video)
        #expect(probe.packets.map(\.dts) == (0..<180).map { Int64($0) * 3000 })
        #expect(try Probe.decodeErrors(video) == "")
        let sound =
            try place.bytes(day + "/audio_init.m4s") + (1...3).flatMap { try place.bytes(day + "/audio_seg_000\($0).m4s") }
        #expect(try Probe(sound).packets.count == 300)
        #expect(try Probe.decodeErrors(sound) == "")
        try ManifestCheck(place, day).check(isStatic: true, periods: 1, seconds: 6)
        await recorder.stopAll()
    }

    @Test("ffmpeg plays the manifest: every picture and sound, in time")
    func manifestPlays() async throws {
        _ = try await record("demo")
        let path = place.store.root + "/" + (try RecordingDirectory.day("demo")) + "/manifest.mpd"
        let out = try Tool.run("ffprobe", ["-v", "error", "-of", "json", "-show_packets", "-show_streams", path])
        let root = try #require(try JSONSerialization.jsonObject(with: out) as? [String: Any])
        let packets = try #require(root["packets"] as? [[String: Any]])
        for (kind, count, length) in [("video", 180, 1.0 / 30), ("audio", 300, 0.02)] {
            let times = packets.filter { $0["codec_type"] as? String == kind }.compactMap {
                ($0["pts_time"] as? String).flatMap(Double.init)
            }
            #expect(times.count == count)
            #expect(abs((times.first ?? 9)) < 0.001)
            #expect(zip(times, times.dropFirst()).allSatisfy { abs($1 - $0 - length) < 0.001 })
        }
    }

    @Test("a second recording of the day adds a Period and overwrites nothing")
    func second() async throws {
        _ = try await record("demo")
        let day = try RecordingDirectory.day("demo")
        let before = try Dictionary(
            uniqueKeysWithValues: place.names(day).filter { $0 != "manifest.mpd" }.map { ($0, try place.bytes("\(day)/\($0)")) })
        let (id, recorder) = try await record("demo")
        for (name, bytes) in before { #expect(try place.bytes("\(day)/\(name)") == bytes) }
        #expect(try place.names(day).contains("init_\(id).m4s"))
        #expect(try place.names(day).contains("audio_seg_\(id)_0003.m4s"))
        try ManifestCheck(place, day).check(isStatic: true, periods: 2, seconds: 12)
        #expect(recorder.recordings().sessions.count == 2)
        await recorder.stopAll()
    }

    @Test("while it is written the manifest grows and stays true; stopping makes it static")
    func growing() async throws {
        let feed = try RecorderFeed()
        let recorder = try place.recorder(["demo": feed], settings: settings)
        try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
        let events = publisher().events()
        feed.send(Array(events.dropLast()))
        let day = try RecordingDirectory.day("demo")
        let isThere = await eventually {
            let names = (try? place.names(day)) ?? []
            return names.contains("seg_0002.m4s") && names.contains("audio_seg_0002.m4s") && names.contains("manifest.mpd")
        }
        #expect(isThere)
        try ManifestCheck(place, day).check(isStatic: false, periods: 1, seconds: nil)
        let row = try #require(recorder.recordings().sessions.first)
        #expect(row.status == .active && row.stream == "demo" && row.nodeAlias == "edge-a")
        #expect(recorder.status(stream: "demo")?.isWriting == true)
        #expect(recorder.metrics.writing == 1)
        await #expect(throws: RecordError.active) { try await recorder.delete(id: row.id) }
        await recorder.stopAll()
        try ManifestCheck(place, day).check(isStatic: true, periods: 1, seconds: 6)
        #expect(recorder.recordings().sessions.map(\.status) == [.completed])
        #expect(recorder.metrics.segments == 6)
    }

    @Test("a directory that was asked for is used as it is, and belongs to one stream")
    func baseDirectory() async throws {
        let (_, recorder) = try await record("demo", base: "archive/case-7")
        #expect(try place.names("archive/case-7").contains("manifest.mpd"))
        try ManifestCheck(place, "archive/case-7").check(isStatic: true, periods: 1, seconds: 6)
        await recorder.stopAll()
        let feeds = ["other": try RecorderFeed(), "third": try RecorderFeed()]
        let second = try place.recorder(feeds, settings: settings)
        let key = try ObjectKey("archive/case-7")
        await #expect(throws: RecordError.directoryInUse(by: "demo")) {
            try await second.start(stream: "other", key: RecordingDirectory.key("other"), baseDirectory: key)
        }
        for path in ["archive/case-7/manifest.mpd", "archive/case-7/manifest.mpd/below/it"] {
            await #expect(throws: RecordError.notADirectory(object: "archive/case-7/manifest.mpd")) {
                try await second.start(
                    stream: "other", key: RecordingDirectory.key("other"), baseDirectory: try ObjectKey(path))
            }
        }
        let fresh = try ObjectKey("archive/case-8")
        try await second.start(stream: "other", key: RecordingDirectory.key("other"), baseDirectory: fresh)
        await #expect(throws: RecordError.directoryInUse(by: "other")) {
            try await second.start(stream: "third", key: RecordingDirectory.key("third"), baseDirectory: fresh)
        }
        await #expect(throws: RecordError.recordingElsewhere(directory: "archive/case-8")) {
            try await second.start(stream: "other", key: RecordingDirectory.key("other"), baseDirectory: key)
        }
        let again = try await second.start(stream: "other", key: RecordingDirectory.key("other"), baseDirectory: fresh)
        #expect(again.recordDirectory == "archive/case-8")
        await second.stopAll()
    }

    @Test("no room: starting says so, and what cannot be started leaves nothing behind")
    func noSpace() async throws {
        let recorder = try place.recorder(
            ["demo": try RecorderFeed()], settings: RecordSettings(freeBytesMin: .max, threads: 1))
        await #expect(throws: RecordError.self) { try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo")) }
        #expect(recorder.status(stream: "demo") == nil)
        #expect(try place.names("") == [])
        await #expect(throws: RecordError.self) { try await recorder.start(stream: "none", key: RecordingDirectory.key("none")) }
        await recorder.stopAll()
        await #expect(throws: RecordError.self) { try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo")) }
    }

    @Test("the index follows live777: since, acknowledge, forget; deleting takes the objects too")
    func index() async throws {
        let (first, _) = try await record("demo")
        let (second, recorder) = try await record("demo")
        let rows = recorder.recordings().sessions
        #expect(rows.map(\.id) == [first, second])
        #expect(recorder.recordings(sinceUs: rows[0].updatedAt).sessions.map(\.id) == [second])
        #expect(recorder.recordings(stream: "other").sessions.isEmpty)
        #expect(recorder.recordings(limit: 1).sessions.count == 1)
        #expect(rows.allSatisfy { $0.durationMs == 6000 && ($0.endTs ?? 0) - $0.startTs == 6_000_000 })

        let detail = try await recorder.detail(id: second)
        #expect(detail.tracks.map(\.kind).sorted() == ["audio", "video"])
        let video = try #require(detail.tracks.first { $0.kind == "video" })
        #expect(video.width == 160 && video.height == 90 && video.frameRate == "30" && video.timescale == 90_000)
        #expect(video.codecs.hasPrefix("avc1.42") && video.bandwidth > 1000)
        for track in try #require(detail.periods.first).tracks {
            #expect(try !place.bytes(track.initObject).isEmpty)
            for segment in track.segments { #expect(try place.bytes(segment.object).count == Int(segment.bytes)) }
        }

        let both = [(stream: "demo", record: first), (stream: "demo", record: second), (stream: "x", record: first)]
        #expect(try await recorder.forget(both) == 0)
        #expect(try await recorder.acknowledge([both[0], both[2]]) == 1)
        #expect(recorder.recordings().sessions.map(\.id) == [second])
        #expect(try await recorder.forget(both) == 1)
        await #expect(throws: RecordError.notFound) { try await recorder.detail(id: first) }
        let day = try RecordingDirectory.day("demo")
        #expect(try place.names(day).contains("seg_0001.m4s"))

        try await recorder.delete(id: second)
        #expect(recorder.recordings().sessions.map(\.status) == [.deleted])
        #expect(try place.names(day).filter { $0.contains("_\(second)") } == ["session_\(second).jsonl"])
        await #expect(throws: RecordError.notFound) { try await recorder.delete(id: second) }
        await #expect(throws: RecordError.notFound) { try await recorder.detail(id: second) }
        try ManifestCheck(place, day).check(isStatic: true, periods: 1, seconds: 6)
        await recorder.stopAll()
        let next = try place.recorder([:], settings: settings)
        let found = try await next.recover()
        #expect(found.recordings == 0 && found.repaired == 0)
        await next.stopAll()
    }

    @Test("streams that fit a pattern are recorded by themselves, others not, and the recording ends with the publisher")
    func automatic() async throws {
        let feeds = ["web-1": try RecorderFeed(), "cam": try RecorderFeed()]
        var settings = settings
        settings.autoStreams = ["web-*"].compactMap(StreamPattern.init)
        settings.reconnectSeconds = 0
        let recorder = try place.recorder(feeds, settings: settings)
        for stream in ["web-1", "cam"] { await recorder.streamPublished(stream, key: RecordingDirectory.key(stream)) }
        #expect(recorder.streams == ["web-1"])
        feeds["web-1"]?.send(publisher().events())
        #expect(await eventually { recorder.streams.isEmpty })
        #expect(recorder.recordings().sessions.map(\.status) == [.completed])
        await recorder.stopAll()
    }

    @Test("a publisher that comes back while its recording ends is recorded, now or anew")
    func comesBack() throws {
        let info = RecordingInfo(id: "a", recordDirectory: "d")
        let kept = StreamStatus(info)
        #expect(kept.want(nowNs: 100))
        #expect(!kept.beginClosing(unlessWantedSince: 100))
        #expect(kept.beginClosing(unlessWantedSince: 101))
        #expect(!kept.want(nowNs: 200))
        #expect(kept.beginClosing(unlessWantedSince: 0))
    }

    @Test("a recording that got no picture leaves nothing behind")
    func empty() async throws {
        let feed = try RecorderFeed()
        let recorder = try place.recorder(["demo": feed], settings: settings)
        try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
        feed.send([(WallClock.monotonicNs(), .source([Publisher.videoTrack]))])
        await recorder.stop(stream: "demo")
        #expect(try place.names("") == [])
        #expect(recorder.recordings().sessions.isEmpty)
        await recorder.stopAll()
    }
}
