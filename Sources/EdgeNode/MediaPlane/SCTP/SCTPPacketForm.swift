/// Looks over a packet before usrsctp sees it (RFC 9260 section 3).
///
/// usrsctp 0.9.5 walks the parameters of an INIT to the packet's end by the lengths they name, and never gets there when one is 0. So
/// every length is looked at here, and chunks that WebRTC has no use for go no further.
enum SCTPPacketForm {
    private static let headerBytes = 12
    private static let initiation: UInt8 = 1
    private static let initiationAcknowledgement: UInt8 = 2
    /// Where the parameters or causes of a chunk begin; -1 for chunks without.
    private static let parametersAt: [UInt8: Int] = [
        0: -1,  // DATA
        initiation: 20, initiationAcknowledgement: 20,
        3: -1,  // SACK
        4: 4, 5: 4,  // HEARTBEAT and its answer
        6: 4, 9: 4,  // ABORT, ERROR
        7: -1, 8: -1, 14: -1,  // SHUTDOWN, SHUTDOWN ACK, SHUTDOWN COMPLETE
        10: -1, 11: -1,  // COOKIE ECHO, COOKIE ACK
        130: 4,  // RE-CONFIG (RFC 6525)
        132: -1,  // PAD (RFC 4820)
        192: -1,  // FORWARD TSN (RFC 3758)
    ]

    /// Whether chunks and parameters fill the packet as they say.
    static func isSound(_ packet: Span<UInt8>) -> Bool {
        guard packet.count >= headerBytes + 4 else { return false }
        var at = headerBytes
        while at + 4 <= packet.count {
            let type = packet[at]
            let end = at + Int(packet.be16(at + 2))
            guard end >= at + 4, end <= packet.count, let parameters = parametersAt[type] else { return false }
            let next = at + padded(end - at)
            // These stand alone (section 6.10), and what is read as their parameters reaches to the packet's end.
            let isAlone = type == initiation || type == initiationAcknowledgement
            guard !isAlone || at == headerBytes && next >= packet.count else { return false }
            guard parameters < 0 || hasSoundParameters(packet, from: at + parameters, to: end) else { return false }
            at = next
        }
        return true
    }

    private static func hasSoundParameters(_ packet: Span<UInt8>, from start: Int, to end: Int) -> Bool {
        guard start <= end else { return false }
        var at = start
        while at + 4 <= end {
            let length = Int(packet.be16(at + 2))
            guard length >= 4, at + length <= end else { return false }
            at += padded(length)
        }
        // What is left over would be read together with the padding.
        return at >= end
    }

    private static func padded(_ length: Int) -> Int { (length + 3) & ~3 }
}
