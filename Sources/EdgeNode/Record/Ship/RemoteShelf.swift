import Store

/// The journals in a directory of the remote store, whoever wrote them; what has not changed is not fetched again.
struct RemoteShelf: Sendable {
    let directory: ObjectKey
    private var journals: [ObjectKey: Journal] = [:]
    /// The manifest that was there when the journals were read, as the condition for replacing it; `none` while nobody has looked.
    var manifest = PutCondition.none

    private struct Journal: Sendable {
        let etag: String
        let modifiedUs: Int64
        /// Nil for what is no journal.
        let session: RecordedSession?
    }

    init(directory: ObjectKey) {
        self.directory = directory
    }

    private func list(_ store: any ObjectStore) async throws(StoreError) -> [ObjectInfo] {
        var found: [ObjectInfo] = []
        var after: String?
        repeat {
            let page = try await store.list(
                prefix: directory.path + "/" + SessionDirectory.journalPrefix, after: after, limit: 1000)
            found += page.objects.filter { SessionDirectory.isJournal($0.key) && $0.key.parent == directory }
            after = page.continuation
        } while after != nil
        return found
    }

    /// Brings what is known up to date.
    mutating func read(_ store: any ObjectStore) async throws(StoreError) {
        if manifest == .none { manifest = try await look(store) }
        var now: [ObjectKey: Journal] = [:]
        for info in try await list(store) {
            if let known = journals[info.key], known.etag == info.etag {
                now[info.key] = known
                continue
            }
            do throws(StoreError) {
                let bytes = try await store.read(info.key, limit: SessionDirectory.journalBytesMax)
                let session = RecordedSession.read(bytes, directory: directory.path)?.session
                now[info.key] = Journal(etag: info.etag, modifiedUs: info.modifiedUs, session: session)
            } catch {
                // It was removed between the two.
                guard error == .notFound else { throw error }
            }
        }
        journals = now
    }

    private func look(_ store: any ObjectStore) async throws(StoreError) -> PutCondition {
        do throws(StoreError) {
            return .matches(try await store.head(try directory.appending(DayManifest.name)).etag)
        } catch {
            guard error == .notFound else { throw error }
            return .absent
        }
    }

    /// Whether the store has just what `read` found.
    func isUnchanged(_ store: any ObjectStore) async throws(StoreError) -> Bool {
        let listed = try await list(store)
        return listed.count == journals.count && listed.allSatisfy { journals[$0.key]?.etag == $0.etag }
    }

    /// The sessions of a stream that can be shown.
    func sessions(stream: String, nowUs: Int64) -> [RecordedSession] {
        journals.values.compactMap { journal in
            guard let session = journal.session, session.stream == stream, !session.isDeleting else { return nil }
            return session.shown(modifiedUs: journal.modifiedUs, nowUs: nowUs)
        }
    }
}
