/// One frame of a track as it leaves a depacketiser: ready to be stored, not yet placed in time.
public struct AccessUnit: Equatable, Sendable {
    /// RTP timestamp, unwrapped to 64 bit, in the track's clock: when it is shown, not when it is decoded.
    public let timestamp: Int64
    /// The bytes a sample holds: length-prefixed NAL units without parameter sets for H.264 and H.265, a superframe for VP9, a temporal
    /// unit without delimiters for AV1, the packet for Opus.
    public let data: [UInt8]
    /// A decoder can start here.
    public let isSync: Bool
    /// How long it lasts in the track's clock, where the bitstream says so (Opus); nil for video.
    public let duration: Int64?
    /// What a decoder has to be told before it, with each sync unit of video.
    public let format: TrackFormat?

    /// A unit of any codec.
    public init(timestamp: Int64, data: [UInt8], isSync: Bool, duration: Int64? = nil, format: TrackFormat? = nil) {
        self.timestamp = timestamp
        self.data = data
        self.isSync = isSync
        self.duration = duration
        self.format = format
    }
}

/// Turns the RTP payloads of one track, in sequence order, into access units. Sans-IO; one per track and epoch.
public protocol Depacketizer: Sendable {
    /// Takes the next payload.
    ///
    /// - Parameters:
    ///   - payload: an RTP payload without padding.
    ///   - timestamp: unwrapped RTP timestamp.
    ///   - marker: the RTP marker bit.
    ///   - afterLoss: at least one packet between the previous payload and this one will never come.
    ///   - units: finished units are appended here, in decoding order.
    mutating func push(_ payload: [UInt8], timestamp: Int64, marker: Bool, afterLoss: Bool, into units: inout [AccessUnit])

    /// Nothing decodable can come before the sender makes a key frame.
    var needsKeyframe: Bool { get }

    /// Units that were thrown away because packets were lost or malformed.
    var droppedUnits: Int { get }
}
