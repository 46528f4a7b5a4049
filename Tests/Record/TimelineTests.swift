import Journal
import Media
import MediaFixtures
import MediaPlane
import TestThreads
import Testing

@testable import Record

@Suite("From RTP to segments (RFC 3550 6.4.1, ISO/IEC 23000-19)", .offThePool)
struct TimelineTests {
    private static let pictures: [SyntheticMedia.Picture] = (try? SyntheticMedia.h264(frames: 360, gop: 60, size: "160x90")) ?? []

    private func publisher(seconds: Int = 12) -> Publisher {
        var publisher = Publisher()
        publisher.pictures = Array(Self.pictures.prefix(seconds * 30))
        publisher.sounds = (0..<seconds * 50).map(Publisher.sound)
        return publisher
    }

    private typealias Placed = (time: Int64, duration: Int64, data: [UInt8])

    /// Samples of both tracks of a Period, its rules checked.
    private func samples(_ period: Recorded.Period) throws -> (video: [Placed], sound: [Placed]) {
        var broken: [String] = []
        let video = try period.tracks[.video]?.samples(&broken) ?? []
        let sound = try period.tracks[.audio]?.samples(&broken) ?? []
        #expect(broken == [])
        #expect(period.isEnded)
        return (video, sound)
    }

    /// Sound's place against video's, in microseconds: 0 when what was captured together is presented together.
    private func offsets(_ video: [Placed], _ sound: [Placed], from first: Int = 0) -> [Int64] {
        let origin = video.first.flatMap { sample in Self.pictures.firstIndex { Publisher.sample($0) == sample.data } } ?? 0
        let videoError = video.map { sample in
            let index = Self.pictures.firstIndex { Publisher.sample($0) == sample.data } ?? 0
            return (at: Int64(index) * 33_333, error: sample.time * 100 / 9 - Int64(index - origin) * 100_000 / 3)
        }
        return sound.compactMap { sample in
            guard let index = Publisher.soundIndex(sample.data), index >= first else { return nil }
            let captured = Int64(index) * 20_000
            let beside = videoError.last { $0.at <= captured }?.error ?? videoError.first?.error ?? 0
            return sample.time * 1000 / 48 - (captured - Int64(origin) * 100_000 / 3) - beside
        }
    }

