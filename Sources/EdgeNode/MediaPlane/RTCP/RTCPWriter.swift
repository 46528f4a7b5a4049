/// Builds a compound packet in a buffer of the caller's; what finds no room is left out and reported as false.
struct RTCPWriter {
    private let start: UnsafeMutableRawPointer
    private let capacity: Int
    private(set) var count = 0

    /// - Parameter capacity: bytes at `buffer`.
    init(_ buffer: UnsafeMutableRawPointer, capacity: Int = MediaLimits.datagramBytesMax - 24) {
        start = buffer
        self.capacity = capacity
    }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }

    /// Room for a packet with this body, its header written; the place of the body.
    private mutating func open(type: UInt8, count field: UInt8, body: Int) -> UnsafeMutableRawPointer? {
        guard body >= 0, body & 3 == 0, count + 4 + body <= capacity else { return nil }
        let place = start + count
        place.storeByte(0x80 | field & 0x1F, at: 0)
        place.storeByte(type, at: 1)
        place.storeBigEndian(UInt16(truncatingIfNeeded: body / 4), at: 2)
        count += 4 + body
        return place + 4
    }

    /// RFC 3550 §6.4.1, without report blocks.
    @discardableResult
    mutating func senderReport(_ report: SenderReport) -> Bool {
        guard let body = open(type: RTCPPacket.senderReport, count: 0, body: 24) else { return false }
        body.storeBigEndian(report.ssrc, at: 0)
        body.storeBigEndian(report.ntp, at: 4)
        body.storeBigEndian(report.timestamp, at: 12)
        body.storeBigEndian(report.packets, at: 16)
        body.storeBigEndian(report.octets, at: 20)
        return true
    }

    /// RFC 3550 §6.4.2; `block(i)` gives each of `blocks`, at most 31.
    @discardableResult
    mutating func receiverReport(sender: UInt32, blocks: Int, _ block: (Int) -> ReportBlock) -> Bool {
        let blocks = min(blocks, 31)
        let size = 4 + blocks * ReportBlock.bytes
        guard let body = open(type: RTCPPacket.receiverReport, count: UInt8(blocks), body: size) else { return false }
        body.storeBigEndian(sender, at: 0)
        for index in 0..<blocks {
            let value = block(index)
            let at = 4 + index * ReportBlock.bytes
            body.storeBigEndian(value.ssrc, at: at)
            let lost = UInt32(bitPattern: value.cumulativeLost) & 0x00FF_FFFF
            body.storeBigEndian(UInt32(value.fractionLost) << 24 | lost, at: at + 4)
            body.storeBigEndian(value.highestSequence, at: at + 8)
            body.storeBigEndian(value.jitter, at: at + 12)
            body.storeBigEndian(value.lastReport, at: at + 16)
            body.storeBigEndian(value.delaySinceLastReport, at: at + 20)
        }
        return true
    }

    /// SDES with one chunk and CNAME (RFC 3550 §6.5); the name is cut at 255 bytes.
    @discardableResult
    mutating func sourceDescription(ssrc: UInt32, cname: UnsafeRawBufferPointer) -> Bool {
        let length = min(cname.count, 255)
        // SSRC, item header, text, and at least one zero byte up to the next word.
        let size = (4 + 2 + length + 1 + 3) & ~3
        guard let body = open(type: RTCPPacket.sourceDescription, count: 1, body: size) else { return false }
        body.storeBigEndian(ssrc, at: 0)
        body.storeByte(1, at: 4)
        body.storeByte(UInt8(length), at: 5)
        if let base = cname.baseAddress { (body + 6).copyMemory(from: base, byteCount: length) }
        (body + 6 + length).initializeMemory(as: UInt8.self, repeating: 0, count: size - 6 - length)
        return true
    }

    /// RFC 3550 §6.6 for one source, no reason.
    @discardableResult
    mutating func goodbye(ssrc: UInt32) -> Bool {
        guard let body = open(type: RTCPPacket.goodbye, count: 1, body: 4) else { return false }
        body.storeBigEndian(ssrc, at: 0)
        return true
    }

    private mutating func feedback(_ type: UInt8, _ format: UInt8, _ sender: UInt32, _ media: UInt32, items: Int)
        -> UnsafeMutableRawPointer?
    {
        guard let body = open(type: type, count: format, body: 8 + items) else { return nil }
        body.storeBigEndian(sender, at: 0)
        body.storeBigEndian(media, at: 4)
        return body + 8
    }

    /// Generic NACK for sorted sequence numbers, packed into as few items as they allow (RFC 4585 §6.2.1).
    @discardableResult
    mutating func nack(sender: UInt32, media: UInt32, sequences: UnsafeBufferPointer<UInt16>) -> Bool {
        guard !sequences.isEmpty else { return true }
        var items = 0
        var last = sequences[0]
        for index in 0..<sequences.count where index == 0 || sequences[index] &- last > 16 {
            last = sequences[index]
            items += 1
        }
        let body = feedback(RTCPPacket.transportFeedback, 1, sender, media, items: 4 * items)
        guard let body else { return false }
        var item = -1
        var mask: UInt16 = 0
        var first: UInt16 = 0
        for index in 0..<sequences.count {
            let sequence = sequences[index]
            let distance = sequence &- first
            if item >= 0, distance <= 16 {
                if distance > 0 { mask |= 1 << (distance - 1) }
            } else {
                item += 1
                first = sequence
                mask = 0
            }
            body.storeBigEndian(first, at: 4 * item)
            body.storeBigEndian(mask, at: 4 * item + 2)
        }
        return true
    }

    /// Picture loss indication (RFC 4585 §6.3.1).
    @discardableResult
    mutating func pictureLoss(sender: UInt32, media: UInt32) -> Bool {
        feedback(RTCPPacket.payloadFeedback, 1, sender, media, items: 0) != nil
    }

    /// Full intra request for one source; its media source field is zero by rule (RFC 5104 §4.3.1.2).
    @discardableResult
    mutating func fullIntra(sender: UInt32, target: UInt32, number: UInt8) -> Bool {
        guard let body = feedback(RTCPPacket.payloadFeedback, 4, sender, 0, items: 8) else { return false }
        body.storeBigEndian(target, at: 0)
        body.storeBigEndian(UInt32(number) << 24, at: 4)
        return true
    }

    /// Receiver estimated maximum bitrate over up to eight sources (draft-alvestrand-rmcat-remb-03 §2.2).
    @discardableResult
    mutating func estimatedBitrate(sender: UInt32, bitsPerSecond: UInt64, sources: UnsafeBufferPointer<UInt32>) -> Bool {
        let sourceCount = min(sources.count, 8)
        let items = 8 + 4 * sourceCount
        guard let body = feedback(RTCPPacket.payloadFeedback, 15, sender, 0, items: items) else { return false }
        var mantissa = bitsPerSecond
        var exponent: UInt32 = 0
        while mantissa > 0x3FFFF {
            mantissa >>= 1
            exponent += 1
        }
        body.storeBigEndian(UInt32(0x5245_4D42), at: 0)
        body.storeBigEndian(UInt32(sourceCount) << 24 | exponent << 18 | UInt32(mantissa), at: 4)
        for index in 0..<sourceCount { body.storeBigEndian(sources[index], at: 8 + 4 * index) }
        return true
    }

    /// Room for a transport-wide feedback body of `items` bytes (a multiple of four) that `fill` writes.
    @discardableResult
    mutating func transportCC(sender: UInt32, media: UInt32, items: Int, _ fill: (UnsafeMutableRawPointer) -> Void) -> Bool {
        guard let body = feedback(RTCPPacket.transportFeedback, 15, sender, media, items: items) else { return false }
        fill(body)
        return true
    }
}
