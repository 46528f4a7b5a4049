import Cluster
import Store
import Synchronization

/// A session while it is written: the recorder's thread changes it, requests read it.
final class LiveSession: Sendable {
    let id: String
    private let state: Mutex<RecordedSession>

    init(_ session: RecordedSession) {
        id = session.id
        state = Mutex(session)
    }

    var value: RecordedSession { state.withLock { $0 } }
    var row: RecordingRecord { state.withLock { $0.row } }

    func apply(_ line: JournalLine) {
        state.withLock { $0.apply(line) }
    }
}

/// Every recording of this node, by id. Any thread.
final class RecordingIndex: Sendable {
    private struct Entry {
        var live: LiveSession?
        var ended: RecordingRecord?

        var row: RecordingRecord? { live?.row ?? ended }
    }

    private let entries = Mutex<[String: Entry]>([:])

    /// A session is being written.
    func begin(_ session: LiveSession) {
        entries.withLock { $0[session.id] = Entry(live: session) }
    }

    /// A session was found in storage, or has changed there.
    func put(_ row: RecordingRecord) {
        entries.withLock { $0[row.id] = Entry(ended: row) }
    }

    /// Nothing will be added to a session.
    func end(_ id: String) {
        entries.withLock { entries in
            if let row = entries[id]?.row { entries[id] = Entry(ended: row) }
        }
    }

    func remove(_ id: String) {
        entries.withLock { _ = $0.removeValue(forKey: id) }
    }

    func row(_ id: String) -> RecordingRecord? {
        entries.withLock { $0[id]?.row }
    }

    func live(_ id: String) -> LiveSession? {
        entries.withLock { $0[id]?.live }
    }

    func find(stream: String, record: String) -> RecordingRecord? {
        row(record).flatMap { $0.stream == stream ? $0 : nil }
    }

    /// Rows that changed after `sinceUs`, oldest change first.
    func rows(sinceUs: Int64, stream: String?, limit: Int) -> [RecordingRecord] {
        let all = entries.withLock { $0.values.compactMap(\.row) }
        let fitting = all.filter { row in
            row.updatedAt > sinceUs && row.status != .acked && (stream.map { $0 == row.stream } ?? true)
        }
        return Array(fitting.sorted { $0.updatedAt < $1.updatedAt }.prefix(max(0, limit)))
    }

    var writingCount: Int {
        entries.withLock { $0.values.filter { $0.live != nil }.count }
    }
}