    @Test(
        "nothing is lost, wherever sequence numbers and timestamps start",
        arguments: [
            (0, 0), (1 << 16, 1), (65_530 + 65_536, UInt32.max - 5000), (70_000, 0x7FFF_FFF0), (3 << 40, UInt32.max),
            (65_535, 1 << 31),
        ] as [(UInt64, UInt32)])
    func whole(sequence: UInt64, timestamp: UInt32) throws {
        var publisher = publisher()
        publisher.videoSequence = sequence
        publisher.soundSequence = sequence &+ 40
        publisher.videoTimestamp = timestamp
        publisher.soundTimestamp = timestamp &- 77
        let recorded = Recorded.run([publisher])
        #expect(recorded.sessions.map(\.count) == [1] && recorded.isEnded)
        let period = try #require(recorded.periods.first)
        let (video, sound) = try samples(period)
        #expect(video.map(\.data) == Self.pictures.map(Publisher.sample))
        #expect(video.map(\.time) == (0..<360).map { Int64($0) * 3000 })
        #expect(sound.map(\.data) == publisher.sounds.compactMap { $0 })
        #expect(offsets(video, sound).allSatisfy { abs($0) <= 1000 })
        // A key frame each two seconds, four wanted.
        #expect(period.tracks[.video]?.segments.map(\.duration) == [360_000, 360_000, 360_000])
        #expect(period.tracks[.audio]?.segments.count == 3)
        for segment in period.tracks[.audio]?.segments.dropLast() ?? [] { #expect(abs(segment.duration - 192_000) <= 960) }
        #expect(abs(period.startUs - 1_795_190_400_020_000) <= 1)
    }

    @Test("reordered and retransmitted packets lose nothing", arguments: 1...5 as ClosedRange<UInt64>)
    func repaired(seed: UInt64) throws {
        var publisher = publisher()
        var generator = SeededGenerator(seed: seed)
        var late: [UInt64: UInt64] = [:]
        for sequence in 0..<UInt64(20_000) {
            let isLost = Int.random(in: 0..<10, using: &generator) == 0
            late[sequence] =
                isLost
                ? UInt64.random(in: 50...400, using: &generator) * 1_000_000 : UInt64.random(in: 0...3_000_000, using: &generator)
        }
        let delays = late
        publisher.network = { track, packet in delays[(packet.extendedSequence &+ UInt64(track) * 7919) % 20_000] ?? 0 }
        let recorded = Recorded.run([publisher])
        #expect(recorded.periods.count == 1)
        let (video, sound) = try samples(try #require(recorded.periods.first))
        #expect(video.map(\.data) == Self.pictures.map(Publisher.sample))
        #expect(sound.compactMap { Publisher.soundIndex($0.data) }.count >= 598)
    }

    @Test("after a loss that stays, pictures resume with the next key frame and time runs on", arguments: [10, 61, 119, 200])
    func unrepaired(lostPicture: Int) throws {
        var publisher = publisher()
        publisher.network = { track, packet in track == 0 && packet.unit == lostPicture ? nil : 0 }
        var losses = StreamRecorder.Losses()
        let recorded = Recorded.run([publisher]) { losses = $0.losses }
        #expect(recorded.periods.count == 1)
        let period = try #require(recorded.periods.first)
        let (video, sound) = try samples(period)
        let resumed = (lostPicture / 60 + 1) * 60
        let kept = (0..<360).filter { $0 < lostPicture || $0 >= resumed }
        // The lost picture itself was never seen, so it is no dropped one.
        #expect(losses.packets > 0 && Int(losses.frames) == resumed - lostPicture - 1)
        #expect(video.map(\.data) == kept.map { Publisher.sample(Self.pictures[$0]) })
        #expect(video.map(\.time) == kept.map { Int64($0) * 3000 })
        #expect(sound.count == 600)
        #expect(recorded.keyframeRequests >= 1)
        #expect(try Probe.decodeErrors(try #require(period.tracks[.video]).file) == "")
    }

    @Test("a stream joined in the middle begins with its next key frame, sound with it")
    func joined() throws {
        var publisher = publisher()
        publisher.network = { track, packet in track == 0 && packet.unit < 25 ? nil : 0 }
        let recorded = Recorded.run([publisher])
        let period = try #require(recorded.periods.first)
        let (video, sound) = try samples(period)
        #expect(video.first?.data == Publisher.sample(Self.pictures[60]))
        #expect(sound.first.flatMap { Publisher.soundIndex($0.data) } == 100)
        #expect(offsets(video, sound).allSatisfy { abs($0) <= 1000 })
        #expect(abs(period.startUs - 1_795_190_402_020_000) <= 1)
    }

    @Test(
        "reports put sound and pictures together although one came late",
        arguments: [(90, 10), (10, 90), (250, 0)] as [(UInt64, UInt64)])
    func lipSync(videoDelayMs: UInt64, soundDelayMs: UInt64) throws {
        var publisher = publisher()
        publisher.videoDelayNs = videoDelayMs * 1_000_000
        publisher.soundDelayNs = soundDelayMs * 1_000_000
        publisher.reportsAfterNs = 700_000_000
        let recorded = Recorded.run([publisher])
        #expect(recorded.periods.count == 1)
        let (video, sound) = try samples(try #require(recorded.periods.first))
        #expect(video.count == 360)
        // Corrected a tenth of time at most, so 250 ms take 2.5 s from the first report on.
        #expect(offsets(video, sound, from: 250).allSatisfy { abs($0) <= 5000 })
        #expect(video.dropLast().allSatisfy { (2690...3310).contains($0.duration) })
        // Sound itself is never touched.
        #expect(sound.dropFirst().dropLast().allSatisfy { $0.duration == 960 })
    }

    @Test("reports that come before the first key frame, or before any packet, place both tracks exactly", arguments: [100, 0])
    func lipSyncAtOnce(reportsAfterMs: UInt64) throws {
        var publisher = publisher()
        publisher.videoDelayNs = 150_000_000
        publisher.soundDelayNs = 5_000_000
        publisher.reportsAfterNs = reportsAfterMs * 1_000_000
        if reportsAfterMs > 0 { publisher.network = { track, packet in track == 0 && packet.unit == 0 ? nil : 0 } }
        let (video, sound) = try samples(try #require(Recorded.run([publisher]).periods.first))
        #expect(offsets(video, sound).allSatisfy { abs($0) <= 2000 })
    }

    /// A camera clock that runs apart from the microphone's: without reports 10 minutes at 100 ppm are 60 ms.
    @Test("clocks that drift apart are kept together by reports", arguments: [100.0, -100.0])
    func drift(partsPerMillion: Double) throws {
        let rate = 90_000 * (1 + partsPerMillion / 1_000_000)
        let origin: UInt64 = 1_000_000_000_000
        var recorder = StreamRecorder(settings: TimelineSettings(), wallClock: WallClock(monotonicNs: origin, realtimeUs: 0))
        recorder.beginSource(
            [Publisher.videoTrack, Publisher.soundTrack], nowNs: origin, wallClock: WallClock(monotonicNs: origin, realtimeUs: 0))
        var packetizer = FixturePacketizer(extendedSequence: 1, payloadMax: 60_000)
        var recorded = Recorded()
        // Five pictures and fifty sounds a second; a key frame each twelve seconds.
        for tick in 0..<600 * 50 {
            let ns = origin + UInt64(tick) * 20_000_000
            let media = UInt32(truncatingIfNeeded: Int64(Double(tick) / 50 * rate))
            recorder.receive(
                track: 1, sequence: UInt64(tick + 1), timestamp: UInt32(tick * 960), arrivalNs: ns, marker: false,
                payload: Publisher.sound(tick))
            if tick % 10 == 0 {
                for packet in packetizer.picture(Self.pictures[tick / 10 % 60], timestamp: media, unit: tick) {
                    recorder.receive(
                        track: 0, sequence: packet.extendedSequence, timestamp: media, arrivalNs: ns + 1_000_000,
                        marker: packet.marker,
                        payload: packet.payload)
                }
            }
            if tick % 100 == 50 {
                let seconds = UInt64(3_900_000_000 + tick / 50)
                recorder.receiveReport(track: 0, ntp: seconds << 32, timestamp: media, arrivalNs: ns)
                recorder.receiveReport(track: 1, ntp: seconds << 32, timestamp: UInt32(tick * 960), arrivalNs: ns)
            }
            if tick % 5 == 0 { recorder.tick(nowNs: ns + 2_000_000) }
            recorded.apply(recorder.actions)
            recorder.actions = []
        }
        recorder.endSession(nowNs: 0)
        recorded.apply(recorder.actions)
        #expect(recorded.periods.count == 1)
        let (video, sound) = try samples(try #require(recorded.periods.first))
        #expect(video.count == 3000 && sound.count == 30_000)
        for (index, picture) in video.enumerated() { #expect(abs(picture.time * 100 / 9 - Int64(index) * 200_000) < 5000) }
        let isSteady = zip(sound.dropFirst(), sound.dropFirst(2)).allSatisfy { $1.time - $0.time == 960 }
        #expect(isSteady)
    }

    @Test("senseless reports are ignored")
    func badReports() throws {
        var publisher = publisher()
        publisher.reportsAfterNs = 500_000_000
        let events = publisher.events()
        var recorder = StreamRecorder(
            settings: TimelineSettings(), wallClock: WallClock(monotonicNs: publisher.startNs, realtimeUs: 0))
        var recorded = Recorded()
        var generator = SeededGenerator(seed: 5)
        for (ns, event) in events {
            switch event {
            case .source(let tracks):
                recorder.beginSource(tracks, nowNs: ns, wallClock: WallClock(monotonicNs: ns, realtimeUs: 0))
            case .packet(let track, let packet):
                recorder.receive(
                    track: track, sequence: packet.extendedSequence, timestamp: packet.timestamp, arrivalNs: ns,
                    marker: packet.marker,
                    payload: packet.payload)
            case .report(let track, _, let timestamp):
                let nonsense = track == 0 ? 0 : UInt64.random(in: 0 ... .max, using: &generator)
                recorder.receiveReport(track: track, ntp: nonsense, timestamp: timestamp, arrivalNs: ns)
            case .sourceEnded: recorder.endSource(nowNs: ns)
            }
        }
        recorder.endSession(nowNs: 0)
        recorded.apply(recorder.actions)
        let (video, sound) = try samples(try #require(recorded.periods.first))
        #expect(video.map(\.time) == (0..<360).map { Int64($0) * 3000 })
        #expect(offsets(video, sound).allSatisfy { abs($0) <= 1000 })
    }

    @Test("sound that pauses is silence of the same length", arguments: [3, 5, 20, 250, 499])
    func pause(packets: Int) throws {
        var publisher = publisher()
        for index in 60..<60 + packets { publisher.sounds[index] = nil }
        let recorded = Recorded.run([publisher])
        #expect(recorded.periods.count == 1)
        let (video, sound) = try samples(try #require(recorded.periods.first))
        #expect(video.count == 360)
        #expect(offsets(video, sound).allSatisfy { abs($0) <= 1000 })
        #expect(
            sound.compactMap { Publisher.soundIndex($0.data) } == publisher.sounds.indices.filter { publisher.sounds[$0] != nil })
        #expect((sound.last.map { $0.time + $0.duration } ?? 0) == 576_000)
    }
}
