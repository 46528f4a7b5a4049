/// The name of an object: components joined by `/`, the same in a directory and in a bucket.
///
/// This is the one place that judges paths from outside. What it lets through can be opened beneath a root without leaving it.
public struct ObjectKey: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The whole key, never starting or ending with `/`.
    public let path: String

    /// Bytes a key may have, as in S3.
    public static let bytesMax = 1024
    /// Bytes a component may have, as in Linux file systems.
    public static let componentBytesMax = 250

    /// Throws `invalidKey` for an empty path, an absolute one, `.`, `..` or an empty component, control characters, a backslash,
    /// or more bytes than storage takes.
    public init(_ path: String) throws(StoreError) {
        guard !path.isEmpty else { throw .invalidKey(reason: "empty") }
        guard path.utf8.count <= Self.bytesMax else { throw .invalidKey(reason: "longer than \(Self.bytesMax) bytes") }
        guard path.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F && $0 != 0x5C }) else {
            throw .invalidKey(reason: "control character or backslash")
        }
        var (count, dots) = (0, 0)
        for byte in path.utf8 {
            if byte == 0x2F {
                try Self.judge(count: count, dots: dots)
                (count, dots) = (0, 0)
            } else {
                count += 1
                if byte == 0x2E { dots += 1 }
            }
        }
        try Self.judge(count: count, dots: dots)
        self.path = path
    }

    /// - Parameters:
    ///   - count: bytes of a component.
    ///   - dots: how many of them are dots.
    private static func judge(count: Int, dots: Int) throws(StoreError) {
        guard count > 0 else { throw .invalidKey(reason: "absolute, or with an empty component") }
        guard count != dots || count > 2 else { throw .invalidKey(reason: "with a component . or ..") }
        guard count <= componentBytesMax else {
            throw .invalidKey(reason: "component longer than \(componentBytesMax) bytes")
        }
    }

    private init(known path: Substring) { self.path = String(path) }

    /// A key below this one; throws like `init`.
    public func appending(_ relative: String) throws(StoreError) -> ObjectKey {
        try ObjectKey(path + "/" + relative)
    }

    /// The components, at least one.
    public var components: [String] {
        path.split(separator: "/").map(String.init)
    }

    /// The last component.
    public var name: String {
        path.utf8.lastIndex(of: 0x2F).map { String(path[path.utf8.index(after: $0)...]) } ?? path
    }

    /// The first component.
    public var firstComponent: String {
        path.utf8.firstIndex(of: 0x2F).map { String(path[..<$0]) } ?? path
    }

    /// All but the last component; nil when there is one only.
    public var parent: ObjectKey? {
        guard let slash = path.utf8.lastIndex(of: 0x2F) else { return nil }
        return ObjectKey(known: path[..<slash])
    }

    /// The key.
    public var description: String { path }

    /// By UTF-8 bytes, as S3 lists keys.
    public static func < (left: ObjectKey, right: ObjectKey) -> Bool {
        left.path.utf8.lexicographicallyPrecedes(right.path.utf8)
    }
}
