/// Numbers of the transport half, with where they come from. Times in nanoseconds.
package enum Limits {
    /// Ethernet MTU less IPv6 and UDP headers is 1452; what we build ourselves stays under ``dtlsDatagramBytes``.
    package static let datagramBytes = 1472
    /// Largest datagram we make of DTLS records: fits every path that carries IPv6's 1280.
    package static let dtlsDatagramBytes = 1200
    /// Datagrams one input can cause: a DTLS flight of at most 8, a STUN answer, a few probes; times a receive batch.
    package static let outputDatagrams = 64

    /// Remote addresses kept for one peer.
    static let pathsPerPeer = 8
    /// RFC 7675 section 5.1.
    package static let consentNs: UInt64 = 30 * secondNs
    /// A peer that never passes ICE is forgotten after this.
    package static let iceTimeoutNs: UInt64 = 30 * secondNs
    /// From the first valid check to the end of the DTLS handshake.
    package static let dtlsTimeoutNs: UInt64 = 20 * secondNs
    /// DTLS retransmission, first and longest, each half as long again as the one before: five repeats in the first 1.5 s, and OpenSSL's
    /// limit of twelve reaches to ``dtlsTimeoutNs``. OpenSSL's own first is a full second.
    static let dtlsFirstTimerUs: UInt32 = 100_000
    static let dtlsLastTimerUs: UInt32 = 4_000_000
    /// The flight that ends the handshake is repeated this often, so far apart.
    static let dtlsLastFlightRepeats = 3
    static let dtlsLastFlightNs: UInt64 = 60 * millisecondNs
    /// What a peer may make us read before the handshake is done; a slow one with every flight repeated needs a tenth.
    static let dtlsHandshakeBytes = 64 * 1024
    /// Datagrams and timeouts of one handshake that may wait for its step under way: a peer's longest flight, sent twice.
    static let dtlsEventsWaiting = 16
    /// Packets of media kept until a handshake under way has ended: the first frame of an encoder that sends it at once.
    static let heldDatagrams = 64
    /// How often a broken handshake may start again before the session ends.
    static let dtlsRestarts = 8
    /// Longest certificate chain read.
    static let dtlsCertificateBytes = 16 * 1024

    /// STUN requests answered per second and peer, and how many may come at once (50 ms pacing × 8 paths is 160/s).
    static let stunPerSecond: UInt64 = 200
    static let stunBurst: UInt64 = 200
    /// Requests looked at per second from addresses that are not the peer's yet and name both user fragments, which nobody but the peer
    /// should know: a microsecond each, so a thousandth of a core, and enough that a newcomer gets through a flood of five times as many
    /// within a few of its checks.
    static let stunCallersPerSecond: UInt64 = 1000
    static let stunCallersBurst: UInt64 = 200
    /// What an address may be sent before it is proven, in bytes on the wire for each byte received from it (as RFC 9000 section 8.1).
    static let unprovenFactor = 3
    /// And so much in any case, to the host that asked for the session: a flight of a handshake six times over, which is what a peer needs
    /// who sends one check, answers none (FFmpeg 8) and loses every third datagram.
    static let askedBytes = 6 * 1024
    /// The same to any other host, of a handshake that we have to begin: four hellos. FFmpeg 8 loses the first, and may have asked by IPv6 what
    /// it does by IPv4.
    static let beginningBytes = 1024
    /// IPv4 and UDP headers; with IPv6 both sides have 20 more, which allows more than it costs.
    static let datagramHeaderBytes = 28
    /// Datagrams of a handshake kept until their address may be sent them: one flight.
    static let withheldDatagrams = 8
    /// Between two checks of a controlling agent on a path not yet answered: at first, and after so many checks. With 30 % loss each way
    /// every second check fails, so backing off early would cost seconds.
    static let checkFirstNs: UInt64 = 100 * millisecondNs
    static let checkLastNs: UInt64 = 1000 * millisecondNs
    static let checksBeforeBackOff = 15
    /// Consent checks of a controlling agent, drawn between these (RFC 7675 section 5.1: 5 s times 0.8 to 1.2).
    static let consentCheckMinNs: UInt64 = 4000 * millisecondNs
    static let consentCheckMaxNs: UInt64 = 6000 * millisecondNs
    /// Until one that is not answered is repeated: less urgent than a first check, for a peer that has thousands to answer lets them gather.
    static let consentRepeatNs: UInt64 = 300 * millisecondNs
    /// A selected path silent for the first of these gives way to an address nominated for the first time, silent for the second (longer
    /// than the slowest keep-alive, 6 s) to any nominated one.
    static let pathSilentNs: UInt64 = 500 * millisecondNs
    static let pathDeadNs: UInt64 = 7000 * millisecondNs
    /// Who was heard from an address within this time keeps it: longer than consent checks lie apart (RFC 7675 section 5.1).
    static let addressKeptNs: UInt64 = 8 * secondNs
    /// Role conflicts that a full agent gives way in (RFC 8445 section 7.3.1.1); one is enough for honest peers.
    static let roleSwitches = 3
    /// Between two probes of a new address.
    static let probeIntervalNs: UInt64 = 200 * millisecondNs
    /// Probes sent to a new address before it must speak again.
    static let probesPerRequest = 2
    /// The same for an address known by media alone: until the peer's next check, which browsers send within 2.5 s, it is asked for a second.
    static let probesPerMove = 5
    /// How far a packet from an unknown address may be ahead of its source to be looked at: a second of packets, a minute of reports.
    static let packetsAhead: UInt64 = 1024
    static let reportsAhead: UInt64 = 64

    /// Distinct SSRCs a peer may send in one session: simulcast × RTX × FEC for several tracks is under 20. An encoder that begins anew under
    /// others so often that these are used up has its session ended.
    static let ssrcsPerPeer = 32
    /// Packets; a second of 1000 pkt/s (RFC 3711 section 3.3.2 wants at least 64).
    static let replayWindow = 1024
    /// SRTP trailer: 16-byte tag, SRTCP word.
    package static let srtpTrailerBytes = 20

    static let millisecondNs: UInt64 = 1_000_000
    static let secondNs: UInt64 = 1_000_000_000
}
