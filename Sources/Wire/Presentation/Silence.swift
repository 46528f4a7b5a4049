import Media

/// Sound that says nothing, for stretches of a playback in which no sound was recorded. Pure: the same numbers give the same bytes,
/// so whoever made a playlist need not remember what it named.
public struct Silence: Sendable, Equatable {
    private let format: TrackFormat

    /// Silence of the same kind as a track's sound; nil where that can't be made.
    /// - Parameters:
    ///   - codecs: `opus`, `mp4a.40.2`, `mp4a.40.5` or `mp4a.40.29` (RFC 6381).
    ///   - sampleRate: the track's timescale, samples a second; Opus has 48,000 whatever is said.
    ///   - channels: 1 to 8 for Opus, 1 to 6 and 8 for AAC.
    public init?(codecs: String, sampleRate: Int, channels: Int) {
        switch codecs.lowercased() {
        case "opus" where (1...2).contains(channels): format = .opus(channels: channels)
        case "opus":
            guard let layout = OpusLayout(surround: channels) else { return nil }
            format = .multiopus(layout)
        case "mp4a.40.2", "mp4a.40.5", "mp4a.40.29":
            let type = Int(codecs.split(separator: ".").last ?? "") ?? 2
            // Tracks of HE-AAC count in the core's samples or in those that are heard, twice as many; no core has more than this.
            let coreRate = type != 2 && sampleRate > Self.coreRateMax ? sampleRate / 2 : sampleRate
            guard let config = AudioSpecificConfig(sampleRate: coreRate, channels: channels, objectType: type) else { return nil }
            format = .aac(config, timescale: sampleRate)
        default: return nil
        }
    }

    private static let coreRateMax = 24_000

    /// Ticks a second of `segment`'s times: samples.
    public var timescale: Int64 { Int64(format.timescale) }

    /// What `init(codecs:sampleRate:channels:)` was given, as a query.
    public var query: String { "codecs=\(format.codecs)&rate=\(timescale)&channels=\(format.channels ?? 1)" }

    /// The longest segment that is made, in seconds.
    public static let secondsMax: Int64 = 600

    /// The initialization segment. Throws what the muxer says.
    public func initialization() throws(FragmentWriterError) -> [UInt8] {
        try FragmentWriter(format: format).initSegment
    }

    /// One segment.
    /// - Parameters:
    ///   - time: where it begins, in samples; not below 0.
    ///   - duration: how long it is in samples, at least 1 and at most `secondsMax`.
    /// - Throws: `unsupported` for numbers outside of these, else what the muxer says.
    public func segment(time: Int64, duration: Int64) throws(FragmentWriterError) -> [UInt8] {
        guard let packet = format.silence, (0...(1 << 53)).contains(time), (1...Self.secondsMax * timescale).contains(duration)
        else { throw .unsupported }
        let writer = try FragmentWriter(format: format)
        let count = max(1, duration / packet.duration)
        for index in 0..<count {
            let at = index * packet.duration
            // The last packet takes what no whole one fills.
            let length = index == count - 1 ? duration - at : packet.duration
            try writer.append(Sample(data: packet.data, time: time + at, duration: length, isSync: true))
        }
        return writer.flush(beginsSegment: true)
    }
}
