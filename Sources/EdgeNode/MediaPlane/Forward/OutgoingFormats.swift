/// A form in which a viewer takes a track: one line of its answer with what belongs to it.
public struct OutgoingFormat: Sendable, Equatable {
    /// The codec of `payloadType`.
    public var codec: CodecID
    /// The viewer's payload type.
    public var payloadType: UInt8
    /// Its payload type for retransmissions of this one (RFC 4588).
    public var rtxPayloadType: UInt8?
    /// Its payload type for redundant audio data of this one (RFC 2198).
    public var redPayloadType: UInt8?

    /// All fields by name.
    public init(codec: CodecID, payloadType: UInt8, rtxPayloadType: UInt8? = nil, redPayloadType: UInt8? = nil) {
        self.codec = codec
        self.payloadType = payloadType
        self.rtxPayloadType = rtxPayloadType
        self.redPayloadType = redPayloadType
    }
}

/// Which of a viewer's formats its track is to be sent in.
public struct FormatChoice: Sendable, Equatable {
    /// Our SSRC of the track.
    public var ssrc: UInt32
    /// The format's payload type.
    public var payloadType: UInt8

    /// Both fields by name.
    public init(ssrc: UInt32, payloadType: UInt8) {
        self.ssrc = ssrc
        self.payloadType = payloadType
    }
}

/// The formats of one viewer's track, and the one in use.
///
/// A stretch is sent in one format from its first packet to the last time one of it is asked for again: the payload type is part of what
/// the tag covers, and no nonce may meet two headers (RFC 7714 §8.1).
struct OutgoingFormats {
    /// A payload type that is none.
    static let none: UInt8 = 255

    struct Format {
        var codec = CodecID.opus
        var payloadType = OutgoingFormats.none
        var rtxPayloadType = OutgoingFormats.none
        var redPayloadType = OutgoingFormats.none
    }

    private var list = InlineArray<16, Format>(repeating: Format())
    private let count: Int
    /// The one that the next stretch is sent in.
    private(set) var current = 0
    /// The one that was chosen last.
    private var wanted = 0

    init(_ formats: [OutgoingFormat]) {
        count = min(formats.count, MediaLimits.formatsPerTrack)
        for (place, format) in formats.prefix(count).enumerated() {
            list[place] = Format(
                codec: format.codec, payloadType: format.payloadType, rtxPayloadType: format.rtxPayloadType ?? Self.none,
                redPayloadType: format.redPayloadType ?? Self.none)
        }
    }

    @inline(__always)
    subscript(place: UInt8) -> Format { list[Int(place)] }

    /// Goes over to a format of this codec: the chosen one, else the present one, else the first; false when there is none.
    mutating func adopt(_ codec: CodecID) -> Bool {
        if list[wanted].codec == codec {
            current = wanted
        } else if list[current].codec != codec {
            guard let first = (0..<count).first(where: { list[$0].codec == codec }) else { return false }
            current = first
        }
        return true
    }

    /// Whether the chosen format is of this codec.
    func isWanted(_ codec: CodecID) -> Bool { list[wanted].codec == codec }

    /// Chooses a format for what begins next; false when it is the present one already, or there is none of this payload type.
    mutating func choose(payloadType: UInt8) -> Bool {
        guard let place = (0..<count).first(where: { list[$0].payloadType == payloadType }) else { return false }
        wanted = place
        return place != current
    }
}
