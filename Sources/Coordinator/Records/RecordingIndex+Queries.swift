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

    /// When the recording of this identifier began, or the stream's first; Unix microseconds, nil when there is none.
    public func start(stream: String, session: String?) throws(IndexError) -> Int64? {
        try database().rows(
            """
            SELECT start_us FROM recordings WHERE stream = ?1 AND (CAST(?2 AS TEXT) IS NULL OR session = ?2)
            ORDER BY start_us LIMIT 1
            """,
            [.text(stream), session.map { .text($0) } ?? .null]
        ) { $0.integer(0) }.first
    }

    /// How many recordings the index has, and how many of them grow.
    public func counts() throws(IndexError) -> (all: Int, active: Int) {
        var counts = (all: 0, active: 0)
        try database().query("SELECT count(*), count(*) FILTER (WHERE status = 'active') FROM recordings") { row in
            counts = (Int(row.integer(0)), Int(row.integer(1)))
        }
        return counts
    }

    /// What a recording consists of, with only the segments that touch the given range of wall clock.
    public func periods(
        of recording: IndexedRecording, fromUs: Int64? = nil, toUs: Int64? = nil
    ) throws(IndexError) -> [IndexedPeriod] {
        let database = try database()
        var tracks: [(id: Int64, period: IndexedPeriod, track: IndexedTrack)] = []
        try database.query(
            """
            SELECT id, period, period_start_us, kind, codecs, timescale, time_at_start, initialization, segment_prefix,
                bandwidth, width, height, frame_rate, sample_rate, channels, continues
            FROM tracks WHERE recording = ?1 ORDER BY period, place
            """, [.integer(recording.row)]
        ) { tracks.append((id: $0.integer(0), period: Self.period($0), track: Self.track($0))) }
        var periods: [IndexedPeriod] = []
        for (id, period, described) in tracks {
            var track = described
            let range = track.mediaRange(periodStartUs: period.startUs, fromUs: fromUs, toUs: toUs)
            if !range.isEmpty {
                track.segments = try segments(ofTrack: id, range, in: database).touching(range.lowerBound, range.upperBound)
            }
            if periods.last?.ordinal != period.ordinal { periods.append(period) }
            periods[periods.count - 1].tracks.append(track)
        }
        guard fromUs != nil, periods.contains(where: \.beginsUnsynced) else { return periods }
        // What is needed to decode the first segment may stand long before it.
        return try self.periods(of: recording, toUs: toUs).map { $0.touching(fromUs: fromUs, toUs: toUs) }
    }

    /// Runs for which there is room made before they are read: a day of segments of one second.
    private static let runsAtOnce = 86_400

    private func segments(
        ofTrack track: Int64, _ range: Range<Int64>, in database: any SQLConnection
    ) throws(IndexError) -> SegmentRuns {
        var segments = SegmentRuns()
        try database.query("SELECT max(number) - min(number) FROM spans WHERE track = ?1", [.integer(track)]) { row in
            // Growing by doubling would touch twice the memory.
            segments.reserveRuns(min(Int(clamping: row.integer(0) &+ SegmentSpan.segmentsMax), Self.runsAtOnce))
        }
        try database.query(
            "SELECT number, t, durations, unsynced FROM spans WHERE track = ?1 AND t_end > ?2 AND t < ?3 ORDER BY number",
            [.integer(track), .integer(range.lowerBound), .integer(range.upperBound)]
        ) { row in
            row.withText(2) { durations in
                SegmentSpan.read(number: row.integer(0), time: row.integer(1), durations: durations, into: &segments)
            }
            row.withText(3) { numbers in
                if !numbers.isEmpty { segments.noteUnsynced(SegmentSpan.unsynced(in: numbers)) }
            }
        }
        return segments
    }

    private static func period(_ row: any SQLRow) -> IndexedPeriod {
        IndexedPeriod(
            ordinal: Int(truncatingIfNeeded: row.integer(1)), startUs: row.integer(2), continues: row.integer(15) != 0, tracks: []
        )
    }

    private static func track(_ row: any SQLRow) -> IndexedTrack {
        IndexedTrack(
            kind: row.text(3), codecs: row.text(4), timescale: max(1, row.integer(5)), timeAtStart: row.integer(6),
            initialization: row.text(7), segmentPrefix: row.text(8), bandwidth: row.integer(9),
            width: row.optionalInteger(10).map(Int.init(truncatingIfNeeded:)),
            height: row.optionalInteger(11).map(Int.init(truncatingIfNeeded:)),
            frameRate: row.optionalText(12), sampleRate: row.optionalInteger(13).map(Int.init(truncatingIfNeeded:)),
            channels: row.optionalInteger(14).map(Int.init(truncatingIfNeeded:)), segments: [])
    }
}
