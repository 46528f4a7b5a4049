/// Why a bitstream could not be read.
public enum BitstreamError: Error, Equatable, Sendable {
    /// The data ended inside a field.
    case truncated(haveBits: Int, needBits: Int)
    /// A field holds a value its specification forbids, or one no real stream has.
    case invalid(field: String)
}

/// Reads bit fields, most significant bit first, of an RBSP (H.264 7.2, 9.1). Never traps: what is missing throws.
struct BitReader {
    private let bytes: [UInt8]
    private(set) var bitPosition = 0

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// Takes the emulation prevention bytes out of a NAL unit's payload (H.264 7.4.1).
    init(rbspOf nal: ArraySlice<UInt8>) {
        var plain: [UInt8] = []
        plain.reserveCapacity(nal.count)
        var zeros = 0
        for byte in nal {
            if zeros >= 2, byte == 3 {
                zeros = 0
                continue
            }
            zeros = byte == 0 ? zeros + 1 : 0
            plain.append(byte)
        }
        bytes = plain
    }

    var bitsLeft: Int { bytes.count * 8 - bitPosition }

    mutating func bits(_ count: Int) throws(BitstreamError) -> UInt32 {
        guard count <= 32, bitsLeft >= count else { throw .truncated(haveBits: bitsLeft, needBits: count) }
        var value: UInt32 = 0
        for _ in 0..<count {
            let bit = (bytes[bitPosition >> 3] >> UInt8(7 - (bitPosition & 7))) & 1
            value = value << 1 | UInt32(bit)
            bitPosition += 1
        }
        return value
    }

    mutating func flag() throws(BitstreamError) -> Bool {
        try bits(1) == 1
    }

    mutating func skip(_ count: Int) throws(BitstreamError) {
        guard bitsLeft >= count else { throw .truncated(haveBits: bitsLeft, needBits: count) }
        bitPosition += count
    }

    /// ue(v): unsigned Exp-Golomb (H.264 9.1); `max` is the largest value the syntax element may have.
    mutating func unsigned(_ field: String, max: UInt32) throws(BitstreamError) -> Int {
        var zeros = 0
        while try !flag() {
            zeros += 1
            guard zeros <= 31 else { throw .invalid(field: field) }
        }
        let suffix = try bits(zeros)
        let value = (UInt64(1) << UInt64(zeros)) - 1 + UInt64(suffix)
        guard value <= UInt64(max) else { throw .invalid(field: field) }
        return Int(value)
    }

    /// se(v): signed Exp-Golomb (H.264 9.1.1).
    mutating func signed(_ field: String) throws(BitstreamError) -> Int {
        let code = try unsigned(field, max: UInt32.max - 1)
        return code & 1 == 1 ? (code + 1) / 2 : -(code / 2)
    }
}
