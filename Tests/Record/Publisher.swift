import Foundation
import Journal
import Media
import MediaFixtures
import MediaPlane

@testable import Record

/// A publisher and the network to the recorder, in simulated time.
struct Publisher {
    /// One thing on its way to the recorder.
    enum Event {
        case packet(track: UInt8, FixturePacket)
        case report(track: UInt8, ntp: UInt64, timestamp: UInt32)
        case source([TapTrack])
        case sourceEnded
    }

    static let videoTrack = TapTrack(index: 0, kind: .video, codec: .h264, clockRate: 90_000, fmtp: "", channels: 0)
    static let soundTrack = TapTrack(index: 1, kind: .audio, codec: .opus, clockRate: 48_000, fmtp: "", channels: 2)

    var tracks = [Publisher.videoTrack, Publisher.soundTrack]
    /// What the pictures are, in decoding order.
    var codec = FixtureCodec.h264
    var pictures: [SyntheticMedia.Picture] = []
    /// Sound packets by index; nil is a packet that is not sent.
    var sounds: [[UInt8]?] = []
    var videoTimestamp: UInt32 = 1000
    var soundTimestamp: UInt32 = 5_000_000
    var videoSequence: UInt64 = 70_000
    var soundSequence: UInt64 = 90_000
    /// When the first picture and sound are captured.
    var startNs: UInt64 = 1_000_000_000_000
    /// Encoding and network time of pictures and of sound.
    var videoDelayNs: UInt64 = 20_000_000
    var soundDelayNs: UInt64 = 20_000_000
    /// Sender reports each second; the first comes after this; nil: none.
    var reportsAfterNs: UInt64?
    /// The sender's clock against ours; any number.
    var ntpNs: UInt64 = 3_900_000_000_000_000_000
    /// What becomes of a packet: nil loses it, else it comes this much later.
    var network: (_ track: UInt8, _ packet: FixturePacket) -> UInt64? = { _, _ in 0 }
    /// A copy of a packet that comes so much later; nil: none.
    var copied: (_ track: UInt8, _ packet: FixturePacket) -> UInt64? = { _, _ in nil }
    /// The recorder is told that the source has ended.
    var leaves = true
    /// What is added to the RTP timestamp of a picture or a sound packet: a sender that counts anew.
    var retimed: (_ track: UInt8, _ unit: Int) -> Int64 = { _, _ in 0 }
    /// RTP ticks of a sound packet.
    var soundTicks = 960
    /// The RTP timestamp of a picture relative to the first; 3000 a picture.
    var pictureTicks: (Int) -> Int64 = { Int64($0) * 3000 }

    /// A packet of 20 ms that says which one it is.
    static func sound(_ index: Int) -> [UInt8] {
        [
            0xFC, UInt8(truncatingIfNeeded: index >> 16), UInt8(truncatingIfNeeded: index >> 8), UInt8(truncatingIfNeeded: index),
            0x55,
        ]
    }

    static func soundIndex(_ packet: [UInt8]) -> Int? {
        packet.count == 5 && packet[4] == 0x55 ? Int(packet[1]) << 16 | Int(packet[2]) << 8 | Int(packet[3]) : nil
    }

