import Foundation
import Journal
import Media
import MediaFixtures
import MediaPlane
import TestThreads
import Testing

@testable import Record

@Suite("Senders and networks that misbehave, from RTP to a checked manifest (RFC 3550, DASH-IF timing)", .offThePool)
struct RobustnessTests {
    /// Twelve seconds with a key frame each.
    private static let pictures: [SyntheticMedia.Picture] = (try? SyntheticMedia.h264(frames: 360, gop: 30, size: "64x64")) ?? []
    private static let others: [SyntheticMedia.Picture] = (try? SyntheticMedia.h264(frames: 120, gop: 30, size: "96x64")) ?? []
    private static let places = Dictionary(
        pictures.enumerated().map { (Publisher.sample($1), $0) }, uniquingKeysWith: { first, _ in first })

    private let rig: RecordingRig

    init() throws {
        rig = try RecordingRig()
    }

    private func publisher(_ pictures: [SyntheticMedia.Picture] = pictures, startNs: UInt64 = 1_000_000_000_000) -> Publisher {
        var publisher = Publisher()
        publisher.startNs = startNs
        publisher.pictures = pictures
        publisher.sounds = (0..<pictures.count * 5 / 3).map(Publisher.sound)
        publisher.reportsAfterNs = 300_000_000
        return publisher
    }

    private typealias Placed = (time: Int64, duration: Int64, data: [UInt8])

    private func samples(_ period: Recorded.Period, _ kind: LaneKind) throws -> [Placed] {
        var broken: [String] = []
        return try period.tracks[kind]?.samples(&broken) ?? []
    }

    /// Indices of all pictures and of all sounds, in the order they are played.
    private func played(_ recorded: Recorded) throws -> (pictures: [Int], sounds: [Int]) {
        let pictures = try recorded.periods.flatMap { try samples($0, .video).map { Self.places[$0.data] ?? -1 } }
        let sounds = try recorded.periods.flatMap { try samples($0, .audio).compactMap { Publisher.soundIndex($0.data) } }
        return (pictures, sounds)
    }

    /// By how much sound is off its pictures at most, in microseconds.
    private func worstOffset(_ recorded: Recorded, _ publisher: Publisher) throws -> Int64 {
        var worst: Int64 = 0
        for period in recorded.periods {
            let video = try samples(period, .video).map { sample in
                let captured = publisher.pictureTicks(Self.places[sample.data] ?? 0) * 100 / 9
                return (captured: captured, error: sample.time * 100 / 9 - captured)
            }
            for sample in try samples(period, .audio) {
                guard let index = Publisher.soundIndex(sample.data), let first = video.first else { continue }
                let captured = Int64(index) * 20_000
                let beside = video.last { $0.captured <= captured } ?? first
                // The first sound of a Period may be moved onto its start.
                if sample.time > 0 { worst = max(worst, abs(sample.time * 1000 / 48 - captured - beside.error)) }
            }
        }
        return worst
    }

    /// Every picture and every sound once, in order, and together.
    private func expectWhole(_ recorded: Recorded, _ publisher: Publisher, soundsMissing: Int = 0) throws {
        let (pictures, sounds) = try played(recorded)
        #expect(pictures == Array(0..<publisher.pictures.count))
        #expect(sounds == sounds.sorted() && Set(sounds).count == sounds.count)
        #expect(sounds.count >= publisher.sounds.count - soundsMissing)
        #expect(try worstOffset(recorded, publisher) <= 3000)
        #expect(rig.versions > 5)
    }

    @Test(
        "timestamps that wrap, while packets come out of order", arguments: [(true, false), (false, true), (true, true)],
        [1, 2] as [UInt64])
    func wrap(_ wraps: (video: Bool, sound: Bool), seed: UInt64) throws {
        var publisher = publisher()
        // The wrap is five seconds away.
        if wraps.video { publisher.videoTimestamp = 0 &- 450_000 &- 1234 }
        if wraps.sound { publisher.soundTimestamp = 0 &- 240_000 &- 321 }
        var generator = SeededGenerator(seed: seed)
        let late = (0..<4096).map { _ in UInt64.random(in: 0...80_000_000, using: &generator) }
        publisher.network = { track, packet in late[Int(packet.extendedSequence &* 7 &+ UInt64(track)) % 4096] }
        let recorded = try rig.record([publisher])
        #expect(recorded.periods.count == 1)
        try expectWhole(recorded, publisher)
    }

