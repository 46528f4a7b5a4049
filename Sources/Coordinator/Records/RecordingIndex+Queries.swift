import Presentation

extension RecordingIndex {
    private static let columns = """
        id, stream, node, session, start_us, end_us, duration_ms, status, mpd_path, record_dir, updated_us
        """

    private static func recording(_ row: any SQLRow) -> IndexedRecording {
        var recording = IndexedRecording(
            stream: row.text(1), node: row.text(2), session: row.text(3), startUs: row.integer(4),
            endUs: row.optionalInteger(5), durationMs: row.optionalInteger(6),
            status: PlaybackStatus(rawValue: row.text(7)) ?? .failed, mpdPath: row.text(8), recordDir: row.text(9),
            updatedUs: row.integer(10))
        recording.row = row.integer(0)
        return recording
    }

    /// The names of all streams that have a recording, sorted.
    public func streams() throws(IndexError) -> [String] {
        // One index seek a stream, however many recordings each has.
        try database().rows(
            """
            WITH RECURSIVE names (stream) AS (
                SELECT min(stream) FROM recordings
                UNION ALL
                SELECT (SELECT min(stream) FROM recordings WHERE stream > names.stream) FROM names
                WHERE names.stream IS NOT NULL
            )
            SELECT stream FROM names WHERE stream IS NOT NULL
            """
        ) { $0.text(0) }
    }

    /// The recordings of a stream, newest first.
    public func recordings(_ query: RecordingQuery) throws(IndexError) -> [IndexedRecording] {
        try database().rows(
            """
            SELECT \(Self.columns) FROM recordings
            WHERE stream = ?1 AND (CAST(?2 AS BIGINT) IS NULL OR end_us IS NULL OR end_us > ?2)
                AND (CAST(?3 AS BIGINT) IS NULL OR start_us < ?3)
                AND (CAST(?4 AS BIGINT) IS NULL OR (start_us, id) < (?4, ?5))
            ORDER BY start_us DESC, id DESC LIMIT ?6
            """,
            [
                .text(query.stream), SQLValue(query.fromUs), SQLValue(query.toUs), SQLValue(query.after?.startUs),
                SQLValue(query.after?.row), .integer(Int64(max(1, query.limit))),
            ], Self.recording)
    }

    /// The recording an object belongs to when nobody says which node: the first that used its directory.
    /// - Parameter directory: key of the directory without a trailing slash.
    public func recording(inDirectory directory: String) throws(IndexError) -> IndexedRecording? {
        try database().rows(
            "SELECT \(Self.columns) FROM recordings WHERE record_dir = ?1 ORDER BY start_us, id LIMIT 1",
            [.text(directory)], Self.recording
        ).first
    }

    /// The recordings in a directory that have not ended, or of which nobody knows how.
    /// - Parameter directory: key of the directory without a trailing slash.
    public func unended(inDirectory directory: String) throws(IndexError) -> [IndexedRecording] {
        try database().rows(
            "SELECT \(Self.columns) FROM recordings WHERE record_dir = ?1 AND (end_us IS NULL OR status = 'incomplete')",
            [.text(directory)], Self.recording)
    }

    /// The recording with this identifier on this node.
    public func recording(node: String, session: String) throws(IndexError) -> IndexedRecording? {
        try database().rows(
            "SELECT \(Self.columns) FROM recordings WHERE node = ?1 AND session = ?2", [.text(node), .text(session)],
            Self.recording
        ).first
    }

    /// The recordings with this identifier, one for each node that has one.
    public func recordings(session: String) throws(IndexError) -> [IndexedRecording] {
        try database().rows(
            "SELECT \(Self.columns) FROM recordings WHERE session = ?1 ORDER BY node", [.text(session)], Self.recording)
    }

    /// The active recordings of a node, for a re-read of what may have grown.
    public func activeRecordings(node: String) throws(IndexError) -> [IndexedRecording] {
        try database().rows(
            "SELECT \(Self.columns) FROM recordings WHERE node = ?1 AND status = 'active' ORDER BY start_us",
            [.text(node)], Self.recording)
    }

    /// The recording of this identifier, or the stream's first; nil when there is none.
    public func first(stream: String, session: String?) throws(IndexError) -> IndexedRecording? {
        try database().rows(
            """
            SELECT \(Self.columns) FROM recordings WHERE stream = ?1 AND (CAST(?2 AS TEXT) IS NULL OR session = ?2)
            ORDER BY start_us LIMIT 1
            """,
            [.text(stream), session.map { .text($0) } ?? .null], Self.recording
        ).first
    }

    /// How many recordings the index has, and how many of them grow.
    public func counts() throws(IndexError) -> (all: Int, active: Int) {
        var counts = (all: 0, active: 0)
        try database().query("SELECT count(*), count(*) FILTER (WHERE status = 'active') FROM recordings") { row in
            counts = (Int(row.integer(0)), Int(row.integer(1)))
        }
        return counts
    }
}
