import Cluster
import Journal
import Media
import MediaFixtures
import MediaPlane
import TestThreads
import Testing

@testable import Record

@Suite("Recordings of every codec (RFC 7798, RFC 9628, AV1 RTP; ISO/IEC 23000-19)", .offThePool)
struct CodecRecordingTests {
    static let codecs: [(codec: FixtureCodec, id: CodecID, prefix: String)] = [
        (.h264, .h264, "avc1."), (.h265, .h265, "hvc1."), (.vp9, .vp9, "vp09."), (.av1, .av1, "av01."),
    ]

    private func publisher(_ codec: FixtureCodec, _ id: CodecID, _ pictures: [SyntheticMedia.Picture]) -> Publisher {
        var publisher = Publisher()
        publisher.codec = codec
        publisher.tracks[0].codec = id
        publisher.pictures = pictures
        publisher.sounds = (0..<pictures.count * 5 / 3).map(Publisher.sound)
        return publisher
    }

    private func check(_ period: Recorded.Period) throws -> (video: Probe, file: [UInt8]) {
        var broken: [String] = []
        let video = try #require(period.tracks[.video])
        let pictures = try video.samples(&broken)
        let sound = try #require(period.tracks[.audio]).samples(&broken)
        #expect(broken == [] && period.isEnded)
        let end = pictures.last.map { Double($0.time + $0.duration) / 90_000 } ?? 0
        let soundEnd = sound.last.map { Double($0.time + $0.duration) / 48_000 } ?? 0
        #expect(abs(end - soundEnd) < 0.041)
        #expect(try Probe.decodeErrors(video.file) == "")
        return (try Probe(video.file), video.file)
    }

    @Test("segments begin with key frames, and every picture is there", arguments: codecs.indices)
    func whole(index: Int) throws {
        let (codec, id, prefix) = Self.codecs[index]
        let recorded = Recorded.run(
            [publisher(codec, id, try SyntheticMedia.pictures(codec, frames: 180, gop: 30))],
            settings: TimelineSettings(segmentSeconds: 2))
        #expect(recorded.periods.count == 1)
        let period = try #require(recorded.periods.first)
        #expect(period.tracks[.video]?.segments.map(\.duration) == [180_000, 180_000, 180_000])
        #expect(period.tracks[.video]?.segments.allSatisfy(\.startsWithSync) == true)
        #expect(period.tracks[.video]?.format.codecs.hasPrefix(prefix) == true)
        let (probe, file) = try check(period)
        #expect(probe.packets.map(\.pts) == (0..<180).map { Int64($0) * 3000 })
        #expect(try Probe.decodedPictures(file) == 180)
    }

    @Test("another resolution begins another Period with its own initialization", arguments: codecs.indices)
    func resolution(index: Int) throws {
        let (codec, id, _) = Self.codecs[index]
        let pictures =
            try SyntheticMedia.pictures(codec, frames: 60, gop: 60) + SyntheticMedia.pictures(codec, frames: 60, size: "128x128")
        let recorded = Recorded.run([publisher(codec, id, pictures)])
        #expect(recorded.sessions.map(\.count) == [2])
        let probes = try recorded.periods.map { try check($0).video }
        #expect(probes.map(\.width) == [160, 128] && probes.map(\.packets.count) == [60, 60])
    }

    @Test("parameter sets with other ids than before are those that count")
    func otherIDs() throws {
        let (others, _) = try SyntheticMedia.reordered(.h264, frames: 60, size: "128x128", bFrames: 0, more: ":sps-id=3")
        let first = try SyntheticMedia.pictures(.h264, frames: 60, gop: 60)
        let recorded = Recorded.run([publisher(.h264, .h264, first + others + first)])
        #expect(recorded.periods.map { $0.tracks[.video]?.format.pictureSize?.width } == [160, 128, 160])
        for period in recorded.periods {
            guard case .h264(let format)? = period.tracks[.video]?.format else {
                Issue.record("no H.264")
                continue
            }
            #expect(format.sps.count == 1 && format.pps.count == 1)
            #expect(try check(period).video.packets.count == 60)
        }
    }

