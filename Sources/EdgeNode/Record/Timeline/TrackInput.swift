import Journal
import Media
import MediaPlane

/// One track of a source on its way to access units: reordering, unwrapping, depacketising.
struct TrackInput {
    let index: UInt8
    let kind: LaneKind
    /// What sound is stored as; nil for video.
    let soundFormat: TrackFormat?
    private var reorder = ReorderBuffer()
    private(set) var clock: TrackClock
    private var depacketizer: any Depacketizer
    /// When the last packet came.
    private(set) var lastArrivalNs: UInt64?

    /// Nil for a codec that recordings cannot hold, see `TrackRefusal`.
    ///
    /// - Parameter soundTarget: what sound is turned into that could not be held otherwise; nil: nothing.
    init?(_ track: TapTrack, soundTarget: SoundTarget? = nil) {
        index = track.index
        switch track.codec {
        case .h264, .h265, .vp8, .vp9, .av1:
            kind = .video
            clock = TrackClock(rate: 90_000)
            soundFormat = nil
            depacketizer = Self.pictures(track)
        case .opus:
            kind = .audio
            // RFC 7587 4.1: always 48,000, and the channels of the SDP are what a decoder may be asked for.
            clock = TrackClock(rate: 48_000)
            soundFormat = .opus(channels: track.channels == 1 ? 1 : 2)
            depacketizer = OpusDepacketizer()
        case .multiopus:
            guard let layout = OpusLayout(fmtp: track.fmtp, channels: Int(track.channels)) else { return nil }
            kind = .audio
            clock = TrackClock(rate: 48_000)
            soundFormat = .multiopus(layout)
            depacketizer = OpusDepacketizer()
        case .aac:
            guard let aac = AACDepacketizer(fmtp: track.fmtp, clockRate: Int(track.clockRate)) else { return nil }
            kind = .audio
            clock = TrackClock(rate: Int64(track.clockRate))
            soundFormat = .aac(aac.config, timescale: Int(track.clockRate))
            depacketizer = aac
        case .pcmu, .pcma, .g722:
            guard let source = TelephoneCodec(track.codec), let soundTarget,
                let transcoder = try? AudioTranscoder(source, to: soundTarget)
            else { return nil }
            kind = .audio
            clock = TrackClock(rate: AudioTranscoder.rate, multiple: AudioTranscoder.timestampMultiple)
            soundFormat = transcoder.format
            depacketizer = transcoder
        }
    }

    private static func pictures(_ track: TapTrack) -> any Depacketizer {
        switch track.codec {
        case .h265: H265Depacketizer(fmtp: track.fmtp)
        case .vp8: VP8Depacketizer()
        case .vp9: VP9Depacketizer()
        case .av1: AV1Depacketizer()
        default: H264Depacketizer(fmtp: track.fmtp)
        }
    }

    var needsKeyframe: Bool { depacketizer.needsKeyframe }
    var losses: StreamRecorder.Losses {
        StreamRecorder.Losses(packets: Int64(clamping: reorder.lostPackets), frames: Int64(depacketizer.droppedUnits))
    }

    mutating func receive(_ sequence: UInt64, _ packet: RecordedPacket) {
        lastArrivalNs = packet.arrivalNs
        reorder.insert(sequence, packet)
    }

    mutating func receiveReport(ntp: UInt64, timestamp: UInt32, arrivalNs: UInt64) {
        clock.receiveReport(ntp: ntp, timestamp: timestamp, arrivalNs: arrivalNs)
    }

    /// Access units that have become whole, each with the arrival of the packet that completed it.
    mutating func units(nowNs: UInt64) -> [(unit: AccessUnit, arrivalNs: UInt64)] {
        var list: [(unit: AccessUnit, arrivalNs: UInt64)] = []
        var units: [AccessUnit] = []
        while let (packet, afterLoss) = reorder.pop(nowNs: nowNs) {
            let timestamp = clock.observe(packet.timestamp, arrivalNs: packet.arrivalNs)
            depacketizer.push(packet.payload, timestamp: timestamp, marker: packet.marker, afterLoss: afterLoss, into: &units)
            for unit in units { list.append((unit, packet.arrivalNs)) }
            units.removeAll(keepingCapacity: true)
        }
        return list
    }

    /// Nothing that is missing will come any more.
    mutating func giveUp() {
        reorder.giveUp()
    }
}

extension TelephoneCodec {
    /// Nil for a codec that recordings hold as it is, or not at all.
    init?(_ codec: CodecID) {
        switch codec {
        case .pcmu: self = .pcmu
        case .pcma: self = .pcma
        case .g722: self = .g722
        default: return nil
        }
    }
}

/// Why a track is left out of recordings.
enum TrackRefusal {
    /// For logs and the API.
    static func text(_ track: TapTrack, soundTarget: SoundTarget?) -> String {
        let name = "\(track.codec)".uppercased()
        guard TelephoneCodec(track.codec) != nil else {
            return "\(track.kind) is not recorded: \(name) as it was announced cannot be held"
        }
        return soundTarget == nil
            ? "\(track.kind) is not recorded: \(name) needs recorder.transcode_audio"
            : "\(track.kind) is not recorded: \(name) could not be transcoded"
    }
}
