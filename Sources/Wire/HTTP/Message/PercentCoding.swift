/// Percent coding (RFC 3986 section 2.1).
public enum PercentCoding {
    /// Decodes once. Nil when an escape is cut short or not hexadecimal, when the result is not UTF-8, or when it holds NUL.
    public static func decode(_ text: some StringProtocol, plusIsSpace: Bool = false) -> String? {
        // Most texts hold nothing to decode.
        if !text.utf8.contains(where: { $0 == 0x25 || $0 == 0 || ($0 == 0x2B && plusIsSpace) }) { return String(text) }
        var out: [UInt8] = []
        out.reserveCapacity(text.utf8.count)
        var bytes = text.utf8.makeIterator()
        while let byte = bytes.next() {
            if byte == 0x25 {
                guard let high = bytes.next().flatMap(nibble), let low = bytes.next().flatMap(nibble) else { return nil }
                out.append(high << 4 | low)
            } else {
                out.append(byte == 0x2B && plusIsSpace ? 0x20 : byte)
            }
        }
        guard !out.contains(0) else { return nil }
        return String(validating: out, as: UTF8.self)
    }

    /// Encodes everything but unreserved characters; `/` is kept when `keepSlash`.
    public static func encode(_ text: some StringProtocol, keepSlash: Bool = false) -> String {
        func isPlain(_ byte: UInt8) -> Bool {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: true
            case 0x2F: keepSlash
            default: false
            }
        }
        // Most texts hold nothing to encode.
        if text.utf8.allSatisfy(isPlain) { return String(text) }
        var out: [UInt8] = []
        for byte in text.utf8 {
            if isPlain(byte) {
                out.append(byte)
            } else {
                out += [0x25, hexDigits[Int(byte >> 4)], hexDigits[Int(byte & 15)]]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    private static let hexDigits = Array("0123456789ABCDEF".utf8)

    private static func nibble(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }
}
