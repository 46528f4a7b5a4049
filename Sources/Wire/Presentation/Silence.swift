import Media

/// Sound that says nothing, for stretches of a playback in which no sound was recorded (RFC 7845 for its coding). Pure: the same
/// numbers give the same bytes, so whoever made a playlist need not remember what it named.
public struct Silence: Sendable, Equatable {
    /// 1 or 2.
    public let channels: Int

    /// Nil for other numbers of channels.
    public init?(channels: Int) {
        guard (1...2).contains(channels) else { return nil }
        self.channels = channels
    }

    /// The longest segment that is made: 10 minutes of 48 kHz.
    public static let durationMax: Int64 = 600 * 48_000

    /// The initialization segment. Throws what the muxer says.
    public func initialization() throws(FragmentWriterError) -> [UInt8] {
        try FragmentWriter(format: .opus(channels: channels)).initSegment
    }

    /// One segment.
    /// - Parameters:
    ///   - time: where it begins, in samples of 48 kHz; not below 0.
    ///   - duration: how long it is, 1 to `durationMax`.
    /// - Throws: `unsupported` for numbers outside of these, else what the muxer says.
    public func segment(time: Int64, duration: Int64) throws(FragmentWriterError) -> [UInt8] {
        guard (0...(1 << 53)).contains(time), (1...Self.durationMax).contains(duration) else { throw .unsupported }
        let writer = try FragmentWriter(format: .opus(channels: channels))
        let packet = OpusPacket.silence(channels: channels)
        let count = max(1, duration / OpusPacket.silenceDuration)
        for index in 0..<count {
            let at = index * OpusPacket.silenceDuration
            // The last packet takes what no whole one fills.
            let length = index == count - 1 ? duration - at : OpusPacket.silenceDuration
            try writer.append(Sample(data: packet, time: time + at, duration: length, isSync: true))
        }
        return try writer.flush(beginsSegment: true)
    }
}
