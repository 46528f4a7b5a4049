/// The RTP header extensions that a description may give ids to (RFC 8285 section 5).
public enum HeaderExtension: String, Sendable, CaseIterable {
    /// RFC 9143 section 15.
    case mid = "urn:ietf:params:rtp-hdrext:sdes:mid"
    /// RFC 8852 section 4.1.
    case rid = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
    /// RFC 8852 section 4.2.
    case repairedRID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
    /// draft-holmer-rmcat-transport-wide-cc-extensions-01.
    case transportCC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
    /// The 24-bit absolute send time.
    case absSendTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
    /// RFC 6464.
    case audioLevel = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
    /// Coordination of video orientation, 3GPP TS 26.114 section 7.4.5.
    case videoOrientation = "urn:3gpp:video-orientation"
    /// AV1 RTP payload specification, appendix A.
    case dependencyDescriptor = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
}

extension HeaderExtension {
    /// What only some codec's packets carry.
    static func ofCodec(_ codec: Codec, allowsMixed: Bool) -> [HeaderExtension] {
        // At a keyframe it is longer than the one-byte form holds, and one without its templates is of no use.
        codec.name == "AV1" && allowsMixed ? [.dependencyDescriptor] : []
    }
}

/// The negotiated id of each header extension, nil where there is none.
public struct HeaderExtensionIDs: Sendable, Equatable {
    /// Media section id.
    public var mid: UInt8?
    /// RTP stream id of a simulcast layer.
    public var rid: UInt8?
    /// RTP stream id that a retransmission repairs.
    public var repairedRID: UInt8?
    /// Transport-wide sequence number.
    public var transportCC: UInt8?
    /// Absolute send time.
    public var absSendTime: UInt8?
    /// Client-to-mixer audio level.
    public var audioLevel: UInt8?
    /// Video orientation.
    public var videoOrientation: UInt8?
    /// AV1's dependency descriptor.
    public var dependencyDescriptor: UInt8?

    /// No extension at all.
    public init() {}

    /// Whether packets with them may need the two-byte form: ids past 14, and dependency descriptors, which are long (RFC 8285 section 4.3).
    var needsTwoBytes: Bool {
        dependencyDescriptor != nil || HeaderExtension.allCases.contains { (self[$0] ?? 0) > 14 }
    }

    /// Whether an extension with this id says nothing else than these do.
    func agrees(_ which: HeaderExtension, _ id: UInt8) -> Bool {
        HeaderExtension.allCases.allSatisfy { other in self[other].map { ($0 == id) == (other == which) } ?? true }
    }

    /// The id of one extension.
    public subscript(which: HeaderExtension) -> UInt8? {
        get {
            switch which {
            case .mid: mid
            case .rid: rid
            case .repairedRID: repairedRID
            case .transportCC: transportCC
            case .absSendTime: absSendTime
            case .audioLevel: audioLevel
            case .videoOrientation: videoOrientation
            case .dependencyDescriptor: dependencyDescriptor
            }
        }
        set {
            switch which {
            case .mid: mid = newValue
            case .rid: rid = newValue
            case .repairedRID: repairedRID = newValue
            case .transportCC: transportCC = newValue
            case .absSendTime: absSendTime = newValue
            case .audioLevel: audioLevel = newValue
            case .videoOrientation: videoOrientation = newValue
            case .dependencyDescriptor: dependencyDescriptor = newValue
            }
        }
    }
}

/// The RTCP feedback that both sides agreed on for one payload type (RFC 4585 section 4.2).
public struct FeedbackMessages: Sendable, Equatable {
    /// Generic NACK.
    public var nack = false
    /// Picture loss indication.
    public var pli = false
    /// Full intra request (RFC 5104).
    public var fir = false
    /// Transport-wide congestion feedback.
    public var transportCC = false
    /// Receiver estimated maximum bitrate.
    public var remb = false

    /// The given messages, none by default.
    public init(nack: Bool = false, pli: Bool = false, fir: Bool = false, transportCC: Bool = false, remb: Bool = false) {
        self.nack = nack
        self.pli = pli
        self.fir = fir
        self.transportCC = transportCC
        self.remb = remb
    }

    mutating func insert(_ fields: [Substring]) {
        switch fields.map({ $0.lowercased() }) {
        case ["nack"]: nack = true
        case ["nack", "pli"]: pli = true
        case ["ccm", "fir"]: fir = true
        case ["transport-cc"]: transportCC = true
        case ["goog-remb"]: remb = true
        default: break
        }
    }

