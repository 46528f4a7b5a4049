/// Which recordings of a stream to list.
public struct RecordingQuery: Sendable {
    /// The stream's name.
    public var stream: String
    /// Only what reaches past this instant, Unix microseconds.
    public var fromUs: Int64?
    /// Only what begins before this instant, Unix microseconds.
    public var toUs: Int64?
    /// Rows at most; at least 1.
    public var limit: Int
    /// Where the previous page ended.
    public var after: RecordingCursor?

    /// A query over all of a stream unless narrowed.
    public init(
        stream: String, fromUs: Int64? = nil, toUs: Int64? = nil, limit: Int = 1_000, after: RecordingCursor? = nil
    ) {
        self.stream = stream
        self.fromUs = fromUs
        self.toUs = toUs
        self.limit = limit
        self.after = after
    }
}

/// A place in the list of recordings, newest first; as text it is opaque to clients.
public struct RecordingCursor: Sendable, Equatable, CustomStringConvertible {
    /// Start of the last recording shown, Unix microseconds.
    public let startUs: Int64
    /// Its row, which orders those that began at once.
    public let row: Int64

    /// The place behind `recording`.
    public init(after recording: IndexedRecording) {
        startUs = recording.startUs
        row = recording.row
    }

    /// Reads a cursor back; nil for anything this program did not write.
    public init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let startUs = Int64(parts[0], radix: 36), let row = Int64(parts[1], radix: 36) else {
            return nil
        }
        self.startUs = startUs
        self.row = row
    }

    /// The form `init?(_:)` reads.
    public var description: String { "\(String(startUs, radix: 36))-\(String(row, radix: 36))" }
}
