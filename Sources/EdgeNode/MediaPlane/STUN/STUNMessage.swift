import COpenSSL
import CZlib

/// STUN message types ICE uses (RFC 8489 section 5): method Binding with its four classes.
enum STUNType: UInt16 {
    case request = 0x0001
    case indication = 0x0011
    case success = 0x0101
    case failure = 0x0111
}

/// Attribute numbers (RFC 8489 section 18.3, RFC 8445 section 16.1; NOMINATION as libwebrtc sends it).
enum STUNAttribute {
    static let mappedAddress: UInt16 = 0x0001
    static let username: UInt16 = 0x0006
    static let messageIntegrity: UInt16 = 0x0008
    static let errorCode: UInt16 = 0x0009
    static let unknownAttributes: UInt16 = 0x000A
    static let realm: UInt16 = 0x0014
    static let nonce: UInt16 = 0x0015
    static let messageIntegritySHA256: UInt16 = 0x001C
    static let xorMappedAddress: UInt16 = 0x0020
    static let priority: UInt16 = 0x0024
    static let useCandidate: UInt16 = 0x0025
    static let software: UInt16 = 0x8022
    static let fingerprint: UInt16 = 0x8028
    static let iceControlled: UInt16 = 0x8029
    static let iceControlling: UInt16 = 0x802A
    static let nomination: UInt16 = 0xC001
}

/// 96 random bits that pair a response with its request.
struct STUNTransaction: Hashable {
    let high: UInt32
    let low: UInt64
}

/// Why bytes are no STUN message (RFC 8489 sections 5 and 14).
enum STUNError: Error, Equatable {
    case tooShort(have: Int)
    case notSTUN
    case lengthMismatch(header: Int, have: Int)
    case attributeTooLong(type: UInt16)
    case attributeSize(type: UInt16)
    case fingerprintMismatch
    case fingerprintNotLast
    case unknownType(UInt16)
}

/// A parsed Binding message: plain values and offsets into the datagram it came from; no copy, no heap.
///
/// Missing PRIORITY, role attributes or FINGERPRINT are no error: real clients leave them out, and integrity is what counts.
struct STUNMessage {
    static let headerBytes = 20
    static let cookie: UInt32 = 0x2112_A442
    static let fingerprintMask: UInt32 = 0x5354_554E

    let type: STUNType
    let transaction: STUNTransaction
    /// Value of USERNAME.
    private(set) var username: Range<Int> = 0..<0
    /// Offset of the MESSAGE-INTEGRITY attribute's header; 0 when there is none.
    private(set) var integrityOffset = 0
    private(set) var priority: UInt32 = 0
    private(set) var useCandidate = false
    private(set) var nomination: UInt32 = 0
    private(set) var hasControlling = false
    private(set) var hasControlled = false
    /// Of the role attribute; 0 when it has another size than it should.
    private(set) var tieBreaker: UInt64 = 0
    private(set) var errorCode = 0
    private(set) var mappedAddress: SocketAddress?
    /// Comprehension-required attributes we do not know, the first four.
    private(set) var unknownCount = 0
    private(set) var unknown: InlineArray<4, UInt16> = .init(repeating: 0)

    init(parsing message: UnsafeRawBufferPointer) throws(STUNError) {
        let span = message.assumingMemoryBound(to: UInt8.self).span
        guard span.count >= Self.headerBytes else { throw .tooShort(have: span.count) }
        guard span[0] & 0xC0 == 0, span.be32(4) == Self.cookie else { throw .notSTUN }
        let length = Int(span.be16(2))
        guard length == span.count - Self.headerBytes, length % 4 == 0 else {
            throw .lengthMismatch(header: length, have: span.count)
        }
        guard let type = STUNType(rawValue: span.be16(0)) else { throw .unknownType(span.be16(0)) }
        self.type = type
        transaction = STUNTransaction(high: span.be32(8), low: span.be64(12))
        var offset = Self.headerBytes
        while offset < span.count {
            // Lengths are multiples of four, so a header always fits; the value is checked.
            let attribute = span.be16(offset)
            let size = Int(span.be16(offset + 2))
            guard size <= span.count - offset - 4 else { throw .attributeTooLong(type: attribute) }
            let next = offset + 4 + (size + 3) & ~3
            guard next <= span.count else { throw .attributeTooLong(type: attribute) }
            if attribute == STUNAttribute.fingerprint {
                guard size == 4 else { throw .attributeSize(type: attribute) }
                guard next == span.count else { throw .fingerprintNotLast }
                let sum = crc32(UnsafeRawBufferPointer(rebasing: message[..<offset])) ^ Self.fingerprintMask
                guard sum == span.be32(offset + 4) else { throw .fingerprintMismatch }
            } else if integrityOffset == 0 {
                try read(attribute, span, at: offset, size: size)
            }
            offset = next
        }
    }

