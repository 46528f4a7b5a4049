/// Why the RTP half drops a packet; what the transport drops has ``DropReason``.
package enum MediaDrop: Int, CaseIterable, Sendable {
    /// Longer than a receive slot.
    case truncated
    /// No track is known or found for the SSRC.
    case unknownSource
    case payloadType
    case duplicate
    /// Behind everything that could still place it.
    case tooOld
    /// Nothing but padding; its number was closed.
    case paddingOnly
    /// A retransmission without content, sent to probe for bandwidth.
    case probe
    /// Would not fit a datagram after rewriting.
    case oversized
    case codecMismatch
    /// Of a source that was replaced meanwhile.
    case staleSource
    case sendBufferFull
    case sendFailed
    /// A viewer asks again before its round trip is over, too often, or for more than its share.
    case resendLimited
    case resendUnavailable
    /// A publisher over ``MediaLimits/publisherPacketsPerSecond`` or its bytes.
    case publisherLimit
    /// Another loop or a recorder didn't keep up.
    case pipeFull
    /// A TCP connection beyond what one host, or all, may have; one that sent what is no packet.
    case tcpRefused
    case tcpMalformed
    /// A packet for a TCP connection whose peer reads too slowly.
    case tcpQueueFull
    /// Waited too long between two loops: this one has more to send than it can.
    case overload
    /// A viewer's path took so little that its video went on at the next keyframe.
    case viewerTooSlow
    /// A viewer's video was stopped because most of it was lost on the way.
    case viewerStopped
}

/// Counters of one loop; plain fields because one thread writes and reads them.
struct LoopCounters {
    var received: UInt64 = 0
    var receivedBytes: UInt64 = 0
    var busyNs: UInt64 = 0
    private var media = InlineArray<24, UInt64>(repeating: 0)
    private var transport = InlineArray<32, UInt64>(repeating: 0)

    @inline(__always)
    mutating func count(_ reason: MediaDrop, _ packets: UInt64 = 1) { media[reason.rawValue] &+= packets }

    @inline(__always)
    mutating func count(_ reason: DropReason) { transport[Int(reason.rawValue)] &+= 1 }

    /// Everything that happened, by name.
    var drops: [(reason: String, count: UInt64)] {
        var all: [(reason: String, count: UInt64)] = []
        for reason in DropReason.allCases where transport[Int(reason.rawValue)] > 0 {
            all.append(("\(reason)", transport[Int(reason.rawValue)]))
        }
        for reason in MediaDrop.allCases where media[reason.rawValue] > 0 {
            all.append(("\(reason)", media[reason.rawValue]))
        }
        return all
    }
}
