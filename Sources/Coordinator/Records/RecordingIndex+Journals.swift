import Presentation
import Store

/// A journal in the shared store as a listing tells it.
struct ListedJournal: Sendable, Equatable {
    let path: String
    /// Key of the directory that its session's objects are in.
    let directory: String
    let session: String
    let etag: String
    let bytes: Int64
    let modifiedUs: Int64

    /// Another one whenever its bytes are others.
    var tag: String { "\(etag) \(bytes)" }
}

/// What the index has of a journal and of the recording it tells of.
struct JournalFacts: Sendable, Equatable {
    /// As it was read last; nil when it never was.
    var tag: String?
    /// The newest change that it told of then.
    var updatedUs: Int64 = 0
    /// The recording's row.
    var row: Row?

    struct Row: Sendable, Equatable {
        let node: String
        /// Nobody but the journal tells of it.
        let isFromStore: Bool
        let updatedUs: Int64
    }
}

/// What was read from journals in the shared store. A row that a node told of is left alone while its node can be expected to tell more.
extension RecordingIndex {
    func facts(of journals: [ListedJournal]) throws(IndexError) -> [JournalFacts] {
        let database = try database()
        var all: [JournalFacts] = []
        for journal in journals {
            var facts = JournalFacts()
            try database.query("SELECT tag, updated_us FROM journals WHERE path = ?1", [.text(journal.path)]) {
                (facts.tag, facts.updatedUs) = ($0.text(0), $0.integer(1))
            }
            // A node's own word comes first.
            facts.row = try database.rows(
                """
                SELECT node, from_store, updated_us FROM recordings WHERE record_dir = ?1 AND session = ?2
                ORDER BY from_store LIMIT 1
                """, [.text(journal.directory), .text(journal.session)]
            ) { JournalFacts.Row(node: $0.text(0), isFromStore: $0.integer(1) != 0, updatedUs: $0.integer(2)) }.first
            all.append(facts)
        }
        return all
    }

    /// Remembers that a journal has been read, so that it is not read again before it changes.
    func note(_ journal: ListedJournal, updatedUs: Int64) throws(IndexError) {
        try database().query(
            """
            INSERT INTO journals (path, tag, updated_us) VALUES (?1, ?2, ?3)
            ON CONFLICT (path) DO UPDATE SET tag = ?2, updated_us = ?3
            """,
            [.text(journal.path), .text(journal.tag), .integer(updatedUs)])
    }

    /// Stores a recording as its journal in the store tells it. Its node is asked for everything when it is back.
    ///
    /// - Parameter takesOver: also what a node told of; else that stands.
    func put(fromStore record: IndexedRecording, _ periods: [IndexedPeriod], takesOver: Bool) throws(IndexError) {
        let database = try database()
        try database.transaction { () throws(IndexError) in
            let told = try database.rows(
                "SELECT 1 FROM recordings WHERE record_dir = ?1 AND session = ?2 AND from_store = 0\(database.rowLock)",
                [.text(record.recordDir), .text(record.session)]
            ) { _ in true }
            // Its node may have come back since it was last looked for.
            guard takesOver || told.isEmpty else { return }
            try database.query(
                """
                DELETE FROM cursors WHERE node IN (
                    SELECT node FROM recordings WHERE record_dir = ?1 AND session = ?2 AND from_store = 0)
                """, [.text(record.recordDir), .text(record.session)])
            try database.query(
                "DELETE FROM recordings WHERE record_dir = ?1 AND session = ?2",
                [.text(record.recordDir), .text(record.session)])
            let rows = try database.rows(
                """
                INSERT INTO recordings
                    (stream, day, node, session, start_us, end_us, duration_ms, status, mpd_path, record_dir, updated_us,
                        detail_us, from_store)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, 1)
                ON CONFLICT DO NOTHING RETURNING id
                """, Self.values(of: record)
            ) { $0.integer(0) }
            // The same stream, day and name in another directory, of a node that tells of it itself.
            guard let row = rows.first else { return }
            try store(periods, of: row, in: database)
        }
    }

    /// Takes a recording off the index that is removed from the store, and remembers that, for its node may come back and list it.
    func setRemoved(directory: String, session: String, atUs: Int64) throws(IndexError) {
        let database = try database()
        try database.transaction { () throws(IndexError) in
            try database.query(
                "INSERT INTO removed (record_dir, session, at_us) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                [.text(directory), .text(session), .integer(atUs)])
            try database.query(
                "DELETE FROM recordings WHERE record_dir = ?1 AND session = ?2", [.text(directory), .text(session)])
        }
    }

    /// Whether a recording has been removed from the store.
    public func isRemoved(directory: String, session: String) throws(IndexError) -> Bool {
        try !database().rows(
            "SELECT 1 FROM removed WHERE record_dir = ?1 AND session = ?2", [.text(directory), .text(session)]
        ) { _ in true }.isEmpty
    }

    /// Journals that were there once, of a stretch of keys behind `after` up to `through`.
    func knownJournals(after: String?, through: String?) throws(IndexError) -> [String] {
        try database().rows(
            "SELECT path FROM journals WHERE path > ?1 AND (CAST(?2 AS TEXT) IS NULL OR path <= ?2)",
            [.text(after ?? ""), SQLValue(through)]
        ) { $0.text(0) }
    }

    /// A journal is gone from the store; what only it told of goes with it.
    func forget(_ journal: ListedJournal) throws(IndexError) {
        let database = try database()
        try database.transaction { () throws(IndexError) in
            try database.query("DELETE FROM journals WHERE path = ?1", [.text(journal.path)])
            try database.query(
                "DELETE FROM recordings WHERE record_dir = ?1 AND session = ?2 AND from_store = 1",
                [.text(journal.directory), .text(journal.session)])
        }
    }
}
