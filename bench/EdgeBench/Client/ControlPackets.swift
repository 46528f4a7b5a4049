/// The RTCP a client writes and reads (RFC 3550 section 6, RFC 4585 section 6), over plain byte arrays.
enum ControlPackets {
    /// Big-endian appends.
    private struct Builder {
        var bytes: [UInt8] = []
        mutating func u16(_ value: UInt16) { bytes += [UInt8(value >> 8), UInt8(value & 0xFF)] }
        mutating func u32(_ value: UInt32) {
            u16(UInt16(value >> 16))
            u16(UInt16(value & 0xFFFF))
        }
        mutating func header(count: Int, type: UInt8, words: Int) {
            bytes += [0x80 | UInt8(count & 31), type]
            u16(UInt16(words))
        }
        mutating func sourceDescription(_ ssrc: UInt32, _ cname: String) {
            let name = Array(cname.utf8.prefix(255))
            // SSRC, the item's two bytes and its text, then one to four zero bytes.
            let words = 1 + (2 + name.count + 4) / 4
            header(count: 1, type: 202, words: words)
            u32(ssrc)
            bytes += [1, UInt8(name.count)] + name
            bytes += [UInt8](repeating: 0, count: words * 4 - 4 - 2 - name.count)
        }
    }

    /// A sender report with CNAME. `ntp` is 32.32 fixed point since 1900.
    static func senderReport(ssrc: UInt32, cname: String, ntp: UInt64, timestamp: UInt32, packets: UInt32, octets: UInt32)
        -> [UInt8]
    {
        var out = Builder()
        out.header(count: 0, type: 200, words: 6)
        out.u32(ssrc)
        out.u32(UInt32(ntp >> 32))
        out.u32(UInt32(truncatingIfNeeded: ntp))
        out.u32(timestamp)
        out.u32(packets)
        out.u32(octets)
        out.sourceDescription(ssrc, cname)
        return out.bytes
    }

    /// What a receiver says of one source.
    struct Report {
        var ssrc: UInt32
        var fractionLost: UInt8
        var lost: Int
        var highest: UInt32
        var lastSenderReport: UInt32
        var delay: UInt32
    }

    static func receiverReport(ssrc: UInt32, cname: String, reports: [Report]) -> [UInt8] {
        var out = Builder()
        let reports = reports.prefix(31)
        out.header(count: reports.count, type: 201, words: 1 + 6 * reports.count)
        out.u32(ssrc)
        for report in reports {
            out.u32(report.ssrc)
            out.u32(UInt32(report.fractionLost) << 24 | UInt32(max(0, min(report.lost, 0x7F_FFFF))))
            out.u32(report.highest)
            out.u32(0)
            out.u32(report.lastSenderReport)
            out.u32(report.delay)
        }
        out.sourceDescription(ssrc, cname)
        return out.bytes
    }

    static func pictureLoss(from ssrc: UInt32, of media: UInt32) -> [UInt8] {
        var out = Builder()
        out.header(count: 1, type: 206, words: 2)
        out.u32(ssrc)
        out.u32(media)
        return out.bytes
    }

    /// A generic NACK for sequence numbers in rising order, packed as base and bit mask.
    static func nack(from ssrc: UInt32, of media: UInt32, missing: [UInt16]) -> [UInt8] {
        var pairs: [(base: UInt16, mask: UInt16)] = []
        for sequence in missing {
            if let last = pairs.indices.last, (1...16).contains(sequence &- pairs[last].base) {
                pairs[last].mask |= 1 << (sequence &- pairs[last].base &- 1)
            } else {
                pairs.append((sequence, 0))
            }
        }
        var out = Builder()
        out.header(count: 1, type: 205, words: 2 + pairs.count)
        out.u32(ssrc)
        out.u32(media)
        for pair in pairs {
            out.u16(pair.base)
            out.u16(pair.mask)
        }
        return out.bytes
    }

    static func bye(_ ssrc: UInt32) -> [UInt8] {
        var out = Builder()
        out.header(count: 1, type: 203, words: 1)
        out.u32(ssrc)
        return out.bytes
    }

    /// What a client cares about in what comes in.
    enum Incoming {
        case nack(media: UInt32, missing: [UInt16])
        case keyframeRequest
        case senderReport(ssrc: UInt32, middleNTP: UInt32)
        case bye
        case other
    }

    /// Walks a compound packet; stops at the first part that does not fit.
    static func parse(_ bytes: UnsafeRawBufferPointer, _ body: (Incoming) -> Void) {
        func u16(_ at: Int) -> UInt16 { UInt16(bytes[at]) << 8 | UInt16(bytes[at + 1]) }
        func u32(_ at: Int) -> UInt32 { UInt32(u16(at)) << 16 | UInt32(u16(at + 2)) }
        var offset = 0
        while bytes.count - offset >= 4, bytes[offset] >> 6 == 2 {
            let length = 4 * (Int(u16(offset + 2)) + 1)
            guard length <= bytes.count - offset else { return }
            let format = bytes[offset] & 31
            switch (bytes[offset + 1], format) {
            case (205, 1) where length >= 12:
                var missing: [UInt16] = []
                for pair in stride(from: offset + 12, to: offset + length - 3, by: 4) {
                    missing.append(u16(pair))
                    for bit in UInt16(0)..<16 where u16(pair + 2) >> bit & 1 == 1 { missing.append(u16(pair) &+ bit &+ 1) }
                }
                body(.nack(media: u32(offset + 8), missing: missing))
            case (206, 1), (206, 4): body(.keyframeRequest)
            case (200, _) where length >= 28:
                body(.senderReport(ssrc: u32(offset + 4), middleNTP: u32(offset + 8) << 16 | u32(offset + 12) >> 16))
            case (203, _): body(.bye)
            default: body(.other)
            }
            offset += length
        }
    }
}
