/// What a track of a file is made of; equal formats share one initialization segment.
public enum TrackFormat: Equatable, Sendable {
    /// H.264 with out-of-band parameter sets (`avc1`), timescale 90,000.
    case h264(H264Format)
    /// Opus, timescale 48,000; one or two channels.
    case opus(channels: Int)
    /// AAC (`mp4a`) with the timescale that its access units are counted in.
    case aac(AudioSpecificConfig, timescale: Int)

    /// Ticks a second in the file.
    public var timescale: Int {
        switch self {
        case .h264: 90_000
        case .opus: 48_000
        case .aac(_, let timescale): timescale
        }
    }

    /// The RFC 6381 codecs parameter, from the bitstream.
    public var codecs: String {
        switch self {
        case .h264(let format): format.first.codecs
        case .opus: "opus"
        case .aac(let config, _): config.codecs
        }
    }

    /// Pictures rather than sound.
    public var isVideo: Bool {
        if case .h264 = self { true } else { false }
    }
}

extension TrackFormat {
    /// A sample of sound that decodes to silence and how long it lasts in the track's timescale; nil for video.
    public var silence: (data: [UInt8], duration: Int64)? {
        switch self {
        case .opus(let channels): (OpusPacket.silence(channels: channels), OpusPacket.silenceDuration)
        case .aac(let config, let timescale):
            (config.silence, max(1, Int64(config.frameLength * timescale / config.sampleRate)))
        default: nil
        }
    }
}

/// One sample, placed in time.
public struct Sample: Equatable, Sendable {
    /// The bytes as the sample entry wants them.
    public let data: [UInt8]
    /// Decoding and presentation time in the track's timescale, counted from the Period's start.
    public let time: Int64
    /// Until the next sample, in the track's timescale; above 0.
    public let duration: Int64
    /// A decoder can start here.
    public let isSync: Bool

    /// A sample; times in the track's timescale.
    public init(data: [UInt8], time: Int64, duration: Int64, isSync: Bool) {
        self.data = data
        self.time = time
        self.duration = duration
        self.isSync = isSync
    }
}
