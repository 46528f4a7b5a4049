/// The time of sending in the pictures themselves, for one-way delays through any server: user data in an SEI message (H.264 section
/// D.1.7). A header extension would do too, but there is none that every server passes on; the payload is what they all do.
///
/// Hexadecimal digits, so that no start code is ever emulated.
package enum DelayStamp {
    /// Random (RFC 9562 version 4), without zeros.
    private static let identity: [UInt8] = [
        0x5e, 0x91, 0xc4, 0x27, 0xd8, 0x3b, 0x4f, 0x62, 0xa7, 0x19, 0xe3, 0x55, 0x8c, 0x70, 0xb2, 0x46,
    ]
    private static let digits = 16
    /// NAL unit header, payload type 5 and its size, in front of the identity.
    private static let head: [UInt8] = [0x06, 5, UInt8(16 + digits)]
    private static let digitsOffset = head.count + identity.count
    private static let unitBytes = digitsOffset + digits + 1

    /// Every so many pictures: enough for percentiles, and prime to usual groups of pictures, so that key frames have their share.
    package static let interval = 7

    /// The units of a picture with a stamp in front of its first slice.
    ///
    /// - Parameter ns: the time, which may be written over later.
    package static func stamped(_ units: [[UInt8]], ns: UInt64 = 0) -> [[UInt8]] {
        var unit = head + identity + [UInt8](repeating: 0, count: digits) + [0x80]
        unit.withUnsafeMutableBytes { raw in
            if let base = raw.baseAddress { write(ns, at: base + digitsOffset) }
        }
        var units = units
        let place = units.firstIndex { unit in unit.first.map { (1...5).contains($0 & 0x1F) } ?? false }
        units.insert(unit, at: place ?? units.startIndex)
        return units
    }

    /// Where the digits are in an RTP payload that has a stamp, as a unit of its own or in a STAP-A (RFC 6184 section 5.7.1).
    package static func offset(in payload: UnsafeRawBufferPointer) -> Int? {
        guard let first = payload.first else { return nil }
        if first & 0x1F == 6 { return isStamp(payload, at: 0, count: payload.count) ? digitsOffset : nil }
        guard first & 0x1F == 24 else { return nil }
        var place = 1
        while payload.count - place > 2 {
            let count = Int(payload[place]) << 8 | Int(payload[place + 1])
            if isStamp(payload, at: place + 2, count: count) { return place + 2 + digitsOffset }
            place += 2 + count
        }
        return nil
    }

    private static func isStamp(_ payload: UnsafeRawBufferPointer, at place: Int, count: Int) -> Bool {
        guard count == unitBytes, payload.count - place >= unitBytes else { return false }
        for index in 0..<head.count where payload[place + index] != head[index] { return false }
        for index in 0..<identity.count where payload[place + head.count + index] != identity[index] { return false }
        return true
    }

    /// Writes a time in nanoseconds over the digits at `place`.
    package static func write(_ ns: UInt64, at place: UnsafeMutableRawPointer) {
        for index in 0..<digits {
            let digit = UInt8(truncatingIfNeeded: ns >> UInt64(4 * (digits - 1 - index))) & 15
            (place + index).storeBytes(of: digit < 10 ? 0x30 + digit : 0x57 + digit, as: UInt8.self)
        }
    }

    /// The time in a payload that has a stamp.
    package static func time(in payload: UnsafeRawBufferPointer) -> UInt64? {
        guard let place = offset(in: payload) else { return nil }
        var ns: UInt64 = 0
        for index in 0..<digits {
            switch payload[place + index] {
            case let digit where (0x30...0x39).contains(digit): ns = ns << 4 | UInt64(digit - 0x30)
            case let digit where (0x61...0x66).contains(digit): ns = ns << 4 | UInt64(digit - 0x57)
            default: return nil
            }
        }
        return ns
    }
}