    /// The bytes of a picture as a sample.
    static func sample(_ picture: SyntheticMedia.Picture) -> [UInt8] {
        picture.filter { [1, 5, 6].contains($0[0] & 0x1F) }.flatMap { nal in
            [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: nal.count >> $0) } + nal
        }
    }

    /// Everything, by time of arrival.
    func events() -> [(ns: UInt64, event: Event)] {
        var list: [(ns: UInt64, event: Event)] = [(startNs, .source(tracks))]
        var video = FixturePacketizer(extendedSequence: videoSequence, codec: codec)
        var end = startNs
        var sent = startNs
        for (index, picture) in pictures.enumerated() {
            let captured = startNs + UInt64(pictureTicks(index)) * 100_000 / 9
            end = max(end, captured)
            // What is shown earlier than those before it goes out right behind them.
            sent = captured >= sent ? captured : sent + 5_000_000
            let timestamp = videoTimestamp &+ UInt32(truncatingIfNeeded: pictureTicks(index) + retimed(0, index))
            for (number, packet) in video.picture(picture, timestamp: timestamp, unit: index).enumerated() {
                guard let late = network(0, packet) else { continue }
                let arrival = sent + videoDelayNs + UInt64(number) * 100_000 + late
                list.append((arrival, .packet(track: 0, packet)))
                if let later = copied(0, packet) { list.append((arrival + later, .packet(track: 0, packet))) }
            }
        }
        var sound = FixturePacketizer(extendedSequence: soundSequence)
        for (index, payload) in sounds.enumerated() {
            guard let payload else { continue }
            let captured = startNs + UInt64(index) * 20_000_000
            end = max(end, captured)
            let timestamp = soundTimestamp &+ UInt32(truncatingIfNeeded: Int64(index * soundTicks) + retimed(1, index))
            let packet = sound.sound(payload, timestamp: timestamp, unit: index)
            guard let late = network(1, packet) else { continue }
            list.append((captured + soundDelayNs + late, .packet(track: 1, packet)))
            if let later = copied(1, packet) { list.append((captured + soundDelayNs + late + later, .packet(track: 1, packet))) }
        }
        if let first = reportsAfterNs {
            for at in stride(from: first, through: end - startNs, by: 1_000_000_000) { list += reports(at: at) }
        }
        if leaves { list.append((max(end, list.map(\.ns).max() ?? 0) + 100_000_000, .sourceEnded)) }
        return list.enumerated().sorted { ($0.element.ns, $0.offset) < ($1.element.ns, $1.offset) }.map(\.element)
    }

    private func reports(at offsetNs: UInt64) -> [(ns: UInt64, event: Event)] {
        let time = ntpNs + offsetNs
        let ntp = (time / 1_000_000_000) << 32 | ((time % 1_000_000_000) << 32) / 1_000_000_000
        let picture = videoTimestamp &+ UInt32(truncatingIfNeeded: offsetNs * 9 / 100_000)
        let sound = soundTimestamp &+ UInt32(truncatingIfNeeded: offsetNs / 1_000_000 * UInt64(soundTicks) / 20)
        return [
            (startNs + offsetNs + 20_000_000, .report(track: 0, ntp: ntp, timestamp: picture)),
            (startNs + offsetNs + 20_000_000, .report(track: 1, ntp: ntp, timestamp: sound)),
        ]
    }
}

/// What a `StreamRecorder` made, kept in memory and put together again.
struct Recorded {
    struct Track {
        var format: TrackFormat
        var initialization: [UInt8]
        var segments: [(bytes: [UInt8], time: Int64, duration: Int64, samples: Int, startsWithSync: Bool)] = []
        var open: [UInt8] = []

        var file: [UInt8] { initialization + segments.flatMap(\.bytes) }
    }

    struct Period {
        let startUs: Int64
        let continues: Bool
        var isEnded = false
        var tracks: [LaneKind: Track] = [:]
    }

    var sessions: [[Period]] = []
    var keyframeRequests = 0
    var isEnded = true

    var periods: [Period] { sessions.flatMap { $0 } }

    mutating func apply(_ actions: [RecordingAction]) {
        for action in actions { apply(action) }
    }

    private mutating func apply(_ action: RecordingAction) {
        let session = sessions.count - 1
        let period = (sessions.last?.count ?? 0) - 1
        switch action {
        case .sessionBegan:
            sessions.append([])
            isEnded = false
        case .periodBegan(let startUs, let continues): sessions[session].append(Period(startUs: startUs, continues: continues))
        case .trackBegan(let kind, let format, let bytes):
            sessions[session][period].tracks[kind] = Track(format: format, initialization: bytes)
        case .chunk(let kind, let fragment): sessions[session][period].tracks[kind]?.open += fragment.bytes
        case .segmentEnded(let kind, let time, let duration, let samples, let startsWithSync):
            let open = sessions[session][period].tracks[kind]?.open ?? []
            sessions[session][period].tracks[kind]?.segments.append((open, time, duration, samples, startsWithSync))
            sessions[session][period].tracks[kind]?.open = []
        case .periodEnded: sessions[session][period].isEnded = true
        case .sessionEnded: isEnded = true
        case .keyframeWanted: keyframeRequests += 1
        }
    }

