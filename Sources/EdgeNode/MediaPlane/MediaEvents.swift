/// Where a session stands.
public enum SessionState: Sendable, Equatable {
    /// Known, nothing proven yet.
    case new
    /// DTLS is done and media may flow.
    case connected
    /// Over; the handle is dead.
    case closed(CloseReason)
}

/// Why a session ended.
public enum CloseReason: String, Sendable, Equatable {
    /// ``MediaPlane/remove(_:)`` or shutdown.
    case removed
    /// The peer said so: DTLS close_notify, or RTCP BYE for everything it sent.
    case closedByPeer
    /// No authenticated packet for the consent time (RFC 7675 §5.1).
    case consentLost
    /// ICE or DTLS didn't finish in time.
    case setupTimeout
    /// The DTLS handshake failed, or the certificate didn't match the fingerprint.
    case handshakeFailed
    /// The peer has begun under more SSRCs than are kept apart in one DTLS session (RFC 3711 §3.3.2).
    case tooManySources
}

/// What the control plane wants to know. Delivered through ``MediaPlane/events`` in the order things happened on each loop.
public enum MediaEvent: Sendable {
    /// A session connected or closed. After `.closed` nothing more comes for it.
    case sessionState(SessionHandle, session: String, SessionState)
    /// The first packet of a publisher's track arrived.
    case firstMedia(StreamKey, session: String, TrackKind)
    /// What the codec's own headers say, as opposed to the SDP: `profile_idc`, constraint flags and `level_idc` of the
    /// first H.264 SPS, and of each that differs from it, as three bytes 0xPPCCLL.
    case h264Profile(StreamKey, session: String, profileLevelID: UInt32)
}
