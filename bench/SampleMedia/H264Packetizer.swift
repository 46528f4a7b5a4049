/// Cuts an access unit into RTP payloads in non-interleaved mode (RFC 6184 section 6.3): small units together in STAP-A,
/// large ones apart in FU-A.
package enum H264Packetizer {
    /// What leaves room for headers on every path.
    package static let payloadLimit = 1160

    package static func payloads(_ units: [[UInt8]], limit: Int) -> [[UInt8]] {
        var payloads: [[UInt8]] = []
        var small: [[UInt8]] = []
        var smallBytes = 1
        func flush() {
            if small.count == 1 {
                payloads.append(small[0])
            } else if small.count > 1 {
                payloads.append(aggregate(small))
            }
            small = []
            smallBytes = 1
        }
        for unit in units where !unit.isEmpty {
            if unit.count > limit {
                flush()
                payloads += fragments(unit, limit: limit)
                continue
            }
            if smallBytes + 2 + unit.count > limit { flush() }
            small.append(unit)
            smallBytes += 2 + unit.count
        }
        flush()
        return payloads
    }

    private static func aggregate(_ units: [[UInt8]]) -> [UInt8] {
        let importance = units.map { $0[0] & 0x60 }.max() ?? 0
        var payload: [UInt8] = [importance | 24]
        for unit in units {
            payload += [UInt8(unit.count >> 8), UInt8(unit.count & 0xFF)]
            payload += unit
        }
        return payload
    }

    private static func fragments(_ unit: [UInt8], limit: Int) -> [[UInt8]] {
        let body = unit.dropFirst()
        let room = limit - 2
        let count = (body.count + room - 1) / room
        // Fragments of nearly equal size, so that the sender's bursts are of equal datagrams.
        let size = (body.count + count - 1) / count
        return (0..<count).map { number in
            let start = body.startIndex + number * size
            let end = min(start + size, body.endIndex)
            let flags: UInt8 = (number == 0 ? 0x80 : 0) | (number == count - 1 ? 0x40 : 0)
            return [unit[0] & 0x60 | 28, flags | unit[0] & 0x1F] + body[start..<end]
        }
    }
}
