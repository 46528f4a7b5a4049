/// Names one stream on this node for as long as the node runs; it survives publishers coming and going.
///
/// Minted by the control plane, one per stream name.
public struct StreamKey: Hashable, Sendable {
    /// The number itself; only equality means anything.
    public let id: UInt32

    /// - Parameter id: any number not in use for another stream.
    public init(id: UInt32) {
        self.id = id
    }
}

/// What a track carries.
public enum TrackKind: UInt8, Sendable, CaseIterable {
    case audio = 0
    case video = 1
}

/// The codecs the plane can recognise keyframes of, or forward without looking inside.
public enum CodecID: UInt8, Sendable, CaseIterable {
    case h264, h265, vp8, vp9, av1
    case opus, multiopus, pcmu, pcma, g722, aac

    /// Whether the codec is video.
    public var kind: TrackKind {
        switch self {
        case .h264, .h265, .vp8, .vp9, .av1: .video
        case .opus, .multiopus, .pcmu, .pcma, .g722, .aac: .audio
        }
    }
}

/// The local identifiers agreed for RTP header extensions (RFC 8285 §5); 0 means not negotiated.
public struct ExtensionIDs: Sendable, Equatable {
    /// `urn:ietf:params:rtp-hdrext:sdes:mid` (RFC 9143 §15).
    public var mid: UInt8 = 0
    /// `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id` (RFC 8852).
    public var rid: UInt8 = 0
    /// `urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id` (RFC 8852).
    public var repairedRid: UInt8 = 0
    /// Transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    public var transportCC: UInt8 = 0
    /// Absolute send time; read by nobody yet, kept so that it can be told from unknown ids.
    public var absSendTime: UInt8 = 0
    /// Client-to-mixer audio level (RFC 6464).
    public var audioLevel: UInt8 = 0
    /// Video orientation (3GPP TS 26.114, `urn:3gpp:video-orientation`).
    public var videoOrientation: UInt8 = 0
    /// Playout delay limits, three bytes.
    public var playoutDelay: UInt8 = 0
    /// AV1's dependency descriptor; longer than 16 bytes at keyframes, so that a viewer must take the two-byte form (RFC 8285 §6).
    public var dependencyDescriptor: UInt8 = 0

    /// Nothing negotiated.
    public init() {}
}

/// The RTCP feedback agreed for one track (RFC 4585 §4.2, RFC 5104).
public struct FeedbackFlags: Sendable, Equatable {
    /// Generic NACK.
    public var nack = false
    /// Picture loss indication.
    public var pli = false
    /// Full intra request.
    public var fir = false
    /// Transport-wide congestion control feedback.
    public var transportCC = false
    /// Receiver estimated maximum bitrate.
    public var remb = false

    /// Nothing negotiated.
    public init() {}

    /// All flags by name.
    public init(nack: Bool, pli: Bool, fir: Bool = false, transportCC: Bool = false, remb: Bool = false) {
        self.nack = nack
        self.pli = pli
        self.fir = fir
        self.transportCC = transportCC
        self.remb = remb
    }
}

/// ICE and DTLS parameters of one peer, as two SDPs agreed them (RFC 8839 §5.4, RFC 8122 §5).
public struct TransportSpec: Sendable {
    /// One `a=fingerprint` of the peer.
    public struct Fingerprint: Sendable, Equatable {
        /// Lower-case hash name, such as `sha-256`.
        public var algorithm: String
        /// The hash itself.
        public var bytes: [UInt8]

        /// - Parameters: the two halves of the attribute.
        public init(algorithm: String, bytes: [UInt8]) {
            self.algorithm = algorithm
            self.bytes = bytes
        }
    }

    /// Our user fragment; STUN for this session is found by it, so it must be unique on the node.
    public var localUfrag: String
    /// Our password.
    public var localPassword: String
    /// The peer's user fragment.
    public var remoteUfrag: String
    /// The peer's password.
    public var remotePassword: String
    /// Every fingerprint the peer announced; the certificate must match one of them.
    public var remoteFingerprints: [Fingerprint]
    /// True when our description says `setup:active`, or our offer was answered `passive`.
    public var isDTLSClient: Bool

    /// Where a peer that waits for us can be reached.
    public struct Endpoint: Sendable, Equatable {
        /// An IP literal.
        public var address: String
        /// The UDP port.
        public var port: UInt16

        /// - Parameters: the two halves of a candidate.
        public init(address: String, port: UInt16) {
            self.address = address
            self.port = port
        }
    }

