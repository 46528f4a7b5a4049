import Log
import Presentation

/// Where a node's changes have been read up to.
public struct SyncCursor: Sendable, Equatable {
    /// Newest `updated_at` seen, Unix microseconds on the node's clock.
    public var sinceUs: Int64
    /// Start time of the node process the cursor belongs to; another one means "read from the beginning".
    public var incarnationMs: Int64

    /// A cursor as it is stored.
    public init(sinceUs: Int64, incarnationMs: Int64) {
        self.sinceUs = sinceUs
        self.incarnationMs = incarnationMs
    }
}

/// The cluster's recordings: which node wrote which stretch of which stream, down to each segment, so that manifests
/// can be made for any range also while the node that wrote it is away.
///
/// SQLite in WAL mode or PostgreSQL, on a thread of its own; every method may be called from anywhere. All writes are idempotent, so
/// that any number of coordinators may write the same into one database.
public actor RecordingIndex {
    private enum Connection {
        case closed
        case open(any SQLConnection)
        /// And why; attempts go on.
        case away(IndexError)
    }

    private let thread = IndexThread("recording-index")
    private let location: IndexLocation
    private let dialer: PostgresDialer?
    private var connection = Connection.closed
    private var dialing: Task<Void, Never>?
    private let log = Logger("index")

    /// Calls run on the index's own thread.
    nonisolated public var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    /// An index that is kept there. Nothing is touched before `open()`.
    public init(_ location: IndexLocation) {
        self.location = location
        dialer = if case .postgresql(let address) = location { PostgresDialer(address) } else { nil }
    }

    /// Opens the database (a file is made when missing) and brings its schema up to date.
    ///
    /// A server that is away is a state, not an error: then all other methods throw, with `isAway`, until it is back.
    public func open() async throws(IndexError) {
        guard case .closed = connection else { return }
        switch location {
        case .sqlite(let path):
            let opened = try SQLiteConnection(path: path)
            try IndexSchema.migrate(opened)
            connection = .open(opened)
        case .postgresql:
            do throws(IndexError) {
                guard let opened = try await dialer?.dial() else { return }
                connection = .open(opened)
            } catch {
                guard error.isAway else { throw error }
                lose(error)
            }
        }
    }

    /// Closes the database; a file's WAL content is folded in.
    public func close() {
        dialing?.cancel()
        dialing = nil
        connection = .closed
    }

    func database() throws(IndexError) -> any SQLConnection {
        switch connection {
        case .closed: throw IndexError(message: "the recording index is not open")
        case .away(let reason): throw reason
        case .open(let database):
            if database.isOpen { return database }
            let reason = IndexError(message: "the connection to PostgreSQL is lost", isAway: true)
            lose(reason)
            throw reason
        }
    }

    /// From now on all is refused; meanwhile the server is asked again and again.
    private func lose(_ reason: IndexError) {
        guard let dialer else { return }
        log.warning("not available", ["server": address, "reason": reason.description])
        connection = .away(reason)
        dialing = Task { [weak self] in
            while !Task.isCancelled {
                // Spread, so that many coordinators don't come back in step.
                try? await Task.sleep(for: .milliseconds(Int.random(in: 250...750)))
                do throws(IndexError) {
                    await self?.adopt(try await dialer.dial())
                    return
                } catch {
                    await self?.note(error)
                }
            }
        }
    }

    private func adopt(_ opened: sending PostgresConnection) {
        // It may have been closed meanwhile.
        guard case .away = connection else { return }
        dialing = nil
        connection = .open(opened)
        log.info("connected", ["server": address])
    }

    private func note(_ reason: IndexError) {
        if case .away(let before) = connection, before != reason {
            log.warning("still not available", ["server": address, "reason": reason.description])
            connection = .away(reason)
        }
    }

    private var address: String { if case .postgresql(let address) = location { "\(address)" } else { "" } }

    // MARK: what the sync writes

    /// Stores a record of a node, new or changed. An older version of a known record (by `updatedUs`) changes nothing. What was known from
    /// the store alone gives way: a node knows its own recordings best.
    /// - Returns: true when the record's detail should be fetched because it is newer than the stored one.
    public func upsert(_ record: IndexedRecording) throws(IndexError) -> Bool {
        let database = try database()
        // A journal may call its node by another name than we do.
        try database.query(
            "DELETE FROM recordings WHERE record_dir = ?1 AND session = ?2 AND node <> ?3 AND from_store = 1",
            [.text(record.recordDir), .text(record.session), .text(record.node)])
        try database.query(
            """
            INSERT INTO recordings
                (stream, day, node, session, start_us, end_us, duration_ms, status, mpd_path, record_dir, updated_us)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
            ON CONFLICT (stream, day, node, session) DO UPDATE SET
                start_us = ?5, end_us = ?6, duration_ms = ?7, status = ?8, mpd_path = ?9, record_dir = ?10,
                updated_us = ?11, from_store = 0,
                detail_us = CASE recordings.from_store WHEN 0 THEN recordings.detail_us END,
                detail_next = CASE recordings.from_store WHEN 0 THEN recordings.detail_next END
            WHERE recordings.updated_us <= ?11 OR recordings.from_store = 1
            """, Self.values(of: record))
        let stale = try database.rows(
            """
            SELECT CASE WHEN detail_us IS NULL OR detail_us < updated_us THEN 1 ELSE 0 END FROM recordings
            WHERE stream = ?1 AND day = ?2 AND node = ?3 AND session = ?4
            """,
            [.text(record.stream), .text(record.day), .text(record.node), .text(record.session)]
        ) { $0.integer(0) != 0 }
        return stale.first ?? false
    }

    /// The columns of a new row, in the order of the statement above.
    static func values(of record: IndexedRecording) -> [SQLValue] {
        [
            .text(record.stream), .text(record.day), .text(record.node), .text(record.session), .integer(record.startUs),
            SQLValue(record.endUs), SQLValue(record.durationMs), .text(record.status.rawValue), .text(record.mpdPath),
            .text(record.recordDir), .integer(record.updatedUs),
        ]
    }

    /// Stores what a recording consists of. Segments already known are left alone, so a growing recording costs what
    /// it grew by; one that shrank (repaired after a crash) is written anew. What is older than what is stored changes nothing: another
    /// coordinator has been faster.
    /// - Parameters:
    ///   - updatedUs: the record's `updatedUs` at the time the detail was made.
    ///   - next: what to ask the node with for what comes after it.
    public func setDetail(
        node: String, session: String, periods: [IndexedPeriod], updatedUs: Int64, next: String? = nil
    ) throws(IndexError) {
        let database = try database()
        try database.transaction { () throws(IndexError) in
            guard let stored = try stored(node, session, in: database), stored.detailUs ?? .min <= updatedUs else { return }
            let recording = stored.row
            try store(periods, of: recording, in: database)
            try database.query(
                "DELETE FROM tracks WHERE recording = ?1 AND period >= ?2",
                [.integer(recording), .integer(Int64((periods.map(\.ordinal).max() ?? -1) + 1))])
            try database.query(
                "UPDATE recordings SET detail_us = ?2, detail_next = ?3 WHERE id = ?1",
                [.integer(recording), .integer(updatedUs), SQLValue(next)])
        }
    }

    func store(_ periods: [IndexedPeriod], of recording: Int64, in database: any SQLConnection) throws(IndexError) {
        for period in periods {
            for (place, track) in period.tracks.enumerated() {
                let id = try trackRow(recording, period, place, track, in: database)
                try store(track.segments, ofTrack: id, in: database)
            }
        }
    }

    /// Takes a recording off the index with all that is known of it; one that is not there is no error.
    public func remove(node: String, session: String) throws(IndexError) {
        try database().query("DELETE FROM recordings WHERE node = ?1 AND session = ?2", [.text(node), .text(session)])
    }

    /// A recording whose detail is about to change. No other coordinator changes it before the transaction ends.
    struct Stored {
        let row: Int64
        /// `updatedUs` of the stored detail; nil when there is none.
        let detailUs: Int64?
        let next: String?
    }

    func stored(_ node: String, _ session: String, in database: any SQLConnection) throws(IndexError) -> Stored? {
        try database.rows(
            "SELECT id, detail_us, detail_next FROM recordings WHERE node = ?1 AND session = ?2\(database.rowLock)",
            [.text(node), .text(session)]
        ) { Stored(row: $0.integer(0), detailUs: $0.optionalInteger(1), next: $0.optionalText(2)) }.first
    }

    func trackRow(
        _ recording: Int64, _ period: IndexedPeriod, _ place: Int, _ track: IndexedTrack,
        in database: any SQLConnection
    ) throws(IndexError) -> Int64 {
        // Sound may have come first and is the second track since there are pictures: the segments of one are none of the other.
        try database.query(
            "DELETE FROM tracks WHERE recording = ?1 AND period = ?2 AND place = ?3 AND segment_prefix <> ?4",
            [.integer(recording), .integer(Int64(period.ordinal)), .integer(Int64(place)), .text(track.segmentPrefix)])
        let ids = try database.rows(
            """
            INSERT INTO tracks (recording, period, period_start_us, place, kind, codecs, timescale, time_at_start,
                initialization, segment_prefix, bandwidth, width, height, frame_rate, sample_rate, channels, continues)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
            ON CONFLICT (recording, period, place) DO UPDATE SET
                period_start_us = ?3, kind = ?5, codecs = ?6, timescale = ?7, time_at_start = ?8,
                initialization = ?9, segment_prefix = ?10, bandwidth = ?11, width = ?12, height = ?13, frame_rate = ?14,
                sample_rate = ?15, channels = ?16, continues = ?17
            RETURNING id
            """,
            [
                .integer(recording), .integer(Int64(period.ordinal)), .integer(period.startUs), .integer(Int64(place)),
                .text(track.kind), .text(track.codecs), .integer(track.timescale), .integer(track.timeAtStart),
                .text(track.initialization), .text(track.segmentPrefix), .integer(track.bandwidth), SQLValue(track.width),
                SQLValue(track.height), SQLValue(track.frameRate), SQLValue(track.sampleRate), SQLValue(track.channels),
                .integer(period.continues ? 1 : 0),
            ]
        ) { $0.integer(0) }
        guard let id = ids.first else { throw IndexError(message: "a track row was not stored") }
        return id
    }

    private func store(_ segments: SegmentRuns, ofTrack track: Int64, in database: any SQLConnection) throws(IndexError) {
        var known = 0
        var newest = Int64.min
        var from = Int64.min
        var isOlder = false
        try database.query(
            "SELECT sum(count), max(number + count - 1), max(number), count(*) - count(unsynced) FROM spans WHERE track = ?1",
            [.integer(track)]
        ) { row in
            isOlder = row.integer(3) > 0
            known = Int(row.integer(0))
            newest = row.optionalInteger(1) ?? Int64.min
            from = row.optionalInteger(2) ?? Int64.min
        }
        if isOlder || segments.upTo(newest) != known {
            try database.query("DELETE FROM spans WHERE track = ?1", [.integer(track)])
            (newest, from) = (Int64.min, Int64.min)
        }
        guard let last = segments.last, last.number > newest else { return }
        // The last row grows, those before it stay.
        let changed = segments.part(segments.upTo(from == Int64.min ? from : from - 1)..<segments.count)
        try write(changed, ofTrack: track, in: database)
    }

    func write(_ segments: SegmentRuns, ofTrack track: Int64, in database: any SQLConnection) throws(IndexError) {
        for span in SegmentSpan.spans(of: segments) {
            try database.query(
                """
                INSERT INTO spans (track, number, t, t_end, count, durations, unsynced) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                ON CONFLICT (track, number) DO UPDATE SET t = ?3, t_end = ?4, count = ?5, durations = ?6, unsynced = ?7
                """,
                [
                    .integer(track), .integer(span.number), .integer(span.time), .integer(span.end),
                    .integer(Int64(span.count)), .text(span.durations), .text(span.unsynced),
                ])
        }
    }

    /// Where the sync of a node stands; nil when the node was never read.
    public func cursor(node: String) throws(IndexError) -> SyncCursor? {
        try database().rows("SELECT since_us, incarnation_ms FROM cursors WHERE node = ?1", [.text(node)]) {
            SyncCursor(sinceUs: $0.integer(0), incarnationMs: $0.integer(1))
        }.first
    }

    /// Remembers where the sync of a node stands; call it after the records up to there are stored.
    public func setCursor(_ cursor: SyncCursor, node: String) throws(IndexError) {
        try database().query(
            """
            INSERT INTO cursors (node, since_us, incarnation_ms) VALUES (?1, ?2, ?3)
            ON CONFLICT (node) DO UPDATE SET since_us = ?2, incarnation_ms = ?3
            """, [.text(node), .integer(cursor.sinceUs), .integer(cursor.incarnationMs)])
    }
}

extension SegmentRuns {
    /// How many segments have this number or a lower one.
    fileprivate func upTo(_ number: Int64) -> Int {
        var (low, high) = (startIndex, endIndex)
        while low < high {
            let middle = (low + high) / 2
            if self[middle].number > number { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
