import Store

/// Removes what a store has of a session, in steps that may each be done again, by whoever comes next.
///
/// First the journal says that the session is being deleted: from then on no index and no manifest names it. The manifest follows, then
/// objects go, and in the end a short notice takes the journal's place, so that indexes that were away hear of it and its names are not
/// used again.
package struct StoredRemoval: Sendable {
    /// What is removed.
    package let session: RecordedSession
    private let directory: ObjectKey
    private let journal: ObjectKey
    private let store: any ObjectStore
    private let clock: UpdateClock

    /// - Parameter session: with its tracks, whose names say which objects are its own.
    package init(_ session: RecordedSession, from store: any ObjectStore, clock: UpdateClock) throws(StoreError) {
        self.session = session
        self.store = store
        self.clock = clock
        directory = try ObjectKey(session.directory)
        journal = try directory.appending(JournalName.of(session.id))
    }

    /// How long the notice stays, so that indexes that were away hear of it: seven days.
    package static let noticeUs: Int64 = 7 * 86_400_000_000

    /// The first step, behind which there is no way back.
    package func mark() async throws(StoreError) {
        try await put(.deleting)
    }

    /// The second step where nobody keeps a shelf of the directory.
    ///
    /// - Parameter segmentSeconds: what players of a manifest that still grows ask again after.
    package func unlist(segmentSeconds: Double) async throws(StoreError) {
        var shelf = JournalShelf(directory: directory)
        _ = try await shelf.writeManifest(stream: session.stream, segmentSeconds: segmentSeconds, to: store, clock: clock)
    }

    /// The third and the last step: media, then the notice.
    package func removeObjects() async throws(StoreError) {
        let own = OwnedNames(session)
        var after: String?
        repeat {
            let page = try await store.list(prefix: directory.path + "/", after: after, limit: 1000)
            let keys = page.objects.map(\.key).filter { $0.parent == directory && own.contains($0.name) }
            if !keys.isEmpty { try await store.deleteAll(keys) }
            after = page.continuation
        } while after != nil
        try await put(.deleted)
    }

    private func put(_ event: JournalLine.Event) async throws(StoreError) {
        let lines = session.notice(event, clock: clock)
        try await store.put(journal, lines.flatMap { $0.encoded() }, condition: .none)
    }
}
