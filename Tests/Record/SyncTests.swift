import Journal
import Media
import MediaFixtures
import MediaPlane
import TestThreads
import Testing

@testable import Record

/// A sender whose camera and microphone have clocks of their own, behind a network that is never the same, for as long as wanted.
struct SyncSimulation {
    var seconds = 120
    /// How much faster than the sender's wall clock the tracks' clocks run.
    var videoPartsPerMillion = 0.0
    var soundPartsPerMillion = 0.0
    /// Packets take up to this long.
    var jitterNs: UInt64 = 40_000_000
    /// What pictures take longer than sound, always.
    var videoDelayNs: UInt64 = 0
    /// Times of the reports of pictures and sound; nil: none.
    var reports: (first: [UInt64], everyNs: UInt64)? = ([2_500_000_000, 3_700_000_000], 5_000_000_000)
    /// What a report is wrong by, at random.
    var noiseNs: Int64 = 1_000_000
    /// The sender's wall clock is set by this much when so many nanoseconds have passed.
    var step: (atNs: UInt64, byNs: Int64)?
    /// A single report of pictures that is wrong by a second and a half.
    var oddReport: Int?
    var seed: UInt64 = 1

    static let pictures: [SyntheticMedia.Picture] = (try? SyntheticMedia.h264(frames: 20, gop: 20, size: "64x64")) ?? []
    private static let origin: UInt64 = 1_000_000_000_000

    /// Three frames of 20 ms in one packet.
    private static func sound(_ index: Int) -> [UInt8] { [0xFF, 3] + Publisher.sound(index).dropFirst() }

    struct Result {
        /// How much later than its picture sound is presented, and when; microseconds.
        var offsets: [(atUs: Int64, us: Int64)] = []
        var recorded = Recorded()
        var broken: [String] = []
        var pictureDurations: [Int64] = []

        func worst(fromUs: Int64 = 0) -> Int64 { offsets.filter { $0.atUs >= fromUs }.map { abs($0.us) }.max() ?? .max }
    }

    private enum Event {
        case picture(Int)
        case sound(Int)
        case report(UInt8)
    }

    private func ticks(_ ns: UInt64, _ rate: Double, _ partsPerMillion: Double) -> UInt32 {
        UInt32(truncatingIfNeeded: Int64(Double(ns) / 1e9 * rate * (1 + partsPerMillion / 1e6)) + 4_000_000_000)
    }

    private func events(_ generator: inout SeededGenerator) -> [(capturedNs: UInt64, arrivalNs: UInt64, event: Event)] {
        var list: [(capturedNs: UInt64, arrivalNs: UInt64, event: Event)] = []
        for index in 0..<seconds * 5 {
            let at = UInt64(index) * 200_000_000
            list.append((at, at + videoDelayNs + UInt64.random(in: 0...jitterNs, using: &generator), .picture(index)))
        }
        for index in 0..<seconds * 50 / 3 {
            let at = UInt64(index) * 60_000_000
            list.append((at, at + UInt64.random(in: 0...jitterNs, using: &generator), .sound(index)))
        }
        if let reports {
            for (track, first) in reports.first.enumerated() {
                for at in stride(from: first, to: UInt64(seconds) * 1_000_000_000, by: UInt64.Stride(reports.everyNs)) {
                    list.append((at, at + UInt64.random(in: 0...jitterNs, using: &generator), .report(UInt8(track))))
                }
            }
        }
        return list.sorted { $0.arrivalNs < $1.arrivalNs }
    }

    func run() throws -> Result {
        var generator = SeededGenerator(seed: seed)
        let wall = WallClock(monotonicNs: Self.origin, realtimeUs: 1_795_190_400_000_000)
        var settings = TimelineSettings()
        settings.rotatesAtMidnight = false
        var recorder = StreamRecorder(settings: settings, wallClock: wall)
        var result = Result()
        recorder.beginSource([Publisher.videoTrack, Publisher.soundTrack], nowNs: Self.origin, wallClock: wall)
        let packets = packets()
        var number: UInt64 = 0
        var videoReports = 0
        for (captured, arrival, event) in events(&generator) {
            let ns = Self.origin + arrival
            switch event {
            case .picture(let index):
                for packet in packets[index] {
                    recorder.receive(
                        track: 0, sequence: packet.extendedSequence, timestamp: packet.timestamp, arrivalNs: ns,
                        marker: packet.marker, payload: packet.payload)
                }
            case .sound(let index):
                recorder.receive(
                    track: 1, sequence: UInt64(index) + 9, timestamp: ticks(captured, 48_000, soundPartsPerMillion),
                    arrivalNs: ns,
                    marker: false, payload: Self.sound(index))
            case .report(let track):
                var ntpNs =
                    Int64(3_900_000_000_000_000_000) + Int64(captured) + Int64.random(in: -noiseNs...noiseNs, using: &generator)
                if let step, captured >= step.atNs { ntpNs += step.byNs }
                if track == 0 { videoReports += 1 }
                if track == 0, videoReports == oddReport { ntpNs += 1_500_000_000 }
                let ntp = UInt64(ntpNs / 1_000_000_000) << 32 | (UInt64(ntpNs % 1_000_000_000) << 32) / 1_000_000_000
                let timestamp =
                    track == 0 ? ticks(captured, 90_000, videoPartsPerMillion) : ticks(captured, 48_000, soundPartsPerMillion)
                recorder.receiveReport(track: track, ntp: ntp, timestamp: timestamp, arrivalNs: ns)
            }
            number += 1
            if number % 8 == 0 { recorder.tick(nowNs: ns) }
            result.recorded.apply(recorder.actions)
            recorder.actions = []
        }
        recorder.endSource(nowNs: Self.origin + UInt64(seconds + 1) * 1_000_000_000)
        recorder.endSession(nowNs: 0)
        result.recorded.apply(recorder.actions)
        try compare(&result)
        return result
    }

