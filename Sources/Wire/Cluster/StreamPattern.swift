/// A pattern of stream names: `*` stands for any characters, `?` for one, everything else for itself.
public struct StreamPattern: Sendable, Hashable {
    /// As configured.
    public let text: String
    private let bytes: [UInt8]

    /// Nil when the pattern is empty, longer than 256 bytes or could not match any stream name.
    public init?(_ text: String) {
        let bytes = Array(text.utf8)
        let isPlain = bytes.allSatisfy { byte in
            byte == UInt8(ascii: "*") || byte == UInt8(ascii: "?") || byte == UInt8(ascii: ".")
                || StreamName.isValid(String(UnicodeScalar(byte)))
        }
        guard !bytes.isEmpty, bytes.count <= 256, isPlain, bytes[0] != UInt8(ascii: ".") else { return nil }
        self.text = text
        self.bytes = bytes
    }

    /// Whether the whole name fits. Takes at most pattern × name steps, whatever the number of stars.
    public func matches(_ name: String) -> Bool {
        let name = Array(name.utf8)
        var at = 0
        var patternAt = 0
        var star: (pattern: Int, name: Int)?
        while at < name.count {
            if patternAt < bytes.count, bytes[patternAt] == UInt8(ascii: "*") {
                star = (patternAt, at)
                patternAt += 1
            } else if patternAt < bytes.count, bytes[patternAt] == UInt8(ascii: "?") || bytes[patternAt] == name[at] {
                at += 1
                patternAt += 1
            } else if let last = star {
                star = (last.pattern, last.name + 1)
                patternAt = last.pattern + 1
                at = last.name + 1
            } else {
                return false
            }
        }
        return bytes[patternAt...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
