/// One packet of a compound (RFC 3550 §6.4.1): its fixed fields and where its body lies.
struct RTCPPacket: Equatable {
    /// Report count, source count or feedback message type.
    var count: UInt8
    var type: UInt8
    /// Where the bytes after the common header begin.
    var bodyOffset: Int
    /// Bytes of the body, padding removed.
    var bodyCount: Int

    static let senderReport: UInt8 = 200
    static let receiverReport: UInt8 = 201
    static let sourceDescription: UInt8 = 202
    static let goodbye: UInt8 = 203
    static let transportFeedback: UInt8 = 205
    static let payloadFeedback: UInt8 = 206
}

/// Walks a compound packet by its length words. The first one that doesn't fit ends the walk; those before it count.
struct RTCPReader {
    private var offset = 0

    mutating func next(in bytes: Span<UInt8>) -> RTCPPacket? {
        guard offset + 4 <= bytes.count else { return nil }
        let first = bytes[offset]
        let length = 4 * (Int(bytes.bigEndian16(at: offset + 2)) + 1)
        guard first >> 6 == 2, offset + length <= bytes.count else { return nil }
        var packet = RTCPPacket(
            count: first & 0x1F, type: bytes[offset + 1], bodyOffset: offset + 4, bodyCount: length - 4)
        if first & 0x20 != 0 {
            // Padding is allowed on the last packet only (RFC 3550 §6.4.1).
            guard offset + length == bytes.count, packet.bodyCount > 0 else { return nil }
            let padding = Int(bytes[offset + length - 1])
            guard padding > 0, padding <= packet.bodyCount else { return nil }
            packet.bodyCount -= padding
        }
        offset += length
        return packet
    }
}

/// A sender report's own part (RFC 3550 §6.4.1).
struct SenderReport: Equatable {
    var ssrc: UInt32
    /// 32.32 fixed point seconds since 1900.
    var ntp: UInt64
    var timestamp: UInt32
    var packets: UInt32
    var octets: UInt32

    /// Nil when the packet is too short for it.
    init?(_ packet: RTCPPacket, in bytes: Span<UInt8>) {
        guard packet.type == RTCPPacket.senderReport, packet.bodyCount >= 24 else { return nil }
        let at = packet.bodyOffset
        self.init(
            ssrc: bytes.bigEndian32(at: at), ntp: bytes.bigEndian64(at: at + 4), timestamp: bytes.bigEndian32(at: at + 12),
            packets: bytes.bigEndian32(at: at + 16), octets: bytes.bigEndian32(at: at + 20))
    }

    init(ssrc: UInt32, ntp: UInt64, timestamp: UInt32, packets: UInt32, octets: UInt32) {
        self.ssrc = ssrc
        self.ntp = ntp
        self.timestamp = timestamp
        self.packets = packets
        self.octets = octets
    }
}

/// One block of a sender or receiver report (RFC 3550 §6.4.1).
struct ReportBlock: Equatable {
    var ssrc: UInt32
    /// Of 256.
    var fractionLost: UInt8
    /// 24-bit signed.
    var cumulativeLost: Int32
    var highestSequence: UInt32
    var jitter: UInt32
    /// Middle 32 bits of the NTP time of the last sender report; 0 without one.
    var lastReport: UInt32
    /// Since then, in 1/65536 s.
    var delaySinceLastReport: UInt32

    static let bytes = 24

    /// Block `index` of a report; nil past the count or the end.
    init?(_ index: Int, of packet: RTCPPacket, in bytes: Span<UInt8>) {
        let fixed = packet.type == RTCPPacket.senderReport ? 24 : 4
        let offset = fixed + index * Self.bytes
        guard packet.type == RTCPPacket.senderReport || packet.type == RTCPPacket.receiverReport,
            index >= 0, index < Int(packet.count), offset + Self.bytes <= packet.bodyCount
        else { return nil }
        let at = packet.bodyOffset + offset
        let lost = bytes.bigEndian32(at: at + 4)
        self.init(
            ssrc: bytes.bigEndian32(at: at), fractionLost: UInt8(truncatingIfNeeded: lost >> 24),
            cumulativeLost: Int32(bitPattern: lost << 8) >> 8, highestSequence: bytes.bigEndian32(at: at + 8),
            jitter: bytes.bigEndian32(at: at + 12), lastReport: bytes.bigEndian32(at: at + 16),
            delaySinceLastReport: bytes.bigEndian32(at: at + 20))
    }

