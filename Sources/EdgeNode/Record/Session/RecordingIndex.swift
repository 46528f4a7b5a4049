import Cluster
import HTTP
import Store
import Synchronization

/// An ended recording as retention looks at it.
struct KeptRecording: Sendable {
    let row: RecordingRecord
    /// Its removal was begun and has to be finished.
    let isLeftToRemove: Bool
}

/// Every recording of this node, by id. Any thread.
final class RecordingIndex: Sendable {
    private struct Entry {
        var live: LiveSession?
        var ended: RecordingRecord?
        /// Taken off the index; the media are there until they are removed.
        var isForgotten = false
        /// Removal was begun and is not finished.
        var isLeftToRemove = false

        var directory: String? { live?.directory ?? ended?.recordDir }
        var row: RecordingRecord? { live?.row ?? ended }
        var listed: RecordingRecord? { isForgotten && ended?.status != .deleted ? nil : row }
    }

    /// Entries by id, and the ids in each directory.
    private struct Table {
        private var entries: [String: Entry] = [:]
        private var directories: [String: Set<String>] = [:]

        var values: Dictionary<String, Entry>.Values { entries.values }

        subscript(id: String) -> Entry? {
            get { entries[id] }
            set {
                let (old, new) = (entries[id]?.directory, newValue?.directory)
                entries[id] = newValue
                guard old != new else { return }
                if let old {
                    directories[old]?.remove(id)
                    if directories[old]?.isEmpty == true { directories[old] = nil }
                }
                if let new { directories[new, default: []].insert(id) }
            }
        }

        func values(in directory: String) -> [Entry] { (directories[directory] ?? []).compactMap { entries[$0] } }
    }

    private let entries = Mutex(Table())
    /// Sessions that have just ended: players may still be where they were written.
    private let fading = Mutex<[LiveSession]>([])
    /// Those who wait for a stream's recording to go on.
    let room = WaitingRoom(waitersMax: 2_048, firstVersion: WallClock.realtimeUs())

    /// A session is being written.
    func begin(_ session: LiveSession) {
        entries.withLock { $0[session.id] = Entry(live: session) }
    }

    /// A session was found in storage, or has changed there.
    func put(_ session: RecordedSession) {
        let entry = Entry(
            ended: session.row, isForgotten: session.isForgotten, isLeftToRemove: session.isDeleting && !session.isDeleted)
        entries.withLock { $0[session.id] = entry }
        room.changed(session.stream)
    }

    /// Nothing will be added to a session.
    func end(_ id: String) {
        let live = entries.withLock { entries in
            let live = entries[id]?.live
            if let row = entries[id]?.row { entries[id] = Entry(ended: row) }
            return live
        }
        guard let live else { return }
        let nowUs = WallClock.realtimeUs()
        fading.withLock { fading in
            fading.removeAll { $0.value.updatedUs < nowUs - LiveSession.recentUs }
            fading = fading.suffix(Self.fadingMax - 1) + [live]
        }
        room.changed(live.stream)
    }

    func remove(_ id: String) {
        let entry = entries.withLock { entries in
            defer { entries[id] = nil }
            return entries[id]
        }
        fading.withLock { $0.removeAll { $0.id == id } }
        if let live = entry?.live { room.changed(live.stream) }
    }

    /// Many streams may end at once; what is kept of each is little.
    private static let fadingMax = 200

    /// The session of a stream that is being written.
    func live(stream: String) -> LiveSession? {
        entries.withLock { $0.values.first { $0.live?.stream == stream }?.live }
    }

    /// Sessions of a stream that have just ended, oldest first.
    func fading(stream: String) -> [LiveSession] {
        fading.withLock { $0.filter { $0.stream == stream } }
    }

    /// Sessions that write into a directory, or have just ended.
    func recent(in directory: String) -> [LiveSession] {
        live(in: directory) + fading.withLock { $0.filter { $0.directory == directory } }
    }

    func row(_ id: String) -> RecordingRecord? {
        entries.withLock { $0[id]?.listed }
    }

    /// Where an ended recording's objects are, even one that is not listed any more.
    func ended(_ id: String) -> RecordingRecord? {
        entries.withLock { $0[id]?.ended }
    }

    func live(_ id: String) -> LiveSession? {
        entries.withLock { $0[id]?.live }
    }

    /// Sessions that are being written into a directory.
    func live(in directory: String) -> [LiveSession] {
        entries.withLock { $0.values(in: directory).compactMap(\.live) }
    }

    func find(stream: String, record: String) -> RecordingRecord? {
        row(record).flatMap { $0.stream == stream ? $0 : nil }
    }

    /// Rows that changed after `sinceUs`, oldest change first.
    func rows(sinceUs: Int64, stream: String?, limit: Int) -> [RecordingRecord] {
        let all = entries.withLock { $0.values.compactMap(\.listed) }
        let fitting = all.filter { row in
            row.updatedAt > sinceUs && row.status != .acked && (stream.map { $0 == row.stream } ?? true)
        }
        return Array(fitting.sorted { $0.updatedAt < $1.updatedAt }.prefix(max(0, limit)))
    }

    /// Rows of recordings whose media can be played, those an index has taken over too.
    func playable(stream: String?) -> [RecordingRecord] {
        entries.withLock { entries in
            entries.values.compactMap { entry in
                guard !entry.isLeftToRemove, let row = entry.listed, row.status != .deleted, stream == nil || stream == row.stream
                else { return nil }
                return row
            }
        }
    }

    /// The stream whose recordings in a directory can be played.
    func stream(ofDirectory directory: String) -> String? {
        entries.withLock { entries in
            entries.values(in: directory).lazy.compactMap { entry -> String? in
                guard !entry.isLeftToRemove, !entry.isForgotten else { return nil }
                if let live = entry.live { return live.stream }
                return entry.ended.flatMap { $0.status == .deleted ? nil : $0.stream }
            }.first
        }
    }

    func isLeftToRemove(_ id: String) -> Bool {
        entries.withLock { $0[id]?.isLeftToRemove ?? false }
    }

    /// Every recording that has ended, listed or not.
    var kept: [KeptRecording] {
        entries.withLock { entries in
            entries.values.compactMap { entry in
                entry.ended.map { KeptRecording(row: $0, isLeftToRemove: entry.isLeftToRemove) }
            }
        }
    }

    var writingCount: Int {
        entries.withLock { $0.values.filter { $0.live != nil }.count }
    }
}
