/// Decimal digits, eight at a time in one register: lists of a month's segments are millions of numbers.
public enum Decimal {
    /// Bytes that may be written at `to`, whatever the value.
    public static let digitsMax = 20
    @inlinable static var eight: UInt64 { 100_000_000 }

    /// Writes a number in as few digits as it takes.
    ///
    /// - Parameter bytes: room for `digitsMax`; what is not needed of it may be written over, too.
    /// - Returns: how many digits there are.
    @inlinable @inline(__always)
    public static func write(_ value: UInt64, to bytes: UnsafeMutableRawPointer) -> Int {
        guard value >= eight else { return writeShort(value, to: bytes) }
        return writeLong(value, to: bytes)
    }

    @usableFromInline
    static func writeLong(_ value: UInt64, to bytes: UnsafeMutableRawPointer) -> Int {
        let (high, low) = value.quotientAndRemainder(dividingBy: eight)
        let count = high < eight ? writeShort(high, to: bytes) : writeLong(high, to: bytes)
        bytes.storeBytes(of: (digits(low) | 0x3030_3030_3030_3030).littleEndian, toByteOffset: count, as: UInt64.self)
        return count + 8
    }

    @inlinable @inline(__always)
    static func writeShort(_ value: UInt64, to bytes: UnsafeMutableRawPointer) -> Int {
        let digits = digits(value)
        // The first digit is in the lowest byte. Of 0 one digit stays.
        let zeros = min(digits.trailingZeroBitCount, 56) & ~7
        bytes.storeBytes(of: ((digits | 0x3030_3030_3030_3030) >> UInt64(zeros)).littleEndian, as: UInt64.self)
        return 8 - zeros / 8
    }

    /// The eight digits of a number below 10⁸, a byte each: halved into fours, twos and ones in all lanes at once.
    @inlinable @inline(__always)
    static func digits(_ value: UInt64) -> UInt64 {
        var lanes = value / 10_000 | (value % 10_000) << 32
        // ⌊n / 100⌋ = ⌊10486 n / 2²⁰⌋ below 10⁴, ⌊n / 10⌋ = ⌊103 n / 2¹⁰⌋ below 100.
        var upper = (lanes &* 10_486) >> 20 & 0x0000_007F_0000_007F
        lanes = upper | (lanes &- upper &* 100) << 16
        upper = (lanes &* 103) >> 10 & 0x000F_000F_000F_000F
        return upper | (lanes &- upper &* 10) << 8
    }

    /// Reads the digits that `bytes` begins with; at most seven of them, and only where eight bytes are there.
    ///
    /// - Returns: the number and how many digits it has; nil where it has none, may have more, or too few bytes are left.
    @inlinable @inline(__always)
    public static func readShort(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> (value: UInt64, digits: Int)? {
        guard offset >= 0, bytes.count - offset >= 8 else { return nil }
        let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        let lanes = word ^ 0x3030_3030_3030_3030
        // A byte above 9 carries into its highest bit; one above 127 has it.
        let others = ((lanes & 0x7F7F_7F7F_7F7F_7F7F) &+ 0x7676_7676_7676_7676 | lanes) & 0x8080_8080_8080_8080
        let count = others.trailingZeroBitCount >> 3
        guard count > 0, count < 8 else { return nil }
        // Digits move to the end, zeros come before them; then ones become twos, fours and the whole.
        var value = lanes << UInt64(64 - 8 * count)
        value = (value &* 10 &+ value >> 8) & 0x00FF_00FF_00FF_00FF
        value = (value &* 100 &+ value >> 16) & 0x0000_FFFF_0000_FFFF
        value = (value &* 10_000 &+ value >> 32) & 0xFFFF_FFFF
        return (value, count)
    }
}
