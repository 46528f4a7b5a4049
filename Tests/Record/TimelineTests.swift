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

@Suite("Periods and sessions (recordings that change, break off and go on)", .offThePool)
struct PeriodTests {
    private static let pictures: [SyntheticMedia.Picture] = (try? SyntheticMedia.h264(frames: 360, gop: 60, size: "160x90")) ?? []
    private static let others: [SyntheticMedia.Picture] = (try? SyntheticMedia.h264(frames: 120, gop: 60, size: "320x180")) ?? []

    private func publisher(_ pictures: [SyntheticMedia.Picture], startNs: UInt64 = 1_000_000_000_000) -> Publisher {
        var publisher = Publisher()
        publisher.startNs = startNs
        publisher.pictures = pictures
        publisher.sounds = (0..<pictures.count * 5 / 3).map(Publisher.sound)
        return publisher
    }

    /// Checks all rules and returns how many pictures and sounds each Period has.
    private func counts(_ recorded: Recorded) throws -> [[Int]] {
        #expect(recorded.isEnded)
        return try recorded.periods.map { period in
            #expect(period.isEnded)
            var broken: [String] = []
            let video = try period.tracks[.video]?.samples(&broken) ?? []
            let sound = try period.tracks[.audio]?.samples(&broken) ?? []
            #expect(broken == [])
            if let track = period.tracks[.video] { #expect(try Probe.decodeErrors(track.file) == "") }
            let videoEnd = video.last.map { Double($0.time + $0.duration) / 90_000 }
            let soundEnd = sound.last.map { Double($0.time + $0.duration) / 48_000 }
            if let videoEnd, let soundEnd { #expect(abs(videoEnd - soundEnd) < 0.041) }
            return [video.count, sound.count]
        }
    }

    @Test("another resolution begins another Period at its key frame, and nothing is lost")
    func resolution() throws {
        let recorded = Recorded.run([publisher(Array(Self.pictures.prefix(150)) + Self.others)])
        #expect(recorded.sessions.count == 1)
        let counts = try counts(recorded)
        #expect(counts.map(\.first) == [150, 120])
        #expect(abs(counts.compactMap(\.last).reduce(0, +) - 450) <= 1)
        #expect(recorded.periods.map { $0.tracks[.video]?.format.codecs }.count == 2)
        #expect(abs(recorded.periods[1].startUs - recorded.periods[0].startUs - 5_000_000) <= 1)
        let probe = try Probe(try #require(recorded.periods[1].tracks[.video]).file)
        #expect(probe.width == 320 && probe.height == 180)
    }

    @Test("a publisher that comes back goes on in another Period of the same session")
    func reconnect() throws {
        var second = publisher(Array(Self.pictures.prefix(120)), startNs: 1_009_000_000_000)
        second.videoTimestamp = 4_000_000_000
        second.soundTimestamp = 17
        second.videoSequence = 3
        let recorded = Recorded.run([publisher(Array(Self.pictures.prefix(120))), second])
        #expect(recorded.sessions.map(\.count) == [2])
        #expect(try counts(recorded) == [[120, 200], [120, 200]])
        #expect(abs(recorded.periods[1].startUs - recorded.periods[0].startUs - 9_000_000) <= 1)
    }

    @Test(
        "a jump of the timestamps is no long picture: they are counted anew, and the next key frame begins another Period",
        arguments: [900_001, 300_000, -300_000, 1 << 30, -(1 << 30)] as [Int64])
    func jump(ticks: Int64) throws {
        var publisher = publisher(Self.pictures)
        let events = publisher.events()
        publisher.sounds = []
        var recorder = StreamRecorder(
            settings: TimelineSettings(), wallClock: WallClock(monotonicNs: publisher.startNs, realtimeUs: 0))
        var recorded = Recorded()
        for (ns, event) in events {
            switch event {
            case .source(let tracks):
                recorder.beginSource(tracks, nowNs: ns, wallClock: WallClock(monotonicNs: ns, realtimeUs: 0))
            case .packet(let track, let packet):
                let moved =
                    track == 0 && packet.unit >= 130 ? packet.timestamp &+ UInt32(truncatingIfNeeded: ticks) : packet.timestamp
                recorder.receive(
                    track: track, sequence: packet.extendedSequence, timestamp: moved, arrivalNs: ns, marker: packet.marker,
                    payload: packet.payload)
            default: recorder.endSource(nowNs: ns)
            }
            recorder.tick(nowNs: ns)
        }
        recorder.endSession(nowNs: 0)
        recorded.apply(recorder.actions)
        let counts = try counts(recorded)
        #expect(counts.map(\.first) == [180, 180])
    }

    @Test("a UTC day that begins, or a recording long enough, begins a session at the next cut")
    func rotation() throws {
        // 3.1 s before midnight.
        let midnight = Recorded.run([publisher(Self.pictures)], realtimeUs: 1_795_219_196_900_000)
        #expect(midnight.sessions.map(\.count) == [1, 1])
        #expect(try counts(midnight).map(\.first) == [120, 240])
        #expect(midnight.periods.map(\.continues) == [false, true])
        let rotated = Recorded.run(
            [publisher(Self.pictures)], settings: TimelineSettings(segmentSeconds: 2, sessionSecondsMax: 5))
        #expect(rotated.sessions.map(\.count) == [1, 1])
        #expect(try counts(rotated).map(\.first) == [180, 180])
        var settings = TimelineSettings()
        settings.rotatesAtMidnight = false
        #expect(
            Recorded.run([publisher(Self.pictures)], settings: settings, realtimeUs: 1_795_219_196_900_000).sessions.count == 1)
    }

    /// Sound alone, or beside video that has stopped.
    private func blind(seconds: Int, pictures: Int = 0) -> Publisher {
        var publisher = publisher(Array(Self.pictures.prefix(pictures)))
        if pictures == 0 { publisher.tracks = [Publisher.soundTrack] }
        publisher.sounds = (0..<seconds * 50).map(Publisher.sound)
        return publisher
    }

    @Test("the same of sound alone: nothing is lost between sessions")
    func soundRotation() throws {
        // 3.1 s before midnight.
        let midnight = Recorded.run([blind(seconds: 12)], realtimeUs: 1_795_219_196_900_000)
        #expect(midnight.sessions.map(\.count) == [1, 1])
        #expect(try counts(midnight) == [[0, 200], [0, 400]])
        #expect(midnight.periods.map(\.continues) == [false, true])
        #expect(abs(midnight.periods[1].startUs - midnight.periods[0].startUs - 4_000_000) <= 1)
        let settings = TimelineSettings(segmentSeconds: 2, sessionSecondsMax: 5)
        let rotated = Recorded.run([blind(seconds: 24)], settings: settings)
        #expect(rotated.sessions.map(\.count) == [1, 1, 1, 1])
        #expect(try counts(rotated).compactMap(\.last) == [300, 300, 300, 300])
        var broken: [String] = []
        let packets = try rotated.periods.flatMap { try $0.tracks[.audio]?.samples(&broken) ?? [] }.map(\.data)
        #expect(packets == (0..<24 * 50).map(Publisher.sound))
    }

    @Test("a pause of sound, which is silence, may hold the end of several sessions")
    func silentRotation() throws {
        var publisher = blind(seconds: 30)
        for index in 100..<1400 { publisher.sounds[index] = nil }
        let recorded = Recorded.run([publisher], settings: TimelineSettings(segmentSeconds: 2, sessionSecondsMax: 5))
        #expect(recorded.sessions.map(\.count) == [1, 1, 1, 1, 1])
        #expect(try counts(recorded).compactMap(\.last) == [300, 300, 300, 300, 300])
    }

    @Test("and where video stands still while sound goes on")
    func stillRotation() throws {
        // Pictures for 4 s, midnight 10 s after the first.
        let recorded = Recorded.run([blind(seconds: 40, pictures: 120)], realtimeUs: 1_795_219_190_000_000)
        #expect(recorded.sessions.map(\.count) == [1, 1])
        #expect(recorded.periods.map { $0.tracks.count } == [2, 1])
        var broken: [String] = []
        let packets = try recorded.periods.flatMap { try $0.tracks[.audio]?.samples(&broken) ?? [] }.map(\.data)
        #expect(broken == [] && packets == (0..<40 * 50).map(Publisher.sound))
        #expect(recorded.periods.map(\.continues) == [false, true])
    }

    @Test("video that comes back after such a session has begun gets a Period of its own, with sound")
    func stillThenMoving() throws {
        var publisher = blind(seconds: 40, pictures: 240)
        publisher.pictureTicks = { Int64($0 < 120 ? $0 : $0 + 30 * 30) * 3000 }
        let recorded = Recorded.run([publisher], realtimeUs: 1_795_219_190_000_000)
        #expect(recorded.sessions.map(\.count) == [1, 2])
        #expect(recorded.periods.map { $0.tracks.count } == [2, 1, 2])
        #expect(try counts(recorded).map(\.first) == [120, 0, 120])
    }

    @Test("without a key frame a session goes on for as long again, then ends where a segment has to")
    func rotationWithoutKeyframes() throws {
        var publisher = publisher(Array(try SyntheticMedia.h264(frames: 1300, gop: 1300, size: "64x64")))
        publisher.sounds = []
        let recorded = Recorded.run([publisher], settings: TimelineSettings(segmentSeconds: 2, sessionSecondsMax: 11))
        #expect(recorded.sessions.map(\.count) == [1, 1])
        #expect(
            recorded.periods.map { $0.tracks[.video]?.segments.map(\.startsWithSync) ?? [] } == [[true, false], [false, false]])
        var broken: [String] = []
        let pictures = try recorded.periods.flatMap { try $0.tracks[.video]?.samples(&broken) ?? [] }
        #expect(broken == [] && pictures.count == 1300)
    }

    @Test("pictures alone and sound alone are recorded too")
    func single() throws {
        var silent = publisher(Self.pictures)
        silent.sounds = []
        #expect(try counts(Recorded.run([silent])) == [[360, 0]])
        silent.tracks = [Publisher.videoTrack]
        #expect(try counts(Recorded.run([silent])) == [[360, 0]])
        var blind = publisher(Self.pictures)
        blind.pictures = []
        blind.tracks = [Publisher.soundTrack]
        let recorded = Recorded.run([blind])
        #expect(try counts(recorded) == [[0, 600]])
        #expect(recorded.periods.first?.tracks[.audio]?.segments.count == 3)
        // A video track that never sends is waited for, not for ever.
        blind.tracks = [Publisher.videoTrack, Publisher.soundTrack]
        let late = try counts(Recorded.run([blind]))
        #expect(late.count == 1 && (400...600).contains(late[0][1]))
    }

    @Test("sound that joins later gets a Period with both")
    func lateSound() throws {
        var publisher = publisher(Self.pictures)
        for index in 0..<310 { publisher.sounds[index] = nil }
        let counts = try counts(Recorded.run([publisher]))
        #expect(counts.count == 2 && counts[0] == [240, 0])
        #expect(counts[1][0] == 120 && counts[1][1] == 200)
    }

    @Test("a stream in codecs that recordings cannot hold says so")
    func codecs() {
        var publisher = publisher([])
        publisher.tracks[0].codec = .vp8
        publisher.tracks[1].codec = .pcmu
        var fault: RecordingFault?
        let recorded = Recorded.run([publisher]) { fault = $0.fault }
        #expect(fault == nil || fault == .noRecordableTrack)
        #expect(recorded.sessions.isEmpty)
    }

    @Test("a sender that never makes a key frame is cut all the same, and the segment says what it is")
    func forcedCut() throws {
        var publisher = publisher(Array(try SyntheticMedia.h264(frames: 1300, gop: 1300, size: "64x64")))
        publisher.sounds = []
        let recorded = Recorded.run([publisher], settings: TimelineSettings(segmentSeconds: 2))
        #expect(try counts(recorded) == [[1300, 0]])
        let segments = try #require(recorded.periods.first?.tracks[.video]).segments
        #expect(segments.map(\.startsWithSync) == [true, false, false, false])
        #expect(segments.first?.duration == 1_080_000)
        #expect(recorded.keyframeRequests >= 5)
    }

    @Test("key frames are asked for until one comes, ever more rarely")
    func asking() {
        var publisher = publisher(Array(repeating: Self.pictures[1], count: 300))
        publisher.sounds = []
        let recorded = Recorded.run([publisher])
        #expect(recorded.sessions.isEmpty)
        #expect((4...6).contains(recorded.keyframeRequests))
    }

    @Test("damaged packets never trap and never break a rule", arguments: 0..<12 as Range<UInt64>)
    func fuzz(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var publisher = publisher(Self.pictures)
        publisher.reportsAfterNs = 300_000_000
        var recorder = StreamRecorder(
            settings: TimelineSettings(segmentSeconds: 1), wallClock: WallClock(monotonicNs: 0, realtimeUs: 0))
        var recorded = Recorded()
        for (ns, event) in publisher.events() {
            switch event {
            case .source(let tracks):
                recorder.beginSource(tracks, nowNs: ns, wallClock: WallClock(monotonicNs: ns, realtimeUs: 0))
            case .report(let track, let ntp, let timestamp):
                recorder.receiveReport(track: track, ntp: ntp, timestamp: timestamp, arrivalNs: ns)
            case .packet(let track, let packet):
                let dice = Int.random(in: 0..<200, using: &generator)
                let sequence = dice == 1 ? UInt64.random(in: 0 ... .max, using: &generator) : packet.extendedSequence
                let timestamp = dice == 2 ? UInt32.random(in: 0 ... .max, using: &generator) : packet.timestamp
                let payload = dice < 6 ? packet.payload.mutated(by: &generator) : packet.payload
                let arrival = dice == 7 ? UInt64.random(in: 0...ns * 2, using: &generator) : ns
                if dice == 8 { recorder.receiveGap() }
                if dice == 9 { continue }
                recorder.receive(
                    track: track, sequence: sequence, timestamp: timestamp, arrivalNs: arrival,
                    marker: packet.marker != (dice == 10),
                    payload: payload)
            case .sourceEnded: recorder.endSource(nowNs: ns)
            }
            if Int.random(in: 0..<20, using: &generator) == 0 { recorder.tick(nowNs: ns) }
        }
        recorder.endSession(nowNs: 0)
        recorded.apply(recorder.actions)
        #expect(recorded.isEnded)
        var broken: [String] = []
        for track in recorded.periods.flatMap(\.tracks.values) { _ = try track.samples(&broken) }
        #expect(broken == [])
    }
}
