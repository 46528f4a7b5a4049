/// The whole per-packet path of the node: sockets, ICE, DTLS, SRTP, RTP, RTCP, forwarding, on one thread for each core.
///
/// Knows no SDP and no HTTP: the control plane hands it plain values and gets events back. All methods may be called from any thread.
public final class MediaPlane: Sendable {
    /// Session states, first packets, codec facts. One consumer only.
    public let events: AsyncStream<MediaEvent>
    /// SHA-256 of our DTLS certificate, for `a=fingerprint`.
    public let fingerprint: [UInt8]

    /// Binds the sockets and starts the threads.
    ///
    /// - Throws: ``MediaPlaneError/portInUse(_:)`` with the port that is taken, or what else the system refused.
    public init(_ settings: MediaSettings) throws(MediaPlaneError) {
        events = AsyncStream { $0.finish() }
        fingerprint = []
    }

    /// How many loops there are.
    public var loopCount: Int { 0 }

    /// Where peers reach a loop: one pair for each announced address, IPv4 first (RFC 8445 §5.1.1 host candidates).
    public func candidates(loop: Int) -> [(address: String, port: UInt16)] { [] }

    /// Adds a publisher. STUN for its ufrag is answered from before this returns.
    ///
    /// - Throws: ``MediaPlaneError/publisherExists`` when the stream has one; it must be removed first.
    public func addPublisher(_ spec: PublisherSpec) async throws(MediaPlaneError) -> SessionHandle { throw .stopped }

    /// Adds a viewer; the stream needs no publisher yet.
    public func addViewer(_ spec: ViewerSpec) async throws(MediaPlaneError) -> SessionHandle { throw .stopped }

    /// New ICE credentials for a session, for an ICE restart (RFC 8445 §9): media goes on, both sets are valid until the peer uses the new.
    public func restartICE(
        _ session: SessionHandle, localUfrag: String, localPassword: String, remoteUfrag: String, remotePassword: String
    ) async throws(MediaPlaneError) { throw .noSession }

    /// Ends a session: RTCP BYE, DTLS close_notify, and gone when this returns. Removing one that is gone does nothing.
    public func remove(_ session: SessionHandle) async {}

    /// Opens a reader on everything the stream's publishers send, now and later.
    public func tap(stream: StreamKey) async throws(MediaPlaneError) -> StreamTap { throw .stopped }

    /// Asks the stream's publisher for a keyframe; requests are joined and spaced out (RFC 4585 §6.3.1, RFC 5104 §4.3.1).
    public func requestKeyframe(stream: StreamKey) {}

    /// Numbers about every session and loop, as each loop last published them (once a second).
    public func snapshot() async -> PlaneSnapshot { PlaneSnapshot(sessions: [], loops: []) }

    /// Fresh numbers about one session; nil when it is gone.
    public func snapshot(of session: SessionHandle) async -> SessionSnapshot? { nil }

    /// Says goodbye to every peer, ends every session and stops the threads. Later calls of other methods throw or do nothing.
    public func shutdown() async {}
}
