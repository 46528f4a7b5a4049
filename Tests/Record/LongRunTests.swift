import Foundation
import Journal
import Media
import MediaFixtures
import MediaPlane
import TestThreads
import Testing

@testable import Record

@Suite("Long recordings on injected time", .offThePool)
struct LongRunTests {
    private static let origin: UInt64 = 1_000_000_000_000
    private static let second: UInt64 = 1_000_000_000

    private static func recorder() -> StreamRecorder {
        var settings = TimelineSettings()
        settings.rotatesAtMidnight = false
        return StreamRecorder(settings: settings, wallClock: WallClock(monotonicNs: origin, realtimeUs: 1_795_190_400_000_000))
    }

    /// 120 ms of Opus, CELT, stereo: six frames of 20 ms, which begin with the packet's number.
    private static func sound(_ index: Int) -> [UInt8] { [0xFF, 6] + Publisher.sound(index).dropFirst() }

    /// Numbers and times of the sound of a Period.
    private static func numbered(_ period: Recorded.Period, _ broken: inout [String]) throws -> [(index: Int, time: Int64)] {
        try (period.tracks[.audio]?.samples(&broken) ?? []).compactMap { sample in
            guard sample.data.count == 6 else { return nil }
            return Publisher.soundIndex([0] + sample.data.dropFirst(2)).map { ($0, sample.time) }
        }
    }

    @Test(
        "1,000 wraps of sequence numbers, and one of timestamps, with a loss before each packet: every packet, in order, at its time"
    )
    func wraps() throws {
        var recorder = Self.recorder()
        var recorded = Recorded()
        let track = TapTrack(index: 0, kind: .audio, codec: .opus, clockRate: 48_000, fmtp: "", channels: 2)
        let wall = WallClock(monotonicNs: Self.origin, realtimeUs: 1_795_190_400_000_000)
        recorder.beginSource([track], nowNs: Self.origin, wallClock: wall)
        let count = (1_000 << 16) / 2_900
        for index in 0..<count {
            let ns = Self.origin + UInt64(index) * 600_000_000
            // What was behind the last hole has waited for long enough.
            recorder.tick(nowNs: ns)
            recorder.receive(
                track: 0, sequence: 65_000 + UInt64(index) * 2_900,
                timestamp: UInt32(truncatingIfNeeded: 4_000_000_000 + UInt64(index) * 28_800), arrivalNs: ns, marker: false,
                payload: Self.sound(index))
            recorded.apply(recorder.actions)
            recorder.actions = []
        }
        let endNs = Self.origin + UInt64(count + 10) * 600_000_000
        recorder.endSource(nowNs: endNs)
        recorder.endSession(nowNs: endNs)
        recorded.apply(recorder.actions)
        var broken: [String] = []
        var next = 0
        var worst: Int64 = 0
        for period in recorded.periods {
            let list = try Self.numbered(period, &broken)
            let first = list.first ?? (0, 0)
            for (index, time) in list {
                if index != next { broken.append("\(index) instead of \(next)") }
                worst = max(worst, abs(time - first.time - Int64(index - first.index) * 28_800))
                next = index + 1
            }
        }
        let faults = Array(broken.prefix(5))
        #expect(faults == [])
        #expect(next == count)
        #expect(worst <= 48, "a millisecond")
    }

    @Test(
        "10,000 wraps of sequence numbers through the buffer that puts packets in order, the last of each behind the first of the next"
    )
    func reordered() {
        var buffer = ReorderBuffer()
        var (sent, seen, losses) = (0, 0, 0)
        var now: UInt64 = 0
        var last: UInt32 = 0
        var isOrdered = true
        func insert(_ sequence: UInt64) {
            sent += 1
            buffer.insert(
                sequence, RecordedPacket(timestamp: UInt32(sequence >> 8), arrivalNs: now, marker: false, payload: [1]))
        }
        for wrap in 1...UInt64(10_000) {
            // A jump that no loss explains begins anew; the others are losses, which are waited for.
            for near in [wrap << 16 - 1200, wrap << 16 - 2, wrap << 16, wrap << 16 - 1, wrap << 16 + 1] {
                now += 1_000_000_000
                insert(near)
                while let (packet, afterLoss) = buffer.pop(nowNs: now + 999_000_000) {
                    if packet.timestamp < last { isOrdered = false }
                    last = packet.timestamp
                    seen += 1
                    if afterLoss { losses += 1 }
                }
            }
        }
        // The one that was overtaken came a second late: its place had been given up.
        #expect(isOrdered && seen == sent - 10_000 && losses > 10_000)
    }

