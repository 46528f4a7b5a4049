import Foundation

/// Why a record could not be read or written.
public enum ClusterJSONError: Error, Equatable, Sendable, CustomStringConvertible {
    /// More bytes than the reader takes.
    case tooLarge(have: Int, limit: Int)
    /// Not JSON, or not the shape of the record; `path` is like `publish.sessions.0.id`, empty at the top.
    case malformed(path: String, reason: String)
    /// Written by a release whose records mean something else.
    case unsupportedVersion(RecordVersion)

    /// One line for a log.
    public var description: String {
        switch self {
        case .tooLarge(let have, let limit): "record of \(have) bytes, at most \(limit) are read"
        case .malformed(let path, let reason): path.isEmpty ? reason : "\(path): \(reason)"
        case .unsupportedVersion(let version):
            "record version \(version.major).\(version.minor), this program reads \(RecordVersion.current.major).x"
        }
    }
}

/// The one encoder and decoder for what nodes tell each other: in Redis, over SSE and in `/api` answers.
public enum ClusterJSON {
    /// The most that is read at once; a day's recording detail of 2 s segments is about 10 MB.
    public static let bytesMax = 64 << 20

    /// UTF-8 JSON with sorted keys, so equal records are equal bytes.
    ///
    /// Throws `.malformed` when a number can't be written in JSON (not finite).
    public static func encode(_ value: some Encodable) throws(ClusterJSONError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return [UInt8](try encoder.encode(value))
        } catch {
            throw ClusterJSONError(error)
        }
    }

    /// Reads one record or an array of records. Unknown fields are ignored, absent ones get their default.
    public static func decode<T: Decodable>(_ type: T.Type, from bytes: [UInt8]) throws(ClusterJSONError) -> T {
        guard bytes.count <= bytesMax else { throw .tooLarge(have: bytes.count, limit: bytesMax) }
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw ClusterJSONError(error)
        }
    }

    /// Reads an array of streams by the same rules, several times as fast.
    ///
    /// - Parameter leavesOut: whether a stream that can't be read is left out and does not spoil the others.
    public static func streams(from bytes: [UInt8], leavesOut: Bool = false) throws(ClusterJSONError) -> [StreamRecord] {
        guard bytes.count <= bytesMax else { throw .tooLarge(have: bytes.count, limit: bytesMax) }
        var cursor = JSONCursor(bytes)
        var streams: [StreamRecord] = []
        try cursor.array { cursor throws(ClusterJSONError) in
            let start = cursor
            do throws(ClusterJSONError) {
                streams.append(try StreamRecord(from: &cursor))
            } catch  where leavesOut {
                cursor = start
                try cursor.skip()
            }
        }
        try cursor.finish()
        return streams
    }
}

extension ClusterJSONError {
    /// The same, met inside the member or element called `name`.
    func inside(_ name: String) -> ClusterJSONError {
        guard case .malformed(let path, let reason) = self else { return self }
        return .malformed(path: path.isEmpty ? name : "\(name).\(path)", reason: reason)
    }

    init(_ error: any Error) {
        switch error {
        case let error as UnsupportedVersion:
            self = .unsupportedVersion(error.found)
        case DecodingError.keyNotFound(let key, let context):
            self = .malformed(path: Self.path(context.codingPath + [key]), reason: "missing")
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context),
            DecodingError.dataCorrupted(let context):
            self = .malformed(path: Self.path(context.codingPath), reason: context.debugDescription)
        case EncodingError.invalidValue(_, let context):
            self = .malformed(path: Self.path(context.codingPath), reason: context.debugDescription)
        default:
            self = .malformed(path: "", reason: String(describing: error))
        }
    }

    private static func path(_ keys: [any CodingKey]) -> String {
        keys.map { $0.intValue.map(String.init) ?? $0.stringValue }.joined(separator: ".")
    }
}

extension KeyedDecodingContainer {
    /// The value, or `fallback` when the key is absent or null: an older or foreign writer must not lose its whole record.
    func value<T: Decodable>(_ key: Key, or fallback: @autoclosure () -> T) throws -> T {
        try decodeIfPresent(T.self, forKey: key) ?? fallback()
    }
}