    func union(_ other: FeedbackMessages) -> FeedbackMessages {
        FeedbackMessages(
            nack: nack || other.nack, pli: pli || other.pli, fir: fir || other.fir, transportCC: transportCC || other.transportCC,
            remb: remb || other.remb)
    }

    func intersection(_ other: FeedbackMessages) -> FeedbackMessages {
        FeedbackMessages(
            nack: nack && other.nack, pli: pli && other.pli, fir: fir && other.fir, transportCC: transportCC && other.transportCC,
            remb: remb && other.remb)
    }

    /// The values of `rtcp-fb` after the payload type.
    var attributeValues: [String] {
        [(nack, "nack"), (pli, "nack pli"), (fir, "ccm fir"), (transportCC, "transport-cc"), (remb, "goog-remb")]
            .filter(\.0).map(\.1)
    }
}

/// One form that a section's media may have on the wire.
public struct NegotiatedFormat: Sendable, Hashable {
    /// The codec with the parameters that were offered.
    public let codec: Codec
    /// The payload type on the wire.
    public let payloadType: UInt8
    /// The payload type of its retransmissions, when negotiated (RFC 4588).
    public let rtxPayloadType: UInt8?
    /// The payload type of redundant audio data of it, when negotiated (RFC 2198).
    public let redPayloadType: UInt8?
}

/// What one accepted media section means for the media plane.
public struct NegotiatedTrack: Sendable, Equatable {
    /// Audio or video.
    public let kind: MediaKind
    /// The section's identification tag (RFC 5888); empty when the peer gave none.
    public let mid: String
    /// The simulcast layers that were agreed on, as `a=rid` names them, in the sender's order; empty for media that is sent once.
    public var layers: [String] = []
    /// The codec with the parameters that the sender of the media declared.
    public let codec: Codec
    /// The payload type on the wire.
    public let payloadType: UInt8
    /// The payload type of retransmissions of `payloadType`, when negotiated (RFC 4588).
    public let rtxPayloadType: UInt8?
    /// The payload type of redundant audio data whose blocks are of `payloadType`, when negotiated (RFC 2198). Both may be sent.
    public var redPayloadType: UInt8? = nil
    /// Other forms that a receiver takes instead, on the same source and at the same clock rate.
    public var alternatives: [NegotiatedFormat] = []
    /// The sender's SSRC: the peer's when declared, or ours for media that we send.
    public let ssrc: UInt32?
    /// The SSRC of the sender's retransmissions, when declared.
    public let rtxSSRC: UInt32?
    /// Header extension ids that hold for this section.
    public let extensions: HeaderExtensionIDs
    /// Feedback that the receiver of the media may send.
    public let feedback: FeedbackMessages
    /// The canonical name of the source (RFC 7022); ours for media that we send, else the peer's or empty.
    public let cname: String

    /// The form that plays a source best, of all that were agreed on; nil when none does.
    ///
    /// - Parameter kept: the payload type that is in use, when going over to another costs more than it gains: it is taken if it fits the
    ///   source at all.
    public func format(for source: Codec, keeping kept: UInt8? = nil) -> NegotiatedFormat? {
        let own = NegotiatedFormat(
            codec: codec, payloadType: payloadType, rtxPayloadType: rtxPayloadType, redPayloadType: redPayloadType)
        let formats = [own] + alternatives
        if let used = formats.first(where: { $0.payloadType == kept }), used.codec.fits(source) {
            return used
        }
        let distances = formats.compactMap { format in
            format.codec.distance(toSource: source).map { (format, $0) }
        }
        return distances.min { $0.1 < $1.1 }?.0
    }
}

/// A track that a stream has now, as its publisher negotiated it.
public struct SourceTrack: Sendable, Equatable {
    /// Audio or video.
    public let kind: MediaKind
    /// The codec; for H.264 with the profile of the real sequence parameter set when that is known.
    public let codec: Codec
    /// It comes in several layers, of which a viewer is sent one that its path carries.
    public let hasLayers: Bool

    /// Makes a source track.
    public init(kind: MediaKind, codec: Codec, hasLayers: Bool = false) {
        self.kind = kind
        self.codec = codec
        self.hasLayers = hasLayers
    }
}