    init(
        ssrc: UInt32, fractionLost: UInt8, cumulativeLost: Int32, highestSequence: UInt32, jitter: UInt32,
        lastReport: UInt32, delaySinceLastReport: UInt32
    ) {
        self.ssrc = ssrc
        self.fractionLost = fractionLost
        self.cumulativeLost = cumulativeLost
        self.highestSequence = highestSequence
        self.jitter = jitter
        self.lastReport = lastReport
        self.delaySinceLastReport = delaySinceLastReport
    }
}

/// A feedback packet's common part (RFC 4585 §6.1).
struct FeedbackHeader: Equatable {
    enum Kind: Equatable {
        case nack, pictureLoss, fullIntra, estimatedBitrate, transportCC
        case other
    }

    var kind: Kind
    var sender: UInt32
    var media: UInt32
    var itemsOffset: Int
    var itemsCount: Int

    /// Nil for other packet types and ones too short.
    init?(_ packet: RTCPPacket, in bytes: Span<UInt8>) {
        guard packet.type == RTCPPacket.transportFeedback || packet.type == RTCPPacket.payloadFeedback,
            packet.bodyCount >= 8
        else { return nil }
        switch (packet.type, packet.count) {
        case (RTCPPacket.transportFeedback, 1): kind = .nack
        case (RTCPPacket.transportFeedback, 15): kind = .transportCC
        case (RTCPPacket.payloadFeedback, 1): kind = .pictureLoss
        case (RTCPPacket.payloadFeedback, 4): kind = .fullIntra
        case (RTCPPacket.payloadFeedback, 15): kind = .estimatedBitrate
        default: kind = .other
        }
        sender = bytes.bigEndian32(at: packet.bodyOffset)
        media = bytes.bigEndian32(at: packet.bodyOffset + 4)
        itemsOffset = packet.bodyOffset + 8
        itemsCount = packet.bodyCount - 8
    }

    /// Item `index` of a NACK: first lost sequence number and a mask of the sixteen after it (RFC 4585 §6.2.1).
    func nackItem(_ index: Int, in bytes: Span<UInt8>) -> (first: UInt16, mask: UInt16)? {
        guard kind == .nack, index >= 0, 4 * index + 4 <= itemsCount else { return nil }
        let at = itemsOffset + 4 * index
        return (bytes.bigEndian16(at: at), bytes.bigEndian16(at: at + 2))
    }

    /// Entry `index` of a full intra request: whose, and its command number (RFC 5104 §4.3.1.1).
    func fullIntraItem(_ index: Int, in bytes: Span<UInt8>) -> (ssrc: UInt32, number: UInt8)? {
        guard kind == .fullIntra, index >= 0, 8 * index + 8 <= itemsCount else { return nil }
        let at = itemsOffset + 8 * index
        return (bytes.bigEndian32(at: at), bytes[at + 4])
    }

    /// Bitrate of a receiver estimate in bit/s, saturated; nil when it isn't one (draft-alvestrand-rmcat-remb-03 §2.2).
    func estimatedBitrate(in bytes: Span<UInt8>) -> UInt64? {
        guard kind == .estimatedBitrate, itemsCount >= 8, bytes.bigEndian32(at: itemsOffset) == 0x5245_4D42 else { return nil }
        let word = bytes.bigEndian32(at: itemsOffset + 4) & 0x00FF_FFFF
        let exponent = UInt64(word >> 18)
        let mantissa = UInt64(word & 0x3FFFF)
        return exponent > 45 ? .max : mantissa << exponent
    }
}
