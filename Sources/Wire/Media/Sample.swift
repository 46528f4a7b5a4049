/// What a track of a file is made of; equal formats share one initialization segment.
public enum TrackFormat: Equatable, Sendable {
    /// H.264 with out-of-band parameter sets (`avc1`), timescale 90,000.
    case h264(H264Format)
    /// H.265 with out-of-band parameter sets (`hvc1`), timescale 90,000.
    case h265(H265Format)
    /// VP9 (`vp09`), timescale 90,000.
    case vp9(VP9Format)
    /// AV1 (`av01`), timescale 90,000.
    case av1(AV1Format)
    /// VP8, which has no place in CMAF, timescale 90,000.
    case vp8(VP8Format)
    /// Opus, timescale 48,000; one or two channels.
    case opus(channels: Int)
    /// Opus of several streams, timescale 48,000.
    case multiopus(OpusLayout)
    /// AAC (`mp4a`) with the timescale that its access units are counted in.
    case aac(AudioSpecificConfig, timescale: Int)

    /// Ticks a second in the file.
    public var timescale: Int {
        switch self {
        case .h264, .h265, .vp9, .av1, .vp8: 90_000
        case .opus, .multiopus: 48_000
        case .aac(_, let timescale): timescale
        }
    }

    /// The RFC 6381 codecs parameter, from the bitstream.
    public var codecs: String {
        switch self {
        case .h264(let format): format.first.codecs
        case .h265(let format): format.first.codecs
        case .vp9(let format): format.codecs
        case .av1(let format): format.codecs
        case .vp8: "vp8"
        case .opus, .multiopus: "opus"
        case .aac(let config, _): config.codecs
        }
    }

    /// Pictures rather than sound.
    public var isVideo: Bool { pictureSize != nil }

    /// Size of the pictures in luma samples; nil for sound.
    public var pictureSize: (width: Int, height: Int)? {
        switch self {
        case .h264(let format): (format.first.width, format.first.height)
        case .h265(let format): (format.first.width, format.first.height)
        case .vp9(let format): (format.width, format.height)
        case .av1(let format): (format.width, format.height)
        case .vp8(let format): (format.width, format.height)
        case .opus, .multiopus, .aac: nil
        }
    }

    /// Loudspeakers; nil for video.
    public var channels: Int? {
        switch self {
        case .opus(let channels): channels
        case .multiopus(let layout): layout.channels
        case .aac(let config, _): config.channels
        default: nil
        }
    }

    /// How many samples may precede one in decoding order and be shown after it; nil when the bitstream does not tell.
    public var reorderedSamplesMax: Int? {
        switch self {
        case .h264(let format): format.first.reorderedFramesMax
        case .h265(let format): format.first.reorderedPicturesMax
        // Hidden frames come in one sample with the frame that is shown.
        case .vp9, .av1, .vp8, .opus, .multiopus, .aac: 0
        }
    }
}

extension TrackFormat {
    /// A sample of sound that decodes to silence and how long it lasts in the track's timescale; nil for video.
    public var silence: (data: [UInt8], duration: Int64)? {
        switch self {
        case .opus(let channels): (OpusPacket.silence(channels: channels), OpusPacket.silenceDuration)
        case .multiopus(let layout): (layout.silence, OpusPacket.silenceDuration)
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
    /// Decoding time in the track's timescale, counted from the Period's start.
    public let time: Int64
    /// Presentation minus decoding time; below 0 for a sample that is shown before its turn to be decoded would come.
    public let compositionOffset: Int64
    /// Until the next sample, in the track's timescale; above 0.
    public let duration: Int64
    /// A decoder can start here.
    public let isSync: Bool

    /// A sample; times in the track's timescale.
    public init(data: [UInt8], time: Int64, compositionOffset: Int64 = 0, duration: Int64, isSync: Bool) {
        self.data = data
        self.time = time
        self.compositionOffset = compositionOffset
        self.duration = duration
        self.isSync = isSync
    }
}
