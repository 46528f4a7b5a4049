/// The version of a record's JSON: a writer that only adds fields raises `minor`; one that changes a meaning raises `major`.
///
/// Nodes of two releases run side by side during an upgrade, so a reader takes any minor version of the major it
/// knows and ignores fields it doesn't know. A record of another major is refused as a whole: its node stays as it was last understood,
/// and is lost with time.
public struct RecordVersion: Sendable, Hashable {
    /// Meaning of the fields.
    public let major: Int
    /// Number of additions since `major` began.
    public let minor: Int

    /// What this program writes. All records of a release have the same version: a field that comes to any of them raises it.
    public static let current = RecordVersion(major: 1, minor: 2)

    /// - Parameters:
    ///   - major: meaning of the fields.
    ///   - minor: number of additions.
    public init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }

    init?(_ text: String) {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let major = Int(parts[0]), major >= 0 else { return nil }
        guard parts.count == 2 else {
            self.init(major: major, minor: 0)
            return
        }
        guard let minor = Int(parts[1]), minor >= 0 else { return nil }
        self.init(major: major, minor: minor)
    }
}

/// Thrown inside a decoder; `ClusterJSON` turns it into its own error.
struct UnsupportedVersion: Error {
    let found: RecordVersion
}

extension RecordVersion: Codable {
    /// Reads `"1.0"`, `"1"` or `1`. Throws when it is none of these or of another major version.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let version: RecordVersion
        if let number = try? container.decode(Int.self) {
            version = RecordVersion(major: number, minor: 0)
        } else if let parsed = RecordVersion(try container.decode(String.self)) {
            version = parsed
        } else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a version")
        }
        guard version.major == Self.current.major else { throw UnsupportedVersion(found: version) }
        self = version
    }

    /// Writes `"major.minor"`.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode("\(major).\(minor)")
    }
}
