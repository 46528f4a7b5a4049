#if canImport(Glibc)
    import Glibc
#endif

/// Addresses that begin alike, such as `10.0.0.0/8` or `2001:db8::/32`, or one address.
public struct IPRange: Sendable, Hashable {
    /// 16 bytes; IPv4 in its mapped form.
    private let bytes: [UInt8]
    /// How many of the 128 bits count.
    private let bits: Int

    /// Reads the text form; nil when it has none.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let bytes = Self.bytes(of: String(parts[0])) else { return nil }
        let most = parts[0].contains(":") ? 128 : 32
        var count = most
        if parts.count == 2 {
            guard parts[1].allSatisfy({ $0.isASCII && $0.isNumber }), let written = Int(parts[1]), written <= most else {
                return nil
            }
            count = written
        }
        self.bytes = bytes
        bits = 128 - most + count
    }

    /// Whether a numeric address is one of them; false for what is no address.
    public func contains(_ address: String) -> Bool {
        guard let other = Self.bytes(of: address) else { return false }
        return (0..<bits).allSatisfy { bit in (bytes[bit / 8] ^ other[bit / 8]) & (0x80 >> UInt8(bit % 8)) == 0 }
    }

    private static func bytes(of text: String) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 16)
        if text.contains(":") { return inet_pton(AF_INET6, text, &bytes) == 1 ? bytes : nil }
        var four = [UInt8](repeating: 0, count: 4)
        guard inet_pton(AF_INET, text, &four) == 1 else { return nil }
        return [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF] + four
    }
}