    /// Reads one attribute; those after MESSAGE-INTEGRITY never get here (RFC 8489 section 14.5).
    private mutating func read(_ attribute: UInt16, _ span: Span<UInt8>, at offset: Int, size: Int) throws(STUNError) {
        let value = offset + 4
        func need(_ bytes: Int) throws(STUNError) {
            guard size == bytes else { throw .attributeSize(type: attribute) }
        }
        switch attribute {
        case STUNAttribute.username:
            username = value..<(value + size)
        case STUNAttribute.messageIntegrity:
            try need(20)
            integrityOffset = offset
        case STUNAttribute.priority:
            try need(4)
            priority = span.be32(value)
        case STUNAttribute.useCandidate:
            useCandidate = true
        case STUNAttribute.nomination:
            try need(4)
            nomination = span.be32(value)
        case STUNAttribute.iceControlling:
            hasControlling = true
            if size == 8 { tieBreaker = span.be64(value) }
        case STUNAttribute.iceControlled:
            hasControlled = true
            if size == 8 { tieBreaker = span.be64(value) }
        case STUNAttribute.errorCode:
            guard size >= 4 else { throw .attributeSize(type: attribute) }
            errorCode = Int(span[value + 2] & 7) * 100 + Int(span[value + 3] % 100)
        case STUNAttribute.xorMappedAddress:
            mappedAddress = xorAddress(span, at: value, size: size)
        case STUNAttribute.mappedAddress, STUNAttribute.realm, STUNAttribute.nonce, STUNAttribute.unknownAttributes,
            STUNAttribute.messageIntegritySHA256:
            break
        default:
            guard attribute < 0x8000 else { break }
            if unknownCount < 4 { unknown[unknownCount] = attribute }
            unknownCount += 1
        }
    }

    private func xorAddress(_ span: Span<UInt8>, at value: Int, size: Int) -> SocketAddress? {
        guard size >= 8 else { return nil }
        let port = span.be16(value + 2) ^ UInt16(Self.cookie >> 16)
        switch span[value + 1] {
        case 1:
            return SocketAddress(ipv4: span.be32(value + 4) ^ Self.cookie, port: port)
        case 2 where size == 20:
            return SocketAddress(
                high: span.be64(value + 4) ^ (UInt64(Self.cookie) << 32 | UInt64(transaction.high)),
                low: span.be64(value + 12) ^ transaction.low, port: port)
        default:
            return nil
        }
    }

    /// Whether MESSAGE-INTEGRITY is there and right for `key`; the header's length field counts as ending with it. Constant time.
    func isAuthentic(_ message: UnsafeRawBufferPointer, key: UnsafePointer<HMACSHA1>) -> Bool {
        guard integrityOffset >= Self.headerBytes, integrityOffset + 24 <= message.count else { return false }
        var length = UInt32(integrityOffset + 24 - Self.headerBytes)
        // Type and length, the length adjusted, in network order.
        length = (UInt32(type.rawValue) << 16 | length).bigEndian
        var digest: HMACSHA1.Digest = (0, 0, 0)
        return withUnsafeMutableBytes(of: &digest) { place in
            guard let base = place.baseAddress, let start = message.baseAddress else { return false }
            withUnsafeBytes(of: length) { head in
                key.pointee.sign(head, UnsafeRawBufferPointer(rebasing: message[4..<integrityOffset]), into: base)
            }
            return CRYPTO_memcmp(base, start + integrityOffset + 4, HMACSHA1.bytes) == 0
        }
    }

    /// The same with a key that is kept nowhere.
    func isAuthentic(_ message: UnsafeRawBufferPointer, key: HMACSHA1) -> Bool {
        withUnsafePointer(to: key) { isAuthentic(message, key: $0) }
    }

    /// Where USERNAME is in a request, without a look at anything behind it: enough to find whose it is, and that one parses it whole.
    static func username(ofRequest message: UnsafeRawBufferPointer) -> Range<Int>? {
        let span = message.assumingMemoryBound(to: UInt8.self).span
        guard span.count >= Self.headerBytes, span.be16(0) == STUNType.request.rawValue, span.be32(4) == Self.cookie,
            Int(span.be16(2)) == span.count - Self.headerBytes
        else { return nil }
        var offset = Self.headerBytes
        while span.count - offset >= 4 {
            let (attribute, size) = (span.be16(offset), Int(span.be16(offset + 2)))
            guard size <= span.count - offset - 4 else { return nil }
            if attribute == STUNAttribute.username { return offset + 4..<offset + 4 + size }
            // What comes behind it isn't signed (RFC 8489 section 14.5).
            if attribute == STUNAttribute.messageIntegrity { return nil }
            offset += 4 + (size + 3) & ~3
        }
        return nil
    }

    /// The part of USERNAME before the colon, as a range of the datagram; nil without colon.
    func localUfrag(in message: UnsafeRawBufferPointer) -> Range<Int>? { Self.localUfrag(username, in: message) }

    static func localUfrag(_ username: Range<Int>, in message: UnsafeRawBufferPointer) -> Range<Int>? {
        for index in username where message[index] == UInt8(ascii: ":") { return username.lowerBound..<index }
        return nil
    }
}

/// CRC-32 of ITU V.42, for FINGERPRINT (RFC 8489 section 14.7).
func crc32(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    UInt32(truncatingIfNeeded: CZlib::crc32_z(0, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count))
}
