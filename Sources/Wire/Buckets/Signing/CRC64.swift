/// CRC-64 with ECMA-182's polynomial, bits reversed, inverted at both ends, as XZ and OSS have it (`x-oss-hash-crc64ecma`).
///
/// Eight bytes a step by eight tables of 2 KiB: a body is read anyway, and this must not cost more than reading it.
enum CRC64 {
    /// The polynomial, lowest power in the highest bit.
    private static let polynomial: UInt64 = 0xC96C_5795_D787_0F42
    /// `tables[k * 256 + byte]` is the sum of a byte with `k` zero bytes after it.
    private static let tables: [UInt64] = {
        var tables = (0..<256).map { byte in
            (0..<8).reduce(UInt64(byte)) { sum, _ in sum & 1 == 0 ? sum >> 1 : sum >> 1 ^ polynomial }
        }
        for index in 256..<2_048 {
            let before = tables[index - 256]
            tables.append(before >> 8 ^ tables[Int(before & 0xFF)])
        }
        return tables
    }()

    /// The sum of what `sum` was taken of, 0 for nothing, with `bytes` after it.
    static func update(_ sum: UInt64, _ bytes: UnsafeRawBufferPointer) -> UInt64 {
        tables.withUnsafeBufferPointer { tables in
            var sum = ~sum
            var at = 0
            while at + 8 <= bytes.count {
                sum ^= UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
                var next: UInt64 = 0
                for index in 0..<8 { next ^= tables[(7 - index) * 256 + Int(sum >> UInt64(8 * index) & 0xFF)] }
                sum = next
                at += 8
            }
            while at < bytes.count {
                sum = sum >> 8 ^ tables[Int((sum ^ UInt64(bytes[at])) & 0xFF)]
                at += 1
            }
            return ~sum
        }
    }

    /// The sum of two pieces, one after the other, from the sums of each: the first is multiplied by x to the second's bits.
    static func joined(_ first: UInt64, _ second: UInt64, secondBytes: Int64) -> UInt64 {
        // x⁸, and then its squares, times those that the length has.
        var power: UInt64 = 1 << 55
        var factor: UInt64 = 1 << 63
        var rest = max(0, secondBytes)
        while rest > 0 {
            if rest & 1 == 1 { factor = product(factor, power) }
            power = product(power, power)
            rest >>= 1
        }
        return product(factor, first) ^ second
    }

    /// Of two polynomials modulo ours.
    private static func product(_ left: UInt64, _ right: UInt64) -> UInt64 {
        var (sum, shifted) = (UInt64(0), right)
        for bit in (0..<64).reversed() {
            if left >> UInt64(bit) & 1 == 1 { sum ^= shifted }
            shifted = shifted & 1 == 0 ? shifted >> 1 : shifted >> 1 ^ polynomial
        }
        return sum
    }
}