    /// A whole day takes a minute or two: `SLOW_TESTS=1`.
    private static let hours = ProcessInfo.processInfo.environment["SLOW_TESTS"] == "1" ? [6, 24] : [6]

    @Test(
        "hours of pictures and sound of a sender whose clock runs wrong: all of it, in as many Periods as that makes, together",
        arguments: hours)
    func day(hours: Int) throws {
        var recorder = Self.recorder()
        var recorded = Recorded()
        let driftPPM: UInt64 = 80
        func sender(_ ns: UInt64) -> UInt64 { ns + ns / 1_000_000 * driftPPM }
        func ticks(_ ns: UInt64, _ rate: UInt64) -> UInt32 {
            UInt32(truncatingIfNeeded: 4_000_000_000 + sender(ns) / 1000 * rate / 1_000_000)
        }
        let wall = WallClock(monotonicNs: Self.origin, realtimeUs: 1_795_190_400_000_000)
        recorder.beginSource([Publisher.videoTrack, Publisher.soundTrack], nowNs: Self.origin, wallClock: wall)
        let picture = try #require(try SyntheticMedia.h264(frames: 1, gop: 1, size: "64x64").first)
        var packetizer = FixturePacketizer(extendedSequence: 65_000, payloadMax: 60_000)
        let pictures = hours * 450
        for index in 0..<pictures {
            let at = UInt64(index) * 8 * Self.second
            let ns = Self.origin + at
            for packet in packetizer.picture(picture, timestamp: ticks(at, 90_000), unit: index) {
                recorder.receive(
                    track: 0, sequence: packet.extendedSequence, timestamp: packet.timestamp, arrivalNs: ns + 20_000_000,
                    marker: packet.marker, payload: packet.payload)
            }
            recorder.receive(
                track: 1, sequence: 65_000 + UInt64(index), timestamp: ticks(at, 48_000), arrivalNs: ns + 20_000_000,
                marker: false,
                payload: Self.sound(index))
            if index % 5 == 1 {
                let time = 3_900_000_000 * Self.second + sender(at)
                let ntp = (time / Self.second) << 32 | ((time % Self.second) << 32) / Self.second
                for (track, rate) in [(0, 90_000), (1, 48_000)] as [(UInt8, UInt64)] {
                    recorder.receiveReport(track: track, ntp: ntp, timestamp: ticks(at, rate), arrivalNs: ns + 21_000_000)
                }
            }
            recorder.tick(nowNs: ns + 500_000_000)
            recorded.apply(recorder.actions)
            recorder.actions = []
        }
        let endNs = Self.origin + UInt64(pictures) * 8 * Self.second
        recorder.endSource(nowNs: endNs)
        recorder.endSession(nowNs: endNs)
        recorded.apply(recorder.actions)
        try check(recorded, pictures: pictures, hours: hours)
    }

    private func check(_ recorded: Recorded, pictures: Int, hours: Int) throws {
        var broken: [String] = []
        var (pictureCount, soundCount) = (0, 0)
        var worstUs: Int64 = 0
        for period in recorded.periods {
            let video = try period.tracks[.video]?.samples(&broken) ?? []
            for (index, time) in try Self.numbered(period, &broken) {
                soundCount += 1
                let beside = index - pictureCount
                guard video.indices.contains(beside) else { continue }
                worstUs = max(worstUs, abs(time * 1_000_000 / 48_000 - video[beside].time * 1_000_000 / 90_000))
            }
            pictureCount += video.count
        }
        #expect(broken == [] && pictureCount == pictures && soundCount >= pictures - 2 * recorded.periods.count)
        #expect(worstUs <= 20_000)
        // 80 parts in a million are 6.9 s in a day; each Period takes up 0.3 s of it.
        #expect((hours * 15 / 24...hours * 30 / 24 + 1).contains(recorded.periods.count))
    }
}
