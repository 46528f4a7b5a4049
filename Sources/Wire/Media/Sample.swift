/// What a track of a file is made of; equal formats share one initialization segment.
public enum TrackFormat: Equatable, Sendable {
    /// H.264 with out-of-band parameter sets (`avc1`), timescale 90,000.
    case h264(H264Format)
    /// Opus, timescale 48,000; one or two channels.
    case opus(channels: Int)

    /// Ticks a second in the file.
    public var timescale: Int {
        switch self {
        case .h264: 90_000
        case .opus: 48_000
        }
    }

    /// The RFC 6381 codecs parameter, from the bitstream.
    public var codecs: String {
        switch self {
        case .h264(let format): format.first.codecs
        case .opus: "opus"
        }
    }

    /// Pictures rather than sound.
    public var isVideo: Bool {
        if case .h264 = self { true } else { false }
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
