/// Why a datagram went no further; every drop has one (RFC 7983 demultiplexing up to SRTP).
package enum DropReason: UInt8, CaseIterable, Sendable {
    case empty
    case unknownProtocol
    case unknownSession
    case unvalidatedPath
    case closed
    case stunMalformed
    case stunUnauthenticated
    case stunRateLimited
    case stunUnexpected
    case dtlsMalformed
    case dtlsUnexpected
    case dtlsRateLimited
    /// More than a handshake can have on its way while an earlier part of it is being worked on.
    case dtlsBacklog
    case notConnected
    case rtpMalformed
    case rtcpMalformed
    case srtpAuthentication
    case srtpReplay
    case srtpTooManySources
}

/// One counter per ``DropReason``; plain fields, owned by one loop.
package struct DropCounters: Sendable {
    private var counts = [UInt64](repeating: 0, count: DropReason.allCases.count)

    package init() {}

    /// Number of drops for one reason.
    package subscript(reason: DropReason) -> UInt64 { counts[Int(reason.rawValue)] }
    /// All drops together.
    package var total: UInt64 { counts.reduce(0, &+) }
    /// Counts one drop.
    package mutating func count(_ reason: DropReason) { counts[Int(reason.rawValue)] &+= 1 }
}

/// What a datagram is, told by its first byte (RFC 7983 section 7, RFC 5761 section 4).
package enum DatagramKind: Equatable, Sendable {
    case stun
    case dtls
    case rtp
    case rtcp
    case unknown

    /// Looks at two bytes only; shorter datagrams are unknown.
    @inline(__always)
    package init(_ datagram: UnsafeRawBufferPointer) {
        guard datagram.count >= 2 else {
            self = .unknown
            return
        }
        switch datagram[0] {
        case 0...3: self = .stun
        case 20...63: self = .dtls
        case 128...191: self = (192...223).contains(datagram[1]) ? .rtcp : .rtp
        default: self = .unknown
        }
    }
}