    @Test(
        "a sender that counts anew but goes on loses nothing; a Period of its own begins at the next key frame",
        arguments: [900_001, 300_000, -300_000, 1 << 30, -(1 << 30), 1 << 31] as [Int64], ["video", "sound", "both"])
    func jump(ticks: Int64, which: String) throws {
        var publisher = publisher()
        publisher.reportsAfterNs = nil
        publisher.retimed = { track, unit in
            if track == 0, which != "sound", unit >= 100 { return ticks }
            if track == 1, which != "video", unit >= 167 { return ticks }
            return 0
        }
        let recorded = try rig.record([publisher])
        #expect(recorded.periods.count == 2)
        #expect(try samples(recorded.periods[0], .video).count == 120)
        try expectWhole(recorded, publisher, soundsMissing: 1)
        #expect(abs(recorded.periods[1].startUs - recorded.periods[0].startUs - 4_000_000) <= 1000)
    }

    @Test("timestamps that jump again and again never break a rule", arguments: 1...4 as ClosedRange<UInt64>)
    func jumps(seed: UInt64) throws {
        var publisher = publisher()
        var generator = SeededGenerator(seed: seed)
        let jumps = (0..<24).map { _ in Int64.random(in: -1 << 31...1 << 31, using: &generator) }
        publisher.retimed = { track, unit in jumps[(track == 0 ? unit / 31 : 12 + unit / 53) % 24] }
        let (pictures, sounds) = try played(try rig.record([publisher]))
        #expect(pictures == pictures.sorted() && Set(pictures).count == pictures.count && pictures.count >= 330)
        #expect(sounds == sounds.sorted() && Set(sounds).count == sounds.count && sounds.count >= 560)
    }

    @Test("a publisher that comes back three times, with other numbers each time, and then in another size")
    func reconnects() throws {
        var publishers: [Publisher] = []
        for round in 0..<4 {
            var publisher = publisher(
                Array((round == 3 ? Self.others : Self.pictures).prefix(90)),
                startNs: 1_000_000_000_000 + UInt64(round) * 5_000_000_000)
            publisher.videoTimestamp = [1000, 4_294_900_000, 7, 1 << 31][round]
            publisher.soundTimestamp = [17, 3_000_000_000, 4_294_960_000, 0][round]
            publisher.videoSequence = [70_000, 3, 1 << 33, 65_535][round]
            publisher.soundSequence = [5, 80_000, 0, 1][round]
            publishers.append(publisher)
        }
        let recorded = try rig.record(publishers)
        #expect(recorded.sessions.map(\.count) == [4])
        for (round, period) in recorded.periods.enumerated() {
            #expect(try samples(period, .video).count == 90 && samples(period, .audio).count == 150)
            #expect(abs(period.startUs - recorded.periods[0].startUs - Int64(round) * 5_000_000) <= 1000)
        }
    }

    @Test("an encoder that starts anew in the middle, with another SSRC, leaves no gap")
    func otherSSRC() throws {
        var first = publisher(Array(Self.pictures.prefix(120)))
        first.leaves = false
        var second = publisher(Array(Self.pictures.dropFirst(120)), startNs: first.startNs + 4_000_000_000)
        second.videoTimestamp = 3_000_000_000
        second.soundTimestamp = 5
        second.videoSequence = 1
        let recorded = try rig.record([first, second])
        #expect(recorded.sessions.map(\.count) == [2])
        #expect(try played(recorded).pictures == Array(0..<360))
        #expect(try recorded.periods.map { try samples($0, .audio).count } == [200, 400])
        let ends = try samples(recorded.periods[0], .video).map(\.duration).reduce(0, +)
        #expect(abs(recorded.periods[1].startUs - recorded.periods[0].startUs - ends * 100 / 9) <= 1000)
    }

