import SDP

/// How streams come, go and are bounded: `[strategy]`, `[limits]` and `[node]` of the configuration.
public struct StreamSettings: Sendable {
    /// Whether WHIP makes a stream that is not there; else 404.
    public var autoCreateWHIP = true
    /// Whether WHEP makes a stream that is not there and waits for a publisher; else 404.
    public var autoCreateWHEP = false
    /// Milliseconds after which a stream without a publisher is deleted with its viewers; nil for never.
    public var autoDeleteWHIPMs: Int?
    /// Milliseconds after which a stream without viewers is deleted with its publisher; nil for never.
    public var autoDeleteWHEPMs: Int?
    /// Most viewers of one stream; nil for no limit. One more gets 403.
    public var subscribersPerStreamMax: Int?
    /// Whether a second publisher always takes over; else only by the rules of `StreamRegistry.publish`.
    public var overridePublisher = false
    /// Most sessions of both kinds on this node; nil for no limit. One more gets 503.
    public var sessionsMax: Int?
    /// Most sessions of one client address, by `SessionClient.network`; nil for no limit. One more gets 429.
    public var sessionsPerAddressMax: Int?
    /// Most sessions opened with one credential; nil for no limit. One more gets 429.
    public var sessionsPerCredentialMax: Int?
    /// Most publishers on this node; nil for no limit. One more gets 503.
    public var publishersMax: Int?
    /// Most viewers on this node; nil for no limit. One more gets 503.
    public var subscribersMax: Int?
    /// Whether a PATCH without If-Match gets 428 (RFC 9725 section 4.3.1); some clients never send it.
    public var requiresIfMatch = true
    /// Which viewers are asked to report what their path carries.
    public var pathReports = PathReportPolicy.layers
    /// Whether who asks for video of a stream that has only sound is sent it once it comes.
    public var acceptsLateVideo = false
    /// The codecs that may be published.
    public var codecs = CodecPolicy.standard
    /// This node's name in the paths of streams between nodes; empty when there are no other nodes.
    public var alias = ""
    /// Nodes that a stream may go through after the one it was published on.
    public var relayDepthMax = 4
    /// How long a viewer waits for a publisher to come or come back before its session is closed, in milliseconds; twice as long while
    /// one is there that has not connected yet.
    public var publisherWaitMs = 30_000

    /// live777's defaults, without limits.
    public init() {}
}

/// What a node lets in.
enum Intake: Sendable {
    /// Everything that has room.
    case open
    /// Other nodes only, so that viewers who have to leave find the stream elsewhere.
    case relays
    /// Nothing.
    case closed
}

/// Numbers of this module with where they come from.
enum StreamLimits {
    /// Streams that may exist at once; a name costs some hundred bytes and each needs a session or an administrator.
    static let streams = 10_000
    /// A publisher that was silent this long may be replaced by anyone who may publish: browsers and encoders send STUN, RTCP or
    /// media far more often.
    static let stalePublisherNs: UInt64 = 2_000_000_000
    /// Ended sessions stay listed this long, as live777 does.
    static let endedSessionsKeptMs: Int64 = 30_000
    /// Ended sessions listed per stream.
    static let endedSessions = 64
    /// A peer silent this long is shown as disconnected: who has nothing to send checks consent only every six seconds (RFC 7675 §5.1).
    static let disconnectedNs: UInt64 = 8_000_000_000
    /// User fragments of earlier ICE generations kept per session.
    static let formerUfrags = 16
    /// Seconds that a refused client should wait.
    static let retryAfterSeconds = 5
    /// Attempts to find a user fragment that is free; two equal ones among a million sessions are a 1 in 10^8 event.
    static let ufragAttempts = 4
}