    @Test(
        "B-frames keep their times, and no picture is lost", arguments: [FixtureCodec.h264, .h265],
        [(1, ""), (3, ""), (3, "b-pyramid")])
    func bFrames(codec: FixtureCodec, kind: (count: Int, more: String)) throws {
        let more = codec == .h264 && !kind.more.isEmpty ? ":b-pyramid=normal:open-gop=0" : ""
        let (pictures, order) = try SyntheticMedia.reordered(codec, frames: 180, gop: 30, bFrames: kind.count, more: more)
        var publisher = publisher(codec, codec == .h264 ? .h264 : .h265, pictures)
        publisher.pictureTicks = { Int64(order[$0]) * 3000 }
        let recorded = Recorded.run([publisher], settings: TimelineSettings(segmentSeconds: 2))
        #expect(recorded.periods.count == 1)
        let period = try #require(recorded.periods.first)
        #expect(period.tracks[.video]?.segments.map(\.time) == [0, 180_000, 360_000])
        #expect(period.tracks[.video]?.segments.map(\.duration) == [180_000, 180_000, 180_000])
        let (probe, file) = try check(period)
        #expect(probe.presentationTimes == order.map { Int64($0) * 3000 })
        #expect(probe.packets.map(\.dts) == (0..<180).map { Int64($0) * 3000 })
        #expect(try Probe.decodedPictures(file) == 180)
    }

