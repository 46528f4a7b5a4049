/// What became of one datagram.
package enum Received: Equatable, Sendable {
    /// STUN or DTLS, dealt with; there may be output.
    case none
    /// A plain RTP packet of `count` bytes now stands at the start of the buffer.
    case rtp(count: Int)
    /// A plain compound RTCP packet of `count` bytes now stands at the start of the buffer.
    case rtcp(count: Int)
    case dropped(DropReason)
}

/// One peer's ICE, DTLS and SRTP as a sans-IO machine: bytes and time in, datagrams out.
///
/// Owned by one loop; no locks, no clock, no sockets. The loop finds the transport of a datagram: STUN by the local ufrag in USERNAME
/// (``stunLocalUfrag(_:_:)``), the rest by source address; ``paths`` are the addresses to route here, and ``pathGeneration`` changes with them.
package final class PeerTransport {
    package private(set) var state: TransportState = .new
    /// Where media goes: set once the return path is proven by the DTLS handshake, follows later proven moves.
    package private(set) var selectedAddress: SocketAddress?
    /// When ``handleTimeout(now:output:)`` wants to be called; `UInt64.max` when never.
    package private(set) var nextDeadlineNs: UInt64 = .max
    /// Changes whenever ``paths`` does.
    package private(set) var pathGeneration: UInt32 = 0
    /// Addresses that passed ICE, at most eight.
    package var paths: [SocketAddress] { [] }
    /// The negotiated profile; nil before ``TransportState/connected``.
    package private(set) var profile: SRTPProfile?
    /// Monotonic time of the last authenticated packet from the peer; for stale-publisher rules.
    package private(set) var lastHeardNs: UInt64 = 0

    /// - Throws: ``TransportError`` when OpenSSL cannot set up a session or no fingerprint is usable.
    package init(settings: TransportSettings, now: UInt64) throws(TransportError) {}

    /// Handles a datagram from `from`, writable in place: RTP and RTCP are authenticated and decrypted where they stand.
    package func receive(
        _ datagram: UnsafeMutableRawBufferPointer, from: SocketAddress, now: UInt64, output: inout TransportOutput
    ) -> Received { .none }

    /// Does what is due: retransmission, consent, expiry. Cheap when nothing is.
    package func handleTimeout(now: UInt64, output: inout TransportOutput) {}

    /// Starts a controlling agent's checks at once; a lite agent waits for its peer.
    package func start(now: UInt64, output: inout TransportOutput) {}

    /// Writes one whole SRTP packet to `into`, encrypting straight from `payload`; returns its length, 0 when not connected.
    ///
    /// The caller guarantees room for header + payload + ``Limits/srtpTrailerBytes`` and never uses an (SSRC, extended sequence) twice
    /// with different bytes. No allocation, no lock, nothing retained.
    /// - Parameters:
    ///   - header: RTP header with CSRCs and extension; authenticated, not encrypted.
    ///   - extendedSequence: rollover counter and sequence number, ROC << 16 | seq.
    @inline(__always)
    package func protectRTP(
        header: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer, extendedSequence: UInt64,
        into: UnsafeMutableRawPointer
    ) -> Int { 0 }

    /// Writes one whole SRTCP packet to `into`, which has room for the packet + ``Limits/srtpTrailerBytes``; 0 when not connected.
    package func protectRTCP(_ packet: UnsafeRawBufferPointer, into: UnsafeMutableRawPointer) -> Int { 0 }

    /// New credentials of an ICE restart (RFC 8445 section 9); the old ones stay valid until the first check with the new.
    package func restartICE(local: ICECredentialPair, remote: ICECredentialPair, now: UInt64) {}

    /// More candidates of the peer, for a controlling agent.
    package func addRemoteCandidates(_ candidates: [SocketAddress], now: UInt64) {}

    /// Sends close_notify and ends.
    package func close(output: inout TransportOutput) {}

    /// The local ufrag a STUN request is addressed to: the part of USERNAME before the colon (RFC 8445 section 7.2.2).
    ///
    /// `body` gets the ufrag bytes inside `datagram`, or is not called and nil returned for anything that is no well-formed request with USERNAME.
    package static func stunLocalUfrag<Result>(
        _ datagram: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result? { nil }
}
