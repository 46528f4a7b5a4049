/// Big-endian loads for parsers. They are bounds-checked by Span, and a failed check would end the process, so every parser
/// compares lengths first and reads second.
extension Span where Element == UInt8 {
    @inline(__always)
    func be16(_ at: Int) -> UInt16 { UInt16(self[at]) << 8 | UInt16(self[at &+ 1]) }

    @inline(__always)
    func be24(_ at: Int) -> UInt32 { UInt32(self[at]) << 16 | UInt32(self[at &+ 1]) << 8 | UInt32(self[at &+ 2]) }

    @inline(__always)
    func be32(_ at: Int) -> UInt32 { UInt32(be16(at)) << 16 | UInt32(be16(at &+ 2)) }

    @inline(__always)
    func be64(_ at: Int) -> UInt64 { UInt64(be32(at)) << 32 | UInt64(be32(at &+ 4)) }
}

/// Writes big-endian values into a caller's buffer; past the end it writes nothing and remembers that it did not fit.
struct ByteWriter {
    private let buffer: UnsafeMutableRawBufferPointer
    /// Bytes written so far.
    private(set) var count = 0
    /// Something did not fit.
    private(set) var hasOverflowed = false

    init(_ buffer: UnsafeMutableRawBufferPointer) { self.buffer = buffer }

    /// What was written so far; valid as long as the buffer.
    var written: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: buffer[..<count]) }

    mutating func u8(_ value: UInt8) {
        guard let at = advance(1) else { return }
        buffer[at] = value
    }

    mutating func u16(_ value: UInt16) {
        guard let at = advance(2) else { return }
        buffer.storeBytes(of: value.bigEndian, toByteOffset: at, as: UInt16.self)
    }

    mutating func u32(_ value: UInt32) {
        guard let at = advance(4) else { return }
        buffer.storeBytes(of: value.bigEndian, toByteOffset: at, as: UInt32.self)
    }

    mutating func u64(_ value: UInt64) {
        guard let at = advance(8) else { return }
        buffer.storeBytes(of: value.bigEndian, toByteOffset: at, as: UInt64.self)
    }

    mutating func bytes(_ source: UnsafeRawBufferPointer) {
        guard let at = advance(source.count) else { return }
        UnsafeMutableRawBufferPointer(rebasing: buffer[at...]).copyMemory(from: source)
    }

    mutating func zeros(_ number: Int) {
        for _ in 0..<max(number, 0) { u8(0) }
    }

    /// Overwrites a 16-bit value already written.
    mutating func patch16(_ value: UInt16, at offset: Int) {
        guard offset >= 0, offset + 2 <= count else { return }
        buffer.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
    }

    private mutating func advance(_ number: Int) -> Int? {
        guard !hasOverflowed, number <= buffer.count - count else {
            hasOverflowed = true
            return nil
        }
        defer { count += number }
        return count
    }
}

/// SplitMix64: small seeded generator for transaction ids and jitter, so that a session replays from its seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