    /// Nil when the peer comes to us. Else we dial: a controlling full agent on a port of its own checks these candidates, the best
    /// first (RFC 8445 §6.1.1).
    public var dialing: [Endpoint]?
    /// IP literal of who asked for the session. Of the addresses that the peer's checks come from, this host's is believed a little before it
    /// has answered: who only has the credentials can write anybody's address into a check.
    public var askedFrom: String?

    /// What the peer said of its SCTP (RFC 8841 §5, §6).
    public struct DataChannels: Sendable, Equatable {
        /// `a=sctp-port`.
        public var port: UInt16
        /// `a=max-message-size` in bytes; what is longer is not sent to it.
        public var messageBytes: Int

        /// - Parameters: the two attributes.
        public init(port: UInt16, messageBytes: Int) {
            self.port = port
            self.messageBytes = messageBytes
        }
    }

    /// Nil when no data channels were agreed.
    public var dataChannels: DataChannels?

    /// All fields by name.
    public init(
        localUfrag: String, localPassword: String, remoteUfrag: String, remotePassword: String,
        remoteFingerprints: [Fingerprint], isDTLSClient: Bool, dialing: [Endpoint]? = nil,
        askedFrom: String? = nil, dataChannels: DataChannels? = nil
    ) {
        self.localUfrag = localUfrag
        self.localPassword = localPassword
        self.remoteUfrag = remoteUfrag
        self.remotePassword = remotePassword
        self.remoteFingerprints = remoteFingerprints
        self.isDTLSClient = isDTLSClient
        self.dialing = dialing
        self.askedFrom = askedFrom
        self.dataChannels = dataChannels
    }
}

/// One track that a publisher sends us.
public struct IncomingTrackSpec: Sendable {
    /// Audio or video.
    public var kind: TrackKind
    /// The codec of `payloadType`.
    public var codec: CodecID
    /// RTP clock in Hz; 48000 for Opus, 90000 for video.
    public var clockRate: UInt32
    /// Channels as in `a=rtpmap`; handed through to the recorder.
    public var channels: UInt8
    /// The `a=fmtp` parameters as text; handed through to the recorder.
    public var fmtp: String
    /// The payload type of the media.
    public var payloadType: UInt8
    /// The payload type of its retransmissions (RFC 4588), if agreed.
    public var rtxPayloadType: UInt8?
    /// The payload type of redundant audio data whose blocks are of `payloadType` (RFC 2198), if agreed; both may come.
    public var redPayloadType: UInt8?
    /// The SSRC the offer declared, if it did.
    public var ssrc: UInt32?
    /// The retransmission SSRC the offer declared (`a=ssrc-group:FID`).
    public var rtxSSRC: UInt32?
    /// The media section's identification tag.
    public var mid: String
    /// The simulcast layer's `a=rid` (RFC 8851); empty for a track that comes once. Layers of a section are tracks of their own.
    public var rid: String
    /// Header extension ids of this section.
    public var extensions: ExtensionIDs
    /// Feedback the publisher understands.
    public var feedback: FeedbackFlags
    /// An RTP payload with the parameter sets that the SDP tells of; goes before each keyframe while the source sends none itself. Empty
    /// without.
    public var parameterSets: [UInt8]

    /// All fields by name; optional ones default to absent.
    public init(
        kind: TrackKind, codec: CodecID, clockRate: UInt32, channels: UInt8 = 0, fmtp: String = "", payloadType: UInt8,
        rtxPayloadType: UInt8? = nil, redPayloadType: UInt8? = nil, ssrc: UInt32? = nil, rtxSSRC: UInt32? = nil,
        mid: String = "", rid: String = "", extensions: ExtensionIDs = ExtensionIDs(), feedback: FeedbackFlags = FeedbackFlags(),
        parameterSets: [UInt8] = []
    ) {
        self.parameterSets = parameterSets
        self.kind = kind
        self.codec = codec
        self.clockRate = clockRate
        self.channels = channels
        self.fmtp = fmtp
        self.payloadType = payloadType
        self.rtxPayloadType = rtxPayloadType
        self.redPayloadType = redPayloadType
        self.ssrc = ssrc
        self.rtxSSRC = rtxSSRC
        self.mid = mid
        self.rid = rid
        self.extensions = extensions
        self.feedback = feedback
    }
}

