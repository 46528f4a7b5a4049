/// The tables, and the steps that bring an older database up to them. What changes in SQLite changes in PostgreSQL too.
///
/// `PRAGMA user_version`, or the table `index_schema`, holds the number of steps a database has seen; a step never changes once it
/// has shipped.
enum IndexSchema {
    static let sqliteSteps: [String] = [
        """
        CREATE TABLE recordings (
            id INTEGER PRIMARY KEY,
            stream TEXT NOT NULL, day TEXT NOT NULL, node TEXT NOT NULL, session TEXT NOT NULL,
            start_us INTEGER NOT NULL, end_us INTEGER, duration_ms INTEGER,
            status TEXT NOT NULL, mpd_path TEXT NOT NULL, record_dir TEXT NOT NULL,
            updated_us INTEGER NOT NULL, detail_us INTEGER,
            UNIQUE (stream, day, node, session)
        ) STRICT;
        CREATE INDEX recordings_by_start ON recordings (stream, start_us, id);
        CREATE INDEX recordings_by_session ON recordings (node, session);
        CREATE INDEX recordings_by_dir ON recordings (record_dir, start_us);
        CREATE TABLE tracks (
            id INTEGER PRIMARY KEY,
            recording INTEGER NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
            period INTEGER NOT NULL, period_start_us INTEGER NOT NULL, place INTEGER NOT NULL,
            kind TEXT NOT NULL, codecs TEXT NOT NULL, timescale INTEGER NOT NULL, time_at_start INTEGER NOT NULL,
            initialization TEXT NOT NULL, segment_prefix TEXT NOT NULL, bandwidth INTEGER NOT NULL,
            width INTEGER, height INTEGER, frame_rate TEXT, sample_rate INTEGER, channels INTEGER,
            UNIQUE (recording, period, place)
        ) STRICT;
        CREATE TABLE segments (
            track INTEGER NOT NULL REFERENCES tracks (id) ON DELETE CASCADE,
            number INTEGER NOT NULL, t INTEGER NOT NULL, d INTEGER NOT NULL, bytes INTEGER NOT NULL,
            PRIMARY KEY (track, number)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE cursors (
            node TEXT PRIMARY KEY, since_us INTEGER NOT NULL, incarnation_ms INTEGER NOT NULL
        ) STRICT;
        """,
        // Segments 512 to a row; see SegmentSpan.
        """
        CREATE TABLE spans (
            track INTEGER NOT NULL REFERENCES tracks (id) ON DELETE CASCADE,
            number INTEGER NOT NULL, t INTEGER NOT NULL, t_end INTEGER NOT NULL, count INTEGER NOT NULL,
            durations TEXT NOT NULL,
            PRIMARY KEY (track, number)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO spans (track, number, t, t_end, count, durations)
        SELECT track, min(number), min(t), max(t + d), count(*), group_concat(d, ' ')
        FROM (
            SELECT *, sum(starts) OVER (PARTITION BY track ORDER BY number) AS span
            FROM (
                SELECT *,
                    CASE WHEN number % 512 <> 0 AND number = 1 + lag(number) OVER w AND t = lag(t + d) OVER w
                        THEN 0 ELSE 1 END AS starts
                FROM segments WINDOW w AS (PARTITION BY track ORDER BY number)
            )
            ORDER BY track, number
        )
        GROUP BY track, span;
        DROP TABLE segments;
        """,
        "ALTER TABLE tracks ADD COLUMN continues INTEGER NOT NULL DEFAULT 0;",
        """
        CREATE TABLE clocks (
            node TEXT NOT NULL, at_us INTEGER NOT NULL, offset_us INTEGER NOT NULL, PRIMARY KEY (node, at_us)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE added_nodes (alias TEXT PRIMARY KEY, url TEXT NOT NULL, token TEXT) STRICT, WITHOUT ROWID;
        CREATE TABLE drained_nodes (alias TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
        """,
        "ALTER TABLE recordings ADD COLUMN detail_next TEXT;",
        // Numbers of segments that do not begin with a sync sample; NULL where nobody has asked, so that all details are read again.
        """
        ALTER TABLE spans ADD COLUMN unsynced TEXT;
        UPDATE recordings SET detail_us = NULL, detail_next = NULL;
        DELETE FROM cursors;
        """,
        // What was read from journals in the shared store: which of them, and which recordings nobody but they tell of.
        """
        ALTER TABLE recordings ADD COLUMN from_store INTEGER NOT NULL DEFAULT 0;
        CREATE INDEX recordings_by_place ON recordings (record_dir, session);
        CREATE TABLE journals (path TEXT PRIMARY KEY, tag TEXT NOT NULL, updated_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE removed (
            record_dir TEXT NOT NULL, session TEXT NOT NULL, at_us INTEGER NOT NULL, PRIMARY KEY (record_dir, session)
        ) STRICT, WITHOUT ROWID;
        """,
    ]

    static func migrate(_ connection: SQLiteConnection) throws(IndexError) {
        var version = 0
        try connection.query("PRAGMA user_version") { version = Int($0.integer(0)) }
        try check(version, sqliteSteps)
        for step in sqliteSteps.dropFirst(version) {
            version += 1
            try connection.transaction { () throws(IndexError) in
                try connection.run(step)
                try connection.run("PRAGMA user_version = \(version)")
            }
        }
    }

    static func check(_ version: Int, _ steps: [String]) throws(IndexError) {
        guard version > steps.count else { return }
        throw IndexError(message: "the index has schema version \(version), this program knows only up to \(steps.count)")
    }
}