    private func packets() -> [[FixturePacket]] {
        var packetizer = FixturePacketizer(extendedSequence: 1, payloadMax: 60_000)
        return (0..<seconds * 5).map { index in
            let timestamp = ticks(UInt64(index) * 200_000_000, 90_000, videoPartsPerMillion)
            return packetizer.picture(Self.pictures[index % Self.pictures.count], timestamp: timestamp, unit: index)
        }
    }

    private func compare(_ result: inout Result) throws {
        guard result.recorded.periods.count == 1, let period = result.recorded.periods.first else {
            result.broken.append("\(result.recorded.periods.count) Periods")
            return
        }
        let video = try period.tracks[.video]?.samples(&result.broken) ?? []
        let sound = try period.tracks[.audio]?.samples(&result.broken) ?? []
        result.pictureDurations = video.map(\.duration)
        if video.count != seconds * 5 { result.broken.append("\(video.count) pictures") }
        for sample in sound {
            guard sample.data.count == 6, let index = Publisher.soundIndex([0] + sample.data.dropFirst(2)) else { continue }
            let capturedUs = Int64(index) * 60_000
            let beside = min(Int(capturedUs / 200_000), video.count - 1)
            let videoError = video[beside].time * 100 / 9 - Int64(beside) * 200_000
            result.offsets.append((capturedUs, sample.time * 1000 / 48 - capturedUs - videoError))
        }
        if result.offsets.count < seconds * 50 / 3 - 5 { result.broken.append("\(result.offsets.count) sounds") }
    }
}

@Suite("Sound and pictures stay together (RFC 3550 6.4.1)", .offThePool)
struct SyncTests {
    @Test(
        "an NTP timestamp is seconds and a fraction of 2^32",
        arguments: [(0, 0), (1 << 31, 500_000_000), (0xFFFF_FFFF, 999_999_999)])
    func fraction(fraction: UInt64, ns: Int64) {
        var clock = TrackClock(rate: 90_000)
        let timestamp = clock.observe(90_000, arrivalNs: 1)
        clock.receiveReport(ntp: 3_900_000_000 << 32 | fraction, timestamp: 90_000, arrivalNs: 2)
        #expect(clock.reports.offsetNs == 3_900_000_000_000_000_000 + ns - clock.nanoseconds(timestamp))
    }

    @Test("half an hour of drifting clocks, jitter and noisy reports: never more than 20 ms apart", arguments: [100.0, -100.0])
    func drift(partsPerMillion: Double) throws {
        let result = try SyncSimulation(
            seconds: 1800, videoPartsPerMillion: partsPerMillion, soundPartsPerMillion: -partsPerMillion / 4,
            seed: partsPerMillion > 0 ? 1 : 2
        ).run()
        #expect(result.broken == [])
        #expect(result.worst() <= 20_000)
        #expect(result.worst(fromUs: 60_000_000) <= 10_000)
    }

    /// What cannot be known is the network's constant part: sound and pictures that always take 15 ms more or less are that far apart.
    @Test("without any report they stay as the network brings them, however clocks drift", arguments: [100.0, -100.0])
    func arrivalOnly(partsPerMillion: Double) throws {
        let result = try SyncSimulation(
            seconds: 900, videoPartsPerMillion: partsPerMillion, videoDelayNs: 15_000_000, reports: nil, seed: 3
        ).run()
        #expect(result.broken == [])
        #expect(result.offsets.allSatisfy { abs($0.us + 15_000) <= 20_000 })
    }

    @Test(
        "a sender's clock that is set does not tear them apart",
        arguments: [80_000_000, -400_000_000, 1_500_000_000, -2_700_000_000, 3_600_000_000_000] as [Int64], [0, 1, 2])
    func step(byNs: Int64, pattern: Int) throws {
        let first: [[UInt64]] = [[2_500_000_000, 3_700_000_000], [3_700_000_000, 2_500_000_000], [400_000_000, 4_900_000_000]]
        let result = try SyncSimulation(
            seconds: 100, reports: (first[pattern], pattern == 2 ? 1_000_000_000 : 5_000_000_000),
            step: (40_300_000_000, byNs), seed: 4
        ).run()
        #expect(result.broken == [])
        #expect(result.worst() <= 20_000)
        // Nobody sees a correction: no picture is a tenth longer or shorter than it was.
        #expect(result.pictureDurations.dropLast().allSatisfy { (16_200...19_800).contains($0) })
    }

    @Test("one report that is wrong is nothing", arguments: [1, 2, 3, 9])
    func oddReport(number: Int) throws {
        let result = try SyncSimulation(seconds: 80, oddReport: number, seed: 5).run()
        #expect(result.broken == [])
        // A first report is believed until the next ones say otherwise.
        #expect(result.worst(fromUs: number == 1 ? 60_000_000 : 0) <= 20_000)
    }

    @Test("reports put right what the network brought late, and then keep it", arguments: [250_000_000, 90_000_000] as [UInt64])
    func late(delayNs: UInt64) throws {
        let result = try SyncSimulation(seconds: 60, videoPartsPerMillion: 50, videoDelayNs: delayNs, seed: 6).run()
        #expect(result.broken == [])
        #expect(result.worst(fromUs: 12_000_000) <= 20_000)
    }
}
