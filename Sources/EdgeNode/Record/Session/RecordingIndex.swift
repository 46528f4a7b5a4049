import Cluster
import HTTP
import Journal
import Store
import Synchronization

/// An ended recording as retention looks at it.
struct KeptRecording: Sendable {
    let row: RecordingRecord
    /// Its removal was begun and has to be finished.
    let isLeftToRemove: Bool
    /// Nothing is left of it but the notice that says so.
    var isNotice: Bool { row.status == .deleted && !isLeftToRemove }
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

        var row: RecordingRecord? { live?.row ?? ended }
        var listed: RecordingRecord? { isForgotten && ended?.status != .deleted ? nil : row }
        var playable: RecordingRecord? {
            guard !isLeftToRemove, let row = listed, row.status != .deleted else { return nil }
            return row
        }

        var place: (directory: String, stream: String)? {
            live.map { ($0.directory, $0.stream) } ?? ended.map { ($0.recordDir, $0.stream) }
        }
    }

    /// Recordings by id, and which of them belong to a directory or a stream: there may be many thousands.
    private struct State {
        private(set) var entries: [String: Entry] = [:]
        private(set) var live: [String: LiveSession] = [:]
        private(set) var directories: [String: Set<String>] = [:]
        private(set) var streams: [String: Set<String>] = [:]

        mutating func set(_ id: String, _ entry: Entry?) {
            let old = entries[id]?.place
            let new = entry?.place
            entries[id] = entry
            live[id] = entry?.live
            guard old?.directory != new?.directory || old?.stream != new?.stream else { return }
            if let old {
                Self.remove(id, from: old.directory, in: &directories)
                Self.remove(id, from: old.stream, in: &streams)
            }
            if let new {
                directories[new.directory, default: []].insert(id)
                streams[new.stream, default: []].insert(id)
            }
        }

        private static func remove(_ id: String, from key: String, in sets: inout [String: Set<String>]) {
            sets[key]?.remove(id)
            if sets[key]?.isEmpty == true { sets[key] = nil }
        }

        func stream(ofDirectory directory: String) -> String? {
            guard let ids = directories[directory] else { return nil }
            for id in ids {
                if let row = entries[id]?.playable { return row.stream }
            }
            return nil
        }

        func of(stream: String?) -> [Entry] {
            guard let stream else { return Array(entries.values) }
            return (streams[stream] ?? []).compactMap { entries[$0] }
        }
    }

    private let state = Mutex(State())
    /// Sessions that have just ended: players may still be where they were written.
    private let fading = Mutex<[LiveSession]>([])
    /// Those who wait for a stream's recording to go on.
    let room = WaitingRoom(waitersMax: 2_048, firstVersion: WallClock.realtimeUs())

    /// A session is being written.
    func begin(_ session: LiveSession) {
        state.withLock { $0.set(session.id, Entry(live: session)) }
    }

    /// A session was found in storage, or has changed there.
    func put(_ session: RecordedSession) {
        let entry = Entry(
            ended: session.row, isForgotten: session.isForgotten, isLeftToRemove: session.isDeleting && !session.isDeleted)
        state.withLock { $0.set(session.id, entry) }
        room.changed(session.stream)
    }

    /// Nothing will be added to a session.
    func end(_ id: String) {
        let live = state.withLock { state in
            let live = state.entries[id]?.live
            if let row = state.entries[id]?.row { state.set(id, Entry(ended: row)) }
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
        let live = state.withLock { state in
            defer { state.set(id, nil) }
            return state.entries[id]?.live
        }
        fading.withLock { $0.removeAll { $0.id == id } }
        if let live { room.changed(live.stream) }
    }

    /// Many streams may end at once; what is kept of each is little.
    private static let fadingMax = 200

    /// The session of a stream that is being written.
    func live(stream: String) -> LiveSession? {
        state.withLock { $0.live.values.first { $0.stream == stream } }
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
        state.withLock { $0.entries[id]?.listed }
    }

    /// Where an ended recording's objects are, even one that is not listed any more.
    func ended(_ id: String) -> RecordingRecord? {
        state.withLock { $0.entries[id]?.ended }
    }

    /// Whether a recording is this node's, in whatever state.
    func has(_ id: String) -> Bool {
        state.withLock { $0.entries[id] != nil }
    }

    func live(_ id: String) -> LiveSession? {
        state.withLock { $0.entries[id]?.live }
    }

    /// Sessions that are being written into a directory.
    func live(in directory: String) -> [LiveSession] {
        state.withLock { $0.live.values.filter { $0.directory == directory } }
    }

    func find(stream: String, record: String) -> RecordingRecord? {
        row(record).flatMap { $0.stream == stream ? $0 : nil }
    }

    /// Rows that changed after `sinceUs`, oldest change first.
    func rows(sinceUs: Int64, stream: String?, limit: Int) -> [RecordingRecord] {
        let all = state.withLock { $0.of(stream: stream).compactMap(\.listed) }
        let fitting = all.filter { $0.updatedAt > sinceUs && $0.status != .acked }
        return Array(fitting.sorted { $0.updatedAt < $1.updatedAt }.prefix(max(0, limit)))
    }

    /// Rows of recordings whose media can be played, those an index has taken over too.
    func playable(stream: String?) -> [RecordingRecord] {
        state.withLock { $0.of(stream: stream).compactMap(\.playable) }
    }

    /// The stream of which something in a directory can be played; a directory is never shared by streams.
    func stream(ofDirectory directory: String) -> String? {
        state.withLock { $0.stream(ofDirectory: directory) }
    }

    func isLeftToRemove(_ id: String) -> Bool {
        state.withLock { $0.entries[id]?.isLeftToRemove ?? false }
    }

    /// Every recording that has ended, listed or not.
    var kept: [KeptRecording] {
        state.withLock { state in
            state.entries.values.compactMap { entry in
                entry.ended.map { KeptRecording(row: $0, isLeftToRemove: entry.isLeftToRemove) }
            }
        }
    }

    var writingCount: Int {
        state.withLock { $0.live.count }
    }
}
