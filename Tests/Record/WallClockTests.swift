import Journal
import Media
import MediaFixtures
import MediaPlane
import TestThreads
import Testing

@testable import Record

@Suite("The time of day of what is recorded (senders' clocks that run faster or slower than ours)", .offThePool)
struct WallClockTests {
    private static let pictures: [SyntheticMedia.Picture] = (try? SyntheticMedia.h264(frames: 4, gop: 2, size: "64x64")) ?? []
    private static let originNs: UInt64 = 1_000_000_000_000
    private static let originUs: Int64 = 1_795_190_400_000_000

    /// What the network makes of a packet: some jitter, and now and then half a minute in which everything is a second late.
    private func delayNs(_ passedNs: UInt64, _ generator: inout SeededGenerator) -> UInt64 {
        let isCongested = passedNs / 1_000_000_000 % 3_600 >= 3_570
        return UInt64.random(in: 0...40_000_000, using: &generator) + (isCongested ? 1_000_000_000 : 0)
    }

    /// Records `count` pictures or sound packets, one each `everyNs`, of a sender whose clock is off.
    ///
    /// - Returns: what was recorded, and how far the times of day of segments are off at most, in microseconds.
    private func record(
        _ track: TapTrack, count: Int, everyNs: UInt64, partsPerMillion: Double, rate: Double, settings: TimelineSettings
    ) -> (recorded: Recorded, worstUs: Int64) {
        var generator = SeededGenerator(seed: 7)
        let wall = WallClock(monotonicNs: Self.originNs, realtimeUs: Self.originUs)
        var recorder = StreamRecorder(settings: settings, wallClock: wall)
        recorder.beginSource([track], nowNs: Self.originNs, wallClock: wall)
        var packetizer = FixturePacketizer(extendedSequence: 1, payloadMax: 60_000)
        var recorded = Recorded()
        for index in 0..<count {
            let passedNs = UInt64(index) * everyNs
            let arrival = Self.originNs + passedNs + delayNs(passedNs, &generator)
            let timestamp = UInt32(truncatingIfNeeded: Int64(Double(passedNs) / 1e9 * rate * (1 + partsPerMillion / 1e6)))
            let packets =
                track.kind == .video
                ? packetizer.picture(Self.pictures[index % 2], timestamp: timestamp, unit: index)
                : [packetizer.sound([0x1B, 2, 1, 1], timestamp: timestamp, unit: index)]
            for packet in packets {
                recorder.receive(
                    track: track.index, sequence: packet.extendedSequence, timestamp: packet.timestamp, arrivalNs: arrival,
                    marker: packet.marker, payload: packet.payload)
            }
            recorded.apply(recorder.actions)
            recorder.actions = []
        }
        recorder.endSource(nowNs: Self.originNs + UInt64(count) * everyNs)
        recorder.endSession(nowNs: 0)
        recorded.apply(recorder.actions)
        var worst: Int64 = 0
        var sample: Int64 = 0
        for period in recorded.periods {
            for entry in period.tracks.values {
                for segment in entry.segments {
                    let said = period.startUs + segment.time * 1_000_000 / Int64(entry.format.timescale)
                    worst = max(worst, abs(said - Self.originUs - sample * Int64(everyNs) / 1000))
                    sample += Int64(segment.samples)
                }
            }
        }
        return (recorded, worst)
    }

    @Test("a day of pictures by a clock that is off: each segment's time of day is right", arguments: [100.0, -100.0])
    func day(partsPerMillion: Double) {
        var settings = TimelineSettings()
        settings.rotatesAtMidnight = false
        let (recorded, worstUs) = record(
            Publisher.videoTrack, count: 43_200, everyNs: 2_000_000_000, partsPerMillion: partsPerMillion, rate: 90_000,
            settings: settings)
        #expect(worstUs < 400_000)
        // 8.64 s in all, 0.3 s each; neither jitter nor congestion begins one.
        #expect((27...30).contains(recorded.periods.count))
        #expect(recorded.periods.map(\.continues) == [false] + Array(repeating: true, count: recorded.periods.count - 1))
        #expect(recorded.sessions.count == 1)
        let samples = recorded.periods.compactMap { $0.tracks[.video] }.flatMap(\.segments).reduce(0) { $0 + $1.samples }
        #expect(samples == 43_200)
    }

    @Test("the same of sound alone", arguments: [1500.0, -1500.0])
    func sound(partsPerMillion: Double) {
        let (recorded, worstUs) = record(
            Publisher.soundTrack, count: 30_000, everyNs: 120_000_000, partsPerMillion: partsPerMillion, rate: 48_000,
            settings: TimelineSettings())
        #expect(worstUs < 700_000)
        #expect((12...19).contains(recorded.periods.count))
        let samples = recorded.periods.compactMap { $0.tracks[.audio] }.flatMap(\.segments).reduce(0) { $0 + $1.samples }
        #expect(samples == 30_000)
    }
}
