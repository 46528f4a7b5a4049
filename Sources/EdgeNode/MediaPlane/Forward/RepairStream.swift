/// Retransmissions of one viewer's track: a source of its own with numbers of its own (RFC 4588 §4).
///
/// Every packet sent on it gets a fresh number, so its header may tell what only holds now, and no AES-GCM nonce of it ever
/// meets two plaintexts (RFC 7714 §8.1).
struct RepairStream {
    let ssrc: UInt32
    /// Rollover counter and number of the last packet sent; one below the first before that.
    private var last: UInt64
    /// Packets sent so far.
    private(set) var packets: UInt64 = 0
    /// Their payloads, original numbers included (RFC 3550 §6.4.1).
    private(set) var octets: UInt64 = 0

    /// The original sequence number, in front of the payload (RFC 4588 §4).
    static let originalBytes = 2

    /// - Parameter initial: the first number; its top bit is left out, so that early loss can't upset the peer's rollover
    ///   counter (RFC 3711 §3.3.1).
    init(ssrc: UInt32, initial: UInt16) {
        self.ssrc = ssrc
        last = UInt64(initial & 0x7FFF) &- 1
    }

    /// A retransmission with this payload went out.
    mutating func countSent(octets: Int) { self.octets &+= UInt64(octets) }

    /// The number of the next packet, which must be sent under it or not at all; never the same twice.
    mutating func nextSequence() -> UInt64 {
        last &+= 1
        packets &+= 1
        return last
    }
}
