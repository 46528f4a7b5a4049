/// Builds a Binding message in a caller's buffer; the header's length is kept right at every step (RFC 8489 section 5).
struct STUNWriter {
    private var out: ByteWriter
    private let transaction: STUNTransaction

    init(_ buffer: UnsafeMutableRawBufferPointer, type: STUNType, transaction: STUNTransaction) {
        out = ByteWriter(buffer)
        self.transaction = transaction
        out.u16(type.rawValue)
        out.u16(0)
        out.u32(STUNMessage.cookie)
        out.u32(transaction.high)
        out.u64(transaction.low)
    }

    mutating func attribute(_ type: UInt16, _ value: UnsafeRawBufferPointer) {
        out.u16(type)
        out.u16(UInt16(truncatingIfNeeded: value.count))
        out.bytes(value)
        out.zeros((4 - value.count % 4) % 4)
    }

    mutating func flag(_ type: UInt16) {
        out.u16(type)
        out.u16(0)
    }

    mutating func u32(_ type: UInt16, _ value: UInt32) {
        out.u16(type)
        out.u16(4)
        out.u32(value)
    }

    mutating func u64(_ type: UInt16, _ value: UInt64) {
        out.u16(type)
        out.u16(8)
        out.u64(value)
    }

    mutating func username(_ first: String, _ second: String) {
        var text = "\(first):\(second)"
        text.withUTF8 { attribute(STUNAttribute.username, UnsafeRawBufferPointer($0)) }
    }

    /// XOR-MAPPED-ADDRESS (RFC 8489 section 14.2); a v4-mapped address is written as IPv4.
    mutating func xorMappedAddress(_ address: SocketAddress) {
        out.u16(STUNAttribute.xorMappedAddress)
        out.u16(address.isIPv4 ? 8 : 20)
        out.u16(address.isIPv4 ? 1 : 2)
        out.u16(address.port ^ UInt16(STUNMessage.cookie >> 16))
        if address.isIPv4 {
            out.u32(address.ipv4 ^ STUNMessage.cookie)
        } else {
            out.u64(address.high ^ (UInt64(STUNMessage.cookie) << 32 | UInt64(transaction.high)))
            out.u64(address.low ^ transaction.low)
        }
    }

    /// ERROR-CODE without a reason phrase (RFC 8489 section 14.8).
    mutating func errorCode(_ code: Int) {
        u32(STUNAttribute.errorCode, UInt32(code / 100) << 8 | UInt32(code % 100))
    }

    /// UNKNOWN-ATTRIBUTES of a 420 (RFC 8489 section 14.13).
    mutating func unknownAttributes(_ message: STUNMessage) {
        let count = min(message.unknownCount, 4)
        out.u16(STUNAttribute.unknownAttributes)
        out.u16(UInt16(count * 2))
        for index in 0..<count { out.u16(message.unknown[index]) }
        out.zeros(count % 2 * 2)
    }

    /// MESSAGE-INTEGRITY over everything so far (RFC 8489 section 14.5).
    mutating func messageIntegrity(_ key: UnsafePointer<HMACSHA1>) {
        out.patch16(UInt16(truncatingIfNeeded: out.count + 24 - STUNMessage.headerBytes), at: 2)
        var digest: HMACSHA1.Digest = (0, 0, 0)
        withUnsafeMutableBytes(of: &digest) { place in
            guard let base = place.baseAddress else { return }
            key.pointee.sign(out.written, into: base)
            out.u16(STUNAttribute.messageIntegrity)
            out.u16(UInt16(HMACSHA1.bytes))
            out.bytes(UnsafeRawBufferPointer(start: base, count: HMACSHA1.bytes))
        }
    }

    /// The same with a key that is kept nowhere.
    mutating func messageIntegrity(_ key: HMACSHA1) {
        withUnsafePointer(to: key) { messageIntegrity($0) }
    }

    /// FINGERPRINT, always last; returns the message's length, 0 when the buffer was too small.
    mutating func finish() -> Int {
        out.patch16(UInt16(truncatingIfNeeded: out.count + 8 - STUNMessage.headerBytes), at: 2)
        let sum = crc32(out.written) ^ STUNMessage.fingerprintMask
        u32(STUNAttribute.fingerprint, sum)
        return out.hasOverflowed ? 0 : out.count
    }
}
