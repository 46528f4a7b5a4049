import Cluster
import Journal
import Presentation
import Store

/// Recordings as the shared store has them, when no node can be asked: reads their journals and removes them.
public struct StoredRecordings: Sendable {
    /// What came of a wish to remove a recording.
    public enum Removal: Sendable, Equatable {
        /// Nothing is left of it but a notice.
        case removed
        /// The store has no journal of it.
        case notInStore
        /// It did not end, and something of it was written just now; it may be asked again after so many seconds.
        case beingWritten(retryAfterSeconds: Int)
    }

    let store: any ObjectStore
    let index: RecordingIndex
    let clock: UpdateClock

    /// A journal of more is not read: a stream's day of one-second segments has 26 MB.
    static let journalBytesMax = 64 << 20
    /// A recording that goes on brings a segment at least so often, unless its key frames are far apart. In a folder a writer can be told
    /// from its silence only: see `RecordedSession.silenceUs`.
    private var quietUs: Int64 { isFolder ? RecordedSession.silenceUs : 15_000_000 }
    /// What players of a growing manifest of others ask again after: the recorder's default.
    private static let segmentSeconds = 4.0

    /// - Parameters:
    ///   - store: the storage all nodes share.
    ///   - nowUs: the time of day, Unix microseconds.
    public init(store: any ObjectStore, index: RecordingIndex, nowUs: @escaping @Sendable () -> Int64) {
        self.store = store
        self.index = index
        clock = UpdateClock(now: nowUs)
    }

    /// A folder that nodes write to themselves, not a bucket that they send to.
    var isFolder: Bool { store is FileStore }

    /// A journal; nil when it can't be one of ours.
    func journal(_ key: ObjectKey) async throws(StoreError) -> StoredJournal? {
        let bytes = try await store.read(key, limit: Self.journalBytesMax)
        guard let directory = key.parent, let id = JournalName.id(of: key),
            let (session, whole) = RecordedSession.read(bytes, directory: directory.path),
            session.id == id, StreamName.isValid(session.stream), NodeAlias.isValid(session.node)
        else { return nil }
        return StoredJournal(session: session, lines: Array(bytes.prefix(whole)))
    }

    // MARK: removing

    /// Removes a recording and its objects for good, when its node can't be asked to. One that did not end is removed when nothing has been
    /// written to it for a while.
    ///
    /// The journal is marked first, then the index forgets, then manifest and objects go: whatever stops this, the next look at the store
    /// finishes it. A node that comes back and lists the recording is told to remove it.
    /// - Throws: what the store says; what was begun is finished later.
    public func remove(_ recording: IndexedRecording) async throws(StoreError) -> Removal {
        let key = try ObjectKey(recording.recordDir).appending(JournalName.of(recording.session))
        let found: RecordedSession?
        do throws(StoreError) {
            found = try await journal(key)?.session
        } catch {
            guard error == .notFound else { throw error }
            return .notInStore
        }
        guard let session = found, session.stream == recording.stream else { return .notInStore }
        if !session.isEnded, !session.isDeleting, let seconds = try await secondsUntilQuiet(session, key) {
            return .beingWritten(retryAfterSeconds: seconds)
        }
        try await remove(session)
        return .removed
    }

    /// Takes every step that is left.
    func remove(_ session: RecordedSession) async throws(StoreError) {
        let removal = try StoredRemoval(session, from: store, clock: clock)
        if !session.isDeleting { try await removal.mark() }
        await forget(session)
        guard !session.isDeleted else { return }
        try await removal.unlist(segmentSeconds: Self.segmentSeconds)
        try await removal.removeObjects()
    }

    /// An index that can't be written is told by everything else that needs it, and the next look at the store forgets.
    func forget(_ session: RecordedSession) async {
        try? await index.setRemoved(directory: session.directory, session: session.id, atUs: clock.next())
    }

    /// Nil when nothing of a session has been written lately.
    private func secondsUntilQuiet(_ session: RecordedSession, _ journal: ObjectKey) async throws(StoreError) -> Int? {
        let own = OwnedNames(session)
        var newestUs = try await store.head(journal).modifiedUs
        var after: String?
        repeat {
            let page = try await store.list(prefix: session.directory + "/", after: after, limit: 1_000)
            for object in page.objects where object.key.parent?.path == session.directory && own.contains(object.key.name) {
                newestUs = max(newestUs, object.modifiedUs)
            }
            after = page.continuation
        } while after != nil
        let leftUs = newestUs + quietUs - clock.now()
        // A clock that is far ahead of ours must not keep it for ever.
        return leftUs > 0 ? Int(min(leftUs, quietUs) / 1_000_000) + 1 : nil
    }
}
