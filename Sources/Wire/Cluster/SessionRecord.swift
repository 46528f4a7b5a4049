/// One publisher or viewer of a stream, live777's names.
public struct SessionRecord: Sendable, Hashable, Encodable {
    /// The session id, as in its URL.
    public var id: String
    /// When it began, Unix milliseconds.
    public var createdAt: Int64
    /// When it ended, Unix milliseconds; 0 while it lives.
    public var leaveAt: Int64
    /// Where its connection stands.
    public var state: SessionState
    /// The other node's end, when this session carries the stream between nodes.
    public var cascade: CascadeRecord?
    /// Whether a data channel is open.
    public var hasDataChannel: Bool
    /// What went through it.
    public var stats: TrafficStats
    /// A publisher's layers from the lowest to the highest; nil for media that is sent once.
    public var layers: [LayerRecord]?
    /// The layer that a viewer is sent now; nil for a publisher, for media that is sent once, and while none is sent.
    public var layer: String?
    /// What a viewer's path is thought to carry, in bits per second of everything; nil while unknown.
    public var availableBitrate: Int64?

    /// Makes a record.
    public init(
        id: String, createdAt: Int64, leaveAt: Int64 = 0, state: SessionState = .new, cascade: CascadeRecord? = nil,
        hasDataChannel: Bool = false, stats: TrafficStats = TrafficStats(), layers: [LayerRecord]? = nil,
        layer: String? = nil, availableBitrate: Int64? = nil
    ) {
        self.id = id
        self.createdAt = createdAt
        self.leaveAt = leaveAt
        self.state = state
        self.cascade = cascade
        self.hasDataChannel = hasDataChannel
        self.stats = stats
        self.layers = layers
        self.layer = layer
        self.availableBitrate = availableBitrate
    }
}

/// Where a session's connection stands (the words of W3C `RTCPeerConnectionState`).
public enum SessionState: String, Sendable, Hashable, Encodable {
    /// Answered, nothing heard yet.
    case new
    /// ICE or DTLS is under way.
    case connecting
    /// Media can flow.
    case connected
    /// Nothing heard for a while; may come back.
    case disconnected
    /// Given up.
    case failed
    /// Ended by either side.
    case closed
}

/// The other end of a session between two nodes; URLs carry no tokens.
public struct CascadeRecord: Sendable, Hashable, Encodable {
    /// WHEP URL pulled from.
    public var sourceURL: String?
    /// WHIP URL pushed to.
    public var targetURL: String?
    /// The remote session resource.
    public var sessionURL: String?

    enum CodingKeys: String, CodingKey {
        case sourceURL = "sourceUrl"
        case targetURL = "targetUrl"
        case sessionURL = "sessionUrl"
    }

    /// - Parameters:
    ///   - sourceURL: WHEP URL pulled from.
    ///   - targetURL: WHIP URL pushed to.
    ///   - sessionURL: the remote session resource.
    public init(sourceURL: String? = nil, targetURL: String? = nil, sessionURL: String? = nil) {
        self.sourceURL = sourceURL
        self.targetURL = targetURL
        self.sessionURL = sessionURL
    }
}