    /// Runs publishers one after the other through a recorder, ticking each 50 ms.
    ///
    /// - Parameters:
    ///   - steps: what the time of day has been set forward by at a monotonic time, in microseconds.
    ///   - perform: does what the recorder wants done.
    static func run(
        _ publishers: [Publisher], settings: TimelineSettings = TimelineSettings(), realtimeUs: Int64 = 1_795_190_400_000_000,
        inspect: (inout StreamRecorder) -> Void = { _ in }, steps: (UInt64) -> Int64 = { _ in 0 },
        perform: (RecordingAction) -> Void = { _ in }
    ) -> Recorded {
        let origin = publishers.first?.startNs ?? 0
        func wall(_ ns: UInt64) -> WallClock {
            WallClock(monotonicNs: ns, realtimeUs: realtimeUs + Int64(ns - origin) / 1000 + steps(ns))
        }
        var recorder = StreamRecorder(settings: settings, wallClock: wall(origin))
        var recorded = Recorded()
        var tick = origin
        func drain() {
            for action in recorder.actions { perform(action) }
            recorded.apply(recorder.actions)
            recorder.actions = []
        }
        for (ns, event) in publishers.flatMap({ $0.events() }) {
            while tick < ns {
                tick += 50_000_000
                recorder.tick(nowNs: min(tick, ns), wallClock: wall(min(tick, ns)))
                drain()
            }
            switch event {
            case .packet(let track, let packet):
                recorder.receive(
                    track: track, sequence: packet.extendedSequence, timestamp: packet.timestamp, arrivalNs: ns,
                    marker: packet.marker,
                    payload: packet.payload)
            case .report(let track, let ntp, let timestamp):
                recorder.receiveReport(track: track, ntp: ntp, timestamp: timestamp, arrivalNs: ns)
            case .source(let tracks): recorder.beginSource(tracks, nowNs: ns, wallClock: wall(ns))
            case .sourceEnded: recorder.endSource(nowNs: ns)
            }
            drain()
        }
        inspect(&recorder)
        recorder.endSession(nowNs: tick)
        drain()
        return recorded
    }
}

extension Recorded.Track {
    /// Every sample with its time, after checking the segments against each other and their boxes; broken rules go to `broken`.
    func samples(_ broken: inout [String]) throws -> [(time: Int64, duration: Int64, data: [UInt8])] {
        broken += try CMAFCheck.initialization(initialization, timescale: Int64(format.timescale))
        var list: [(time: Int64, duration: Int64, data: [UInt8])] = []
        var end: Int64 = 0
        if !open.isEmpty { broken.append("bytes outside of a segment") }
        for (number, segment) in segments.enumerated() {
            let (fragments, rules) = try CMAFCheck.segment(segment.bytes, isVideo: format.isVideo)
            let unsynced = "segment starts with a sync sample"
            broken += rules.filter { $0 != unsynced }.map { "segment \(number + 1): \($0)" }
            if rules.contains(unsynced) == segment.startsWithSync { broken.append("segment \(number + 1): sync flag") }
            if fragments.first?.time != end || segment.time != end {
                broken.append("segment \(number + 1) starts at \(fragments.first?.time ?? -1), not \(end)")
            }
            for fragment in fragments {
                var time = fragment.time
                for (duration, data) in zip(fragment.durations, fragment.samples) {
                    list.append((time, duration, data))
                    time += duration
                }
                end = time
            }
            if segment.time + segment.duration != end { broken.append("segment \(number + 1) ends at \(end), not as said") }
            if segment.samples != fragments.map(\.durations.count).reduce(0, +) {
                broken.append("segment \(number + 1): samples")
            }
            // The last sample of a chunk may be stretched over a hole.
            let longestChunk = fragments.map { $0.durations.dropLast().reduce(0, +) }.max() ?? 0
            if longestChunk > Int64(format.timescale) * 3 / 2 { broken.append("segment \(number + 1): chunk of \(longestChunk)") }
        }
        return list
    }
}
