/// One recording as a row of `GET /api/recordings`: live777's snake_case names and the node that made it.
public struct RecordingRecord: Sendable, Hashable, Codable {
    /// Version of the writer's format.
    public var version: RecordVersion
    /// Names this recording on its node: `GET /api/recordings/{id}`.
    public var id: String
    /// The stream's name.
    public var stream: String
    /// live777's name of a recording within a stream.
    public var record: String
    /// Wall clock of the first frame, Unix microseconds.
    public var startTs: Int64
    /// Wall clock of the end of the last frame, Unix microseconds; absent while recording.
    public var endTs: Int64?
    /// Media time recorded, milliseconds; absent until known.
    public var durationMs: Int64?
    /// Key of the manifest under the storage root.
    public var mpdPath: String
    /// Key prefix of the directory under the storage root, no slash at the end.
    public var recordDir: String
    /// How it stands.
    public var status: RecordingStatus
    /// Alias of the node that made it.
    public var nodeAlias: String
    /// When this row last changed, Unix microseconds; what `since_ts` compares with.
    public var updatedAt: Int64

    enum CodingKeys: String, CodingKey {
        case version, id, stream, record, status
        case startTs = "start_ts"
        case endTs = "end_ts"
        case durationMs = "duration_ms"
        case mpdPath = "mpd_path"
        case recordDir = "record_dir"
        case nodeAlias = "node_alias"
        case updatedAt = "updated_at"
    }

    /// Makes a row of the current version.
    public init(
        id: String, stream: String, record: String, startTs: Int64, endTs: Int64? = nil, durationMs: Int64? = nil,
        mpdPath: String, recordDir: String, status: RecordingStatus, nodeAlias: String, updatedAt: Int64
    ) {
        version = .current
        self.id = id
        self.stream = stream
        self.record = record
        self.startTs = startTs
        self.endTs = endTs
        self.durationMs = durationMs
        self.mpdPath = mpdPath
        self.recordDir = recordDir
        self.status = status
        self.nodeAlias = nodeAlias
        self.updatedAt = updatedAt
    }

    /// Reads a row; `stream`, `start_ts` and `mpd_path` must be there. Without `id` (live777) the recording's name stands in.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        version = try container.value(.version, or: .current)
        stream = try container.decode(String.self, forKey: .stream)
        guard StreamName.isValid(stream) else {
            throw DecodingError.dataCorruptedError(forKey: .stream, in: container, debugDescription: "not a stream name")
        }
        startTs = try container.decode(Int64.self, forKey: .startTs)
        record = try container.value(.record, or: String(startTs / 1_000_000))
        id = try container.value(.id, or: record)
        endTs = try container.decodeIfPresent(Int64.self, forKey: .endTs)
        durationMs = try container.decodeIfPresent(Int64.self, forKey: .durationMs)
        mpdPath = try container.decode(String.self, forKey: .mpdPath)
        recordDir = try container.value(
            .recordDir, or: String(mpdPath.prefix(upTo: mpdPath.lastIndex(of: "/") ?? mpdPath.startIndex)))
        status = try container.value(.status, or: .active)
        nodeAlias = try container.value(.nodeAlias, or: "")
        updatedAt = try container.value(.updatedAt, or: endTs ?? startTs)
    }
}

/// How a recording stands; live777's words.
public enum RecordingStatus: String, Sendable, Hashable, Codable {
    /// Being written.
    case active = "Active"
    /// Ended with every object in storage.
    case completed = "Completed"
    /// Ended without; what is there may still play.
    case failed = "Failed"
    /// An index has taken over this row.
    case acked = "Acked"
    /// Removed with its objects; the row stays for a while so that every index hears of it.
    case deleted = "Deleted"

    /// A word of a later release counts as `Active`, so the row is asked for again.
    public init(from decoder: any Decoder) throws {
        self = RecordingStatus(rawValue: try decoder.singleValueContainer().decode(String.self)) ?? .active
    }
}

/// The answer to `GET /api/recordings?since_ts=&limit=`.
public struct RecordingsPage: Sendable, Hashable, Codable {
    /// Rows in the order of `updated_at`, oldest first.
    public var sessions: [RecordingRecord]
    /// `updated_at` of the last row, Unix microseconds: the next `since_ts`. Absent when there are no rows.
    public var lastTs: Int64?

    enum CodingKeys: String, CodingKey {
        case sessions
        case lastTs = "last_ts"
    }

    /// - Parameters:
    ///   - sessions: rows, oldest change first.
    ///   - lastTs: `updated_at` of the last row; worked out from the rows when not given.
    public init(sessions: [RecordingRecord], lastTs: Int64? = nil) {
        self.sessions = sessions
        self.lastTs = lastTs ?? sessions.map(\.updatedAt).max()
    }

    /// Reads a page; `sessions` must be there.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        sessions = try container.decode([RecordingRecord].self, forKey: .sessions)
        lastTs = try container.decodeIfPresent(Int64.self, forKey: .lastTs)
    }
}
