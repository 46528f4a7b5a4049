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
        for component in path.utf8.split(separator: 0x2F, omittingEmptySubsequences: false) {
            guard !component.isEmpty else { throw .invalidKey(reason: "absolute, or with an empty component") }
            guard !component.elementsEqual(".".utf8), !component.elementsEqual("..".utf8) else {
                throw .invalidKey(reason: "with a component . or ..")
            }
            guard component.count <= Self.componentBytesMax else {
                throw .invalidKey(reason: "component longer than \(Self.componentBytesMax) bytes")
            }
        }
        self.path = path
    }

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
        path.split(separator: "/").last.map(String.init) ?? path
    }

    /// All but the last component; nil when there is one only.
    public var parent: ObjectKey? {
        guard let slash = path.utf8.lastIndex(of: 0x2F) else { return nil }
        return try? ObjectKey(String(path[..<slash]))
    }

    /// The key.
    public var description: String { path }

    /// By UTF-8 bytes, as S3 lists keys.
    public static func < (left: ObjectKey, right: ObjectKey) -> Bool {
        left.path.utf8.lexicographicallyPrecedes(right.path.utf8)
    }
}