    @Test(
        "bursts of loss, reordering and copies: what came is there once, what did not is a longer picture or silence",
        arguments: 1...6 as ClosedRange<UInt64>)
    func loss(seed: UInt64) throws {
        var publisher = publisher()
        var generator = SeededGenerator(seed: seed)
        // Gilbert's model: good and bad times.
        var isBad = false
        var fate: [UInt64?] = []
        for _ in 0..<8192 {
            isBad = Int.random(in: 0..<100, using: &generator) < (isBad ? 70 : 2)
            let isLost = isBad && Int.random(in: 0..<10, using: &generator) < 7
            fate.append(isLost ? nil : UInt64.random(in: 0...(isBad ? 300_000_000 : 5_000_000), using: &generator))
        }
        let fates = fate
        publisher.network = { track, packet in fates[Int(packet.extendedSequence &+ UInt64(track) &* 4000) % 8192] }
        publisher.copied = { _, packet in packet.extendedSequence % 17 == 0 ? 40_000_000 : nil }
        let recorded = try rig.record([publisher])
        #expect(recorded.periods.count == 1)
        let (pictures, sounds) = try played(recorded)
        let arrived = (0..<600).filter { fates[Int(90_000 + $0 + 4000) % 8192] != nil }
        // Sound before the first key frame belongs to nothing.
        #expect(sounds.allSatisfy { arrived.contains($0) } && Set(sounds).count == sounds.count)
        #expect(pictures == pictures.sorted() && Set(pictures).count == pictures.count && !pictures.contains(-1))
        #expect(try worstOffset(recorded, publisher) <= 3000)
        let video = try #require(recorded.periods.first?.tracks[.video])
        if seed == 1 { #expect(try Probe.decodeErrors(video.file) == "") }
    }

    @Test(
        "a day begins: another session in another directory, and not a picture or sound is missing",
        arguments: [0, 1_400_000, 3_990_000] as [Int64])
    func midnight(offsetUs: Int64) throws {
        let publisher = publisher()
        let midnight: Int64 = 1_795_219_200_000_000
        let recorded = try rig.record([publisher], realtimeUs: midnight - 6_000_000 + offsetUs)
        #expect(recorded.sessions.count == 2)
        try expectWhole(recorded, publisher, soundsMissing: 1)
        #expect(recorded.periods[1].startUs >= midnight && recorded.periods[1].startUs < midnight + 1_100_000)
        for day in ["20", "21"] { #expect(try rig.place.names("demo/2026/11/\(day)").contains("seg_0001.m4s")) }
    }

    private static let dayUs: Int64 = 86_400_000_000

    @Test("the time of day that is set while a source sends moves nothing", arguments: [dayUs, -dayUs, -3_600_000_000])
    func clockStep(us: Int64) throws {
        let publisher = publisher()
        let recorded = try rig.record([publisher], steps: { $0 > publisher.startNs + 4_000_000_000 ? us : 0 })
        #expect(recorded.sessions.map(\.count) == [1])
        try expectWhole(recorded, publisher)
    }

    @Test("and when the publisher comes back it has its place in the new time", arguments: [dayUs, -dayUs, -3_600_000_000])
    func clockStepBetween(us: Int64) throws {
        let first = publisher(Array(Self.pictures.prefix(120)))
        var second = publisher(Array(Self.pictures.dropFirst(120)), startNs: first.startNs + 6_000_000_000)
        second.soundTimestamp = 3
        let recorded = try rig.record([first, second], steps: { $0 > first.startNs + 5_000_000_000 ? us : 0 })
        #expect(recorded.sessions.map(\.count) == (abs(us) == Self.dayUs ? [1, 1] : [2]))
        #expect(try played(recorded).pictures == Array(0..<360))
        #expect(abs(recorded.periods[1].startUs - recorded.periods[0].startUs - 6_000_000 - us) <= 1000)
    }

    @Test("a time of day that was set and stays is taken while the source sends on")
    func clockStaysSet() throws {
        let us = 60 * Self.dayUs
        // Two minutes with a key frame each ten seconds.
        var publisher = publisher()
        publisher.pictureTicks = { Int64($0) * 30_000 }
        publisher.sounds = (0..<6_000).map(Publisher.sound)
        let recorded = try rig.record([publisher], steps: { $0 > publisher.startNs + 25_000_000_000 ? us : 0 })
        #expect(recorded.sessions.map(\.count) == [1, 1])
        let played = try played(recorded)
        #expect(played.pictures == Array(0..<360))
        #expect(played.sounds == played.sounds.sorted() && played.sounds.count >= 5_990)
        // It has been another time for a minute when the key frame at 90 s comes.
        let movedUs = recorded.periods[1].startUs - recorded.periods[0].startUs
        #expect(abs(movedUs - 90_000_000 - us) <= 1000)
        #expect(recorded.periods.map(\.continues) == [false, false])
    }

    @Test("and by sound alone")
    func clockStaysSetForSound() throws {
        var publisher = publisher([])
        publisher.tracks = [Publisher.soundTrack]
        publisher.sounds = (0..<9_000).map(Publisher.sound)
        let us = 60 * Self.dayUs
        let recorded = try rig.record([publisher], steps: { $0 > publisher.startNs + 20_000_000_000 ? us : 0 })
        #expect(recorded.sessions.map(\.count) == [1, 1])
        #expect(try played(recorded).sounds == Array(0..<9_000))
        let movedUs = recorded.periods[1].startUs - recorded.periods[0].startUs - us
        #expect((80_000_000...82_500_000).contains(movedUs))
    }

    @Test("nothing comes to lie before what is recorded already when the time of day is set back")
    func clockSetBehind() throws {
        var publisher = publisher()
        publisher.pictureTicks = { Int64($0) * 30_000 }
        publisher.sounds = []
        let recorded = try rig.record([publisher], steps: { $0 > publisher.startNs + 25_000_000_000 ? -3_600_000_000 : 0 })
        #expect(recorded.sessions.map(\.count) == [1])
        #expect(try played(recorded).pictures == Array(0..<360))
    }

    @Test("a time of day that is set back within a minute was none")
    func clockSetBack() throws {
        var publisher = publisher()
        publisher.pictureTicks = { Int64($0) * 30_000 }
        publisher.sounds = []
        let range = publisher.startNs + 20_000_000_000...publisher.startNs + 75_000_000_000
        let recorded = try rig.record([publisher], steps: { range.contains($0) ? Self.dayUs : 0 })
        #expect(recorded.sessions.map(\.count) == [1])
        #expect(try played(recorded).pictures == Array(0..<360))
    }

    @Test("a session with very many segments ends, and another goes on in the same place")
    func manySegments() throws {
        var settings = TimelineSettings(segmentSeconds: 1)
        settings.segmentsMax = 4
        var publisher = publisher()
        publisher.sounds = []
        let recorded = try rig.record([publisher], settings: settings)
        // Whether to go on is asked before each cut, whose segment is not counted yet.
        let counts = recorded.sessions.map { $0.flatMap { $0.tracks.values.map(\.segments.count) }.reduce(0, +) }
        #expect(counts == [5, 5, 2])
        #expect(recorded.periods.map(\.continues) == [false, true, true])
        #expect(try played(recorded).pictures == Array(0..<360))
    }

    @Test("the same of sound alone")
    func manySoundSegments() throws {
        var settings = TimelineSettings(segmentSeconds: 1)
        settings.segmentsMax = 4
        var publisher = publisher([])
        publisher.tracks = [Publisher.soundTrack]
        publisher.sounds = (0..<600).map(Publisher.sound)
        let recorded = try rig.record([publisher], settings: settings)
        #expect(recorded.sessions.count == 3 && recorded.periods.count == 3)
        #expect(recorded.periods.allSatisfy { ($0.tracks[.audio]?.segments.count ?? .max) <= 5 })
        #expect(try played(recorded).sounds == Array(0..<600))
    }

    @Test("another format with each key frame: a Period each, everything there, and no manifest without end")
    func alternating() throws {
        var pictures: [SyntheticMedia.Picture] = []
        for gop in 0..<4 {
            let range = gop * 30..<gop * 30 + 30
            pictures += Self.pictures[range]
            pictures += Self.others[range]
        }
        let recorded = try rig.record([publisher(pictures)])
        #expect(recorded.sessions.map(\.count) == [8])
        #expect(try recorded.periods.map { try samples($0, .video).count } == [Int](repeating: 30, count: 8))
        let sounds = try played(recorded).sounds
        #expect(sounds == sounds.sorted() && sounds.count >= 392)

        var flapping = publisher((0..<2100).map { $0 % 2 == 0 ? Self.pictures[0] : Self.others[0] })
        flapping.sounds = []
        let many = Recorded.run([flapping])
        #expect(many.sessions.map(\.count) == [1000, 1000, 100])
    }

    @Test("pictures that come when they like keep their times", arguments: 1...3 as ClosedRange<UInt64>)
    func variableRate(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var times: [Int64] = [0]
        for _ in 1..<240 {
            let isPause = Int.random(in: 0..<40, using: &generator) == 0
            let step = isPause ? 180_000 : Int64.random(in: 200...9000, using: &generator)
            times.append(times[times.count - 1] + step)
        }
        let ticks = times
        var publisher = publisher(Array(Self.pictures.prefix(240)))
        publisher.pictureTicks = { ticks[$0] }
        publisher.sounds = (0..<Int(ticks[239] / 1800)).map(Publisher.sound)
        let recorded = try rig.record([publisher])
        #expect(recorded.periods.count == 1)
        #expect(try samples(recorded.periods[0], .video).map(\.time) == ticks)
        try expectWhole(recorded, publisher)
    }

    /// What libopus does with `usedtx`: nothing for 400 ms, then a packet of one byte that says where silence is.
    @Test("sound that is not sent while nobody speaks (RFC 7587 3.1.3)", arguments: [1, 2, 0])
    func discontinuous(comfortBytes: Int) throws {
        var publisher = publisher()
        for index in 100..<300 {
            publisher.sounds[index] = index % 20 == 0 ? Array([0xF8, 0xFF].prefix(comfortBytes)) : nil
        }
        let recorded = try rig.record([publisher])
        #expect(recorded.periods.count == 1)
        let sounds = try samples(recorded.periods[0], .audio)
        #expect(sounds.map(\.duration).reduce(0, +) == 576_000)
        #expect(sounds.allSatisfy { $0.duration <= 6000 })
        #expect(try played(recorded).sounds.count == 400)
        #expect(try worstOffset(recorded, publisher) <= 3000)
        let track = try #require(recorded.periods[0].tracks[.audio])
        #expect(try Probe.decodeErrors(track.file) == "")
    }

    @Test("a sender that never makes another key frame: sound and pictures are cut all the same, at three segments or 12 s")
    func noKeyframes() throws {
        var publisher = publisher(Array(repeating: Self.pictures[1], count: 2100))
        publisher.pictures[0] = Self.pictures[0]
        let recorded = try rig.record([publisher], settings: TimelineSettings(segmentSeconds: 2))
        let period = try #require(recorded.periods.first)
        #expect(recorded.periods.count == 1)
        #expect(period.tracks[.video]?.segments.map(\.duration) == [Int64](repeating: 1_080_000, count: 5) + [900_000])
        #expect(period.tracks[.video]?.segments.map(\.startsWithSync) == [true, false, false, false, false, false])
        #expect(period.tracks[.audio]?.segments.map(\.duration) == [Int64](repeating: 576_000, count: 5) + [480_000])
        let longer = Recorded.run([publisher], settings: TimelineSettings(segmentSeconds: 12))
        #expect(longer.periods.first?.tracks[.video]?.segments.first?.duration == 3_240_000)
    }
}