/// One track that we send to a viewer.
public struct OutgoingTrackSpec: Sendable {
    /// Audio or video; the stream's track of this kind and codec is sent.
    public var kind: TrackKind
    /// The codec of `payloadType`; a stream of another codec is forwarded where one of `alternatives` has it.
    public var codec: CodecID
    /// The viewer's payload type.
    public var payloadType: UInt8
    /// Our SSRC for this viewer; unique within the viewer's transport.
    public var ssrc: UInt32
    /// The viewer's payload type for retransmissions (RFC 4588), if agreed; needs ``rtxSSRC``.
    public var rtxPayloadType: UInt8?
    /// The viewer's payload type for redundant audio data (RFC 2198), if agreed; without one it is sent the primary block alone.
    public var redPayloadType: UInt8?
    /// Other formats that the viewer takes on the same SSRC, with the same clock.
    public var alternatives: [OutgoingFormat]
    /// Our SSRC for retransmissions; without one a packet asked for again is sent again as it was.
    public var rtxSSRC: UInt32?
    /// RTP clock in Hz.
    public var clockRate: UInt32
    /// The canonical name in our SDES; the same for both tracks of a viewer (RFC 7022).
    public var cname: String
    /// The viewer's media section, sent as an extension on the first packets when negotiated.
    public var mid: String
    /// Header extension ids of this section.
    public var extensions: ExtensionIDs
    /// Feedback the viewer sends.
    public var feedback: FeedbackFlags

    /// The formats it may be sent in, the first one first.
    var formats: [OutgoingFormat] {
        [
            OutgoingFormat(
                codec: codec, payloadType: payloadType, rtxPayloadType: rtxPayloadType, redPayloadType: redPayloadType)
        ] + alternatives
    }

    /// All fields by name.
    public init(
        kind: TrackKind, codec: CodecID, payloadType: UInt8, ssrc: UInt32, rtxPayloadType: UInt8? = nil,
        redPayloadType: UInt8? = nil, alternatives: [OutgoingFormat] = [], rtxSSRC: UInt32? = nil,
        clockRate: UInt32, cname: String, mid: String = "", extensions: ExtensionIDs = ExtensionIDs(),
        feedback: FeedbackFlags = FeedbackFlags()
    ) {
        self.kind = kind
        self.codec = codec
        self.payloadType = payloadType
        self.ssrc = ssrc
        self.rtxPayloadType = rtxPayloadType
        self.redPayloadType = redPayloadType
        self.alternatives = alternatives
        self.rtxSSRC = rtxSSRC
        self.clockRate = clockRate
        self.cname = cname
        self.mid = mid
        self.extensions = extensions
        self.feedback = feedback
    }
}

/// Everything the plane needs to receive one stream.
public struct PublisherSpec: Sendable {
    /// The stream it feeds.
    public var stream: StreamKey
    /// The control plane's name for the session; comes back in events and snapshots.
    public var session: String
    /// The peer.
    public var transport: TransportSpec
    /// What it sends; at most ``MediaLimits/tracksPerStream``.
    public var tracks: [IncomingTrackSpec]
    /// The loop to use; nil lets the plane choose the one with the fewest sessions.
    public var loop: Int?

    /// All fields by name.
    public init(stream: StreamKey, session: String, transport: TransportSpec, tracks: [IncomingTrackSpec], loop: Int? = nil) {
        self.stream = stream
        self.session = session
        self.transport = transport
        self.tracks = tracks
        self.loop = loop
    }
}

/// Everything the plane needs to send one stream to one viewer.
public struct ViewerSpec: Sendable {
    /// The stream it watches; the publisher may come later, go and come back.
    public var stream: StreamKey
    /// The control plane's name for the session; comes back in events and snapshots.
    public var session: String
    /// The peer.
    public var transport: TransportSpec
    /// What it receives; at most ``MediaLimits/tracksPerStream``.
    public var tracks: [OutgoingTrackSpec]
    /// The loop to use; nil lets the plane choose the one with the fewest sessions.
    public var loop: Int?
    /// Whether it is another node, which passes the stream on to viewers of its own: no layer within a source is chosen for it, and it is
    /// sent nothing twice.
    public var isNode: Bool

    /// All fields by name.
    public init(
        stream: StreamKey, session: String, transport: TransportSpec, tracks: [OutgoingTrackSpec], loop: Int? = nil,
        isNode: Bool = false
    ) {
        self.isNode = isNode
        self.stream = stream
        self.session = session
        self.transport = transport
        self.tracks = tracks
        self.loop = loop
    }
}

/// A session in the plane.
public struct SessionHandle: Hashable, Sendable {
    /// Never used twice while the process lives.
    public let id: UInt64
    /// The loop that owns it; its port belongs in the SDP answer.
    public let loop: Int
    /// Its stream.
    public let stream: StreamKey
    /// Whether it publishes.
    public let isPublisher: Bool
}
