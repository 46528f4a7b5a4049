import Journal
import Media
import MediaFixtures
import MediaPlane
import TestThreads
import Testing

@testable import Record

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
