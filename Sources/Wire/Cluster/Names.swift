/// What a stream may be called; the same rule at every door, so a name is safe in URLs, object paths and Redis keys.
public enum StreamName {
    /// The longest name, in bytes.
    public static let bytesMax = 64

    /// Whether `name` is 1 to 64 of `A-Z a-z 0-9 _ . ~ -` and doesn't start with a dot.
    public static func isValid(_ name: String) -> Bool {
        isPlain(name, bytesMax: bytesMax) { $0 == UInt8(ascii: "~") }
    }
}

/// What an edge node may be called. No `~`, because that separates alias and session in the coordinator's session URLs.
public enum NodeAlias {
    /// The longest alias, in bytes.
    public static let bytesMax = 64

    /// Whether `alias` is 1 to 64 of `A-Z a-z 0-9 _ . -` and doesn't start with a dot.
    public static func isValid(_ alias: String) -> Bool {
        isPlain(alias, bytesMax: bytesMax) { _ in false }
    }
}

private func isPlain(_ name: String, bytesMax: Int, also isAllowed: (UInt8) -> Bool) -> Bool {
    let bytes = name.utf8
    guard let first = bytes.first, first != UInt8(ascii: "."), bytes.count <= bytesMax else { return false }
    return bytes.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"): true
        default: isAllowed(byte)
        }
    }
}