    @Test(
        "B-frames that reports move are shown no more than a tenth sooner or later after each other", arguments: [1, 3],
        [10, 90] as [UInt64])
    func bFramesMoved(count: Int, soundDelayMs: UInt64) throws {
        let (pictures, order) = try SyntheticMedia.reordered(.h264, frames: 180, gop: 30, bFrames: count)
        var publisher = publisher(.h264, .h264, pictures)
        publisher.pictureTicks = { Int64(order[$0]) * 3000 }
        // Sound is placed by arrival before a report says otherwise, either way.
        publisher.reportsAfterNs = 1_500_000_000
        (publisher.videoDelayNs, publisher.soundDelayNs) = (50_000_000, soundDelayMs * 1_000_000)
        let recorded = Recorded.run([publisher], settings: TimelineSettings(segmentSeconds: 1))
        let (probe, _) = try check(try #require(recorded.periods.first))
        let shown = probe.presentationTimes.sorted()
        let steps = zip(shown, shown.dropFirst()).map { $1 - $0 }
        #expect(shown.count == 180 && steps.filter { abs($0 - 3000) > 300 } == [])
        // All the way to what the reports say, but for what nobody hears.
        let movedMs = (steps.reduce(0, +) - 179 * 3000) / 90
        #expect((37...43).contains(abs(movedMs)), "\(movedMs)")
    }

    @Test("B-frames with a loss, a drift of reports and another resolution break no rule", arguments: 0..<6 as Range<UInt64>)
    func bFramesUnderway(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let (pictures, order) = try SyntheticMedia.reordered(.h264, frames: 180, gop: 30, bFrames: 3)
        let (others, otherOrder) = try SyntheticMedia.reordered(.h264, frames: 60, gop: 30, size: "128x128", bFrames: 2)
        var publisher = publisher(.h264, .h264, pictures + others)
        let all = order + otherOrder.map { $0 + 180 }
        publisher.pictureTicks = { Int64(all[$0]) * 3000 }
        publisher.reportsAfterNs = 400_000_000
        publisher.videoDelayNs = UInt64.random(in: 0...120, using: &generator) * 1_000_000
        let lost = Int.random(in: 1..<180, using: &generator)
        publisher.network = { track, packet in track == 0 && packet.unit == lost ? nil : 0 }
        let recorded = Recorded.run([publisher], settings: TimelineSettings(segmentSeconds: 1))
        #expect(recorded.periods.count == 2)
        let probes = try recorded.periods.map { try check($0).video }
        // All up to the lost picture, and from the next key frame on.
        let resumed = (lost / 30 + 1) * 30
        #expect(probes.map(\.packets.count) == [lost + 180 - min(180, resumed), 60])
        #expect(probes.map(\.width) == [160, 128])
    }

    @Test("pictures of a random access point's past are left out where a recording begins with it")
    func openGroups() throws {
        let (pictures, order) = try SyntheticMedia.reordered(.h265, frames: 120, gop: 20, bFrames: 2, more: ":open-gop=1")
        var publisher = publisher(.h265, .h265, pictures)
        publisher.pictureTicks = { Int64(order[$0]) * 3000 }
        publisher.network = { track, packet in track == 0 && packet.unit < 5 ? nil : 0 }
        let recorded = Recorded.run([publisher], settings: TimelineSettings(segmentSeconds: 1))
        #expect(recorded.periods.count == 1)
        let (probe, _) = try check(try #require(recorded.periods.first))
        let sorted = probe.presentationTimes.sorted()
        #expect(sorted.first == 0 && zip(sorted, sorted.dropFirst()).allSatisfy { $1 - $0 == 3000 })
        #expect(sorted.count >= 98)
    }

    @Test("VP8 goes into WebM beside sound in CMAF, and the day's manifest says so")
    func webM() async throws {
        let place = try RecordingDirectory()
        let feed = try RecorderFeed()
        let settings = RecordSettings(segmentSeconds: 2, freeBytesMin: 0, threads: 1)
        let recorder = try place.recorder(["vp8": feed], settings: settings)
        _ = try await recorder.start(stream: "vp8", key: RecordingDirectory.key("vp8"), baseDirectory: nil)
        var publisher = publisher(.vp8, .vp8, try SyntheticMedia.pictures(.vp8, frames: 150, gop: 30))
        publisher.startNs = WallClock.monotonicNs()
        feed.send(publisher.events())
        #expect(await recorder.stop(stream: "vp8"))
        await recorder.stopAll()
        let day = try RecordingDirectory.day("vp8")
        let names = Set(try place.names(day))
        #expect(names.isSuperset(of: ["init.webm", "seg_0001.webm", "audio_init.m4s", "audio_seg_0001.m4s"]))
        #expect(names.allSatisfy { !$0.hasSuffix(".tmp") })
        let manifest = String(decoding: try place.bytes(day + "/manifest.mpd"), as: UTF8.self)
        #expect(manifest.contains("mimeType=\"video/webm\"") && manifest.contains("media=\"seg_$Number%04d$.webm\""))
        let segments = names.filter { $0.hasPrefix("seg_") }.sorted()
        let file = try (["init.webm"] + segments).flatMap { try place.bytes("\(day)/\($0)") }
        #expect(try Probe.decodedPictures(file) == 150)
        #expect(try Probe.decodeErrors(file) == "")
    }

    @Test("each codec of a stream that changes it has Periods and objects of its own, in one manifest")
    func changing() async throws {
        let place = try RecordingDirectory()
        let feed = try RecorderFeed()
        let recorder = try place.recorder(["demo": feed])
        try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
        var startNs = WallClock.monotonicNs()
        for (codec, id) in [(FixtureCodec.h264, CodecID.h264), (.vp8, .vp8), (.vp9, .vp9), (.vp8, .vp8)] {
            var publisher = publisher(codec, id, try SyntheticMedia.pictures(codec, frames: 90, gop: 30))
            publisher.startNs = startNs
            startNs += 4_000_000_000
            feed.send(publisher.events())
        }
        await recorder.stopAll()
        let day = try RecordingDirectory.day("demo")
        let named = try ManifestCheck(place, day).check(isStatic: true, periods: 4, seconds: 12)
        #expect(Set(try place.names(day).filter(SegmentContainer.holds)) == named)
        let row = try #require(recorder.recordings().sessions.first)
        let detail = try await recorder.detail(id: row.id)
        let video = detail.periods.flatMap(\.tracks).filter { detail.tracks[$0.track].kind == "video" }
        #expect(video.map { detail.tracks[$0.track].codecs.prefix(4) } == ["avc1", "vp8", "vp09", "vp8"])
        #expect(video.map { detail.tracks[$0.track].mimeType } == ["video/mp4", "video/webm", "video/mp4", "video/webm"])
        for track in video {
            let file = try track.segments.reduce(try place.bytes(track.initObject)) { try $0 + place.bytes($1.object) }
            #expect(try Probe.decodeErrors(file) == "")
            #expect(try Probe.decodedPictures(file) == 90)
        }
    }

    @Test("a WebM segment that a dead writer left is kept as far as it is whole")
    func webMAfterDeath() throws {
        let recorded = Recorded.run(
            [publisher(.vp8, .vp8, try SyntheticMedia.pictures(.vp8, frames: 180, gop: 30))],
            settings: TimelineSettings(segmentSeconds: 2))
        let track = try #require(recorded.periods.first?.tracks[.video])
        #expect(track.segments.map(\.duration) == [180_000, 180_000, 180_000])
        for segment in track.segments {
            let scan = FragmentScanner(segment.bytes)
            #expect(scan.wholeBytes == segment.bytes.count && scan.fragments.map(\.samples).reduce(0, +) == segment.samples)
            #expect(scan.extent.map { abs($0.time - segment.time) <= 90 && abs($0.duration - segment.duration) <= 90 } == true)
            #expect(scan.fragments.first?.startsWithSync == true)
        }
    }
}
