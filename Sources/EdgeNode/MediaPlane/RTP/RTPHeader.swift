/// Why bytes aren't an RTP packet; cases carry what was found.
package enum RTPError: Error, Equatable {
    case tooShort(have: Int, need: Int)
    case version(UInt8)
    case extensionOverrun(have: Int, need: Int)
    case padding(UInt8, payload: Int)
}

/// The fixed part of one RTP packet and where its other parts lie (RFC 3550 §5.1).
struct RTPHeader: Equatable {
    var marker = false
    var payloadType: UInt8 = 0
    var sequence: UInt16 = 0
    var timestamp: UInt32 = 0
    var ssrc: UInt32 = 0
    /// The profile word of the header extension; 0 without one.
    var extensionProfile: UInt16 = 0
    var extensionOffset = 0
    var extensionCount = 0
    var payloadOffset = 0
    /// Without padding.
    var payloadCount = 0
    var paddingCount = 0

    /// Size without CSRCs and extension.
    static let fixedBytes = 12
}

extension RTPHeader {
    /// Reads a whole packet; every length is checked, so offsets and counts of the result lie within `bytes`.
    init(parsing bytes: Span<UInt8>) throws(RTPError) {
        let count = bytes.count
        guard count >= Self.fixedBytes else { throw .tooShort(have: count, need: Self.fixedBytes) }
        let first = bytes[0]
        guard first >> 6 == 2 else { throw .version(first >> 6) }
        marker = bytes[1] & 0x80 != 0
        payloadType = bytes[1] & 0x7F
        sequence = bytes.bigEndian16(at: 2)
        timestamp = bytes.bigEndian32(at: 4)
        ssrc = bytes.bigEndian32(at: 8)
        var offset = Self.fixedBytes + 4 * Int(first & 0x0F)
        guard count >= offset else { throw .tooShort(have: count, need: offset) }
        if first & 0x10 != 0 {
            guard count >= offset + 4 else { throw .extensionOverrun(have: count, need: offset + 4) }
            extensionProfile = bytes.bigEndian16(at: offset)
            extensionCount = 4 * Int(bytes.bigEndian16(at: offset + 2))
            extensionOffset = offset + 4
            offset = extensionOffset + extensionCount
            guard count >= offset else { throw .extensionOverrun(have: count, need: offset) }
        }
        payloadOffset = offset
        payloadCount = count - offset
        if first & 0x20 != 0 {
            let padding = payloadCount > 0 ? bytes[count - 1] : 0
            guard padding > 0, Int(padding) <= payloadCount else { throw .padding(padding, payload: payloadCount) }
            paddingCount = Int(padding)
            payloadCount -= paddingCount
        }
    }
}

extension Span<UInt8> {
    /// Two bytes in network order; the caller has checked the length, and a wrong check traps in a test.
    @inline(__always)
    func bigEndian16(at offset: Int) -> UInt16 {
        UInt16(self[offset]) << 8 | UInt16(self[offset + 1])
    }

    /// Four bytes in network order.
    @inline(__always)
    func bigEndian32(at offset: Int) -> UInt32 {
        UInt32(bigEndian16(at: offset)) << 16 | UInt32(bigEndian16(at: offset + 2))
    }

    /// Eight bytes in network order.
    @inline(__always)
    func bigEndian64(at offset: Int) -> UInt64 {
        UInt64(bigEndian32(at: offset)) << 32 | UInt64(bigEndian32(at: offset + 4))
    }
}

extension UnsafeMutableRawPointer {
    @inline(__always)
    func storeBigEndian(_ value: UInt16, at offset: Int) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
    }

    @inline(__always)
    func storeBigEndian(_ value: UInt32, at offset: Int) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
    }

    @inline(__always)
    func storeBigEndian(_ value: UInt64, at offset: Int) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt64.self)
    }

    @inline(__always)
    func storeByte(_ value: UInt8, at offset: Int) {
        storeBytes(of: value, toByteOffset: offset, as: UInt8.self)
    }
}
