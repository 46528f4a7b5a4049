/// Numbers about one session; counters only grow.
public struct SessionSnapshot: Sendable {
    /// Which session.
    public var handle: SessionHandle
    /// The control plane's name for it.
    public var session: String
    /// Monotonic time at which these were the numbers.
    public var sampledNs: UInt64
    /// Where it stands.
    public var state: SessionState
    /// The peer's address once its path is proven.
    public var remoteAddress: SocketAddress?
    /// Monotonic time of the last authenticated packet from the peer, in nanoseconds; 0 before the first.
    public var lastReceivedNs: UInt64
    /// RTP bytes as counted on the wire, from a publisher in, to a viewer out.
    public var bytes: UInt64
    /// RTP packets, likewise.
    public var packets: UInt64
    /// Packets lost: by our count for a publisher, by the viewer's reports otherwise.
    public var lost: UInt64
    /// NACKed packets, sent to a publisher or received from a viewer.
    public var nacks: UInt64
    /// Packets that a publisher resent in answer, or that we resent to a viewer.
    public var resent: UInt64
    /// Keyframe requests, sent to a publisher or received from a viewer.
    public var keyframeRequests: UInt64
    /// Round trip to the peer in nanoseconds; 0 while unknown.
    public var rttNs: UInt64
    /// A publisher's simulcast layers from the lowest to the highest; empty without.
    public var layers: [LayerSnapshot]
    /// The layer that a viewer is sent now; nil for a publisher, for media that comes once, and while none is sent.
    public var layer: String?
    /// What a viewer's path is thought to carry, in bits per second of everything; nil while unknown.
    public var availableBitrate: UInt64?
}

/// Numbers about one loop; counters only grow.
public struct LoopSnapshot: Sendable {
    /// Which loop.
    public var loop: Int
    /// Time spent outside of epoll, in nanoseconds.
    public var busyNs: UInt64
    /// Time since the loop started, in nanoseconds.
    public var upNs: UInt64
    /// Datagrams received.
    public var received: UInt64
    /// Datagrams sent.
    public var sent: UInt64
    /// Send calls' messages; `sent / messages` is the mean run that segmentation offload got.
    public var messages: UInt64
    /// Datagrams received, in bytes.
    public var receivedBytes: UInt64
    /// Datagrams sent, in bytes.
    public var sentBytes: UInt64
    /// Whether segmentation offload (UDP_SEGMENT) is in use.
    public var usesSegmentation: Bool
    /// Dropped packets by reason; reasons that never happened are left out.
    public var drops: [(reason: String, count: UInt64)]
}

/// The whole plane at one moment, at most a second old.
public struct PlaneSnapshot: Sendable {
    /// Every session that isn't closed.
    public var sessions: [SessionSnapshot]
    /// Every loop.
    public var loops: [LoopSnapshot]
}
