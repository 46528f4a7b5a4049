import Media
import Store

/// The journals in a directory of a store, whoever wrote them, and the manifest of all of them. What has not changed is not fetched again.
package struct JournalShelf: Sendable {
    package let directory: ObjectKey
    private var journals: [ObjectKey: Journal] = [:]
    /// The manifest that was there when the journals were read, as the condition for replacing it; `none` while nobody has looked.
    package var manifest = PutCondition.none

    private struct Journal: Sendable {
        let etag: String
        let modifiedUs: Int64
        /// Nil for what is no journal.
        let session: RecordedSession?
    }

    package init(directory: ObjectKey) {
        self.directory = directory
    }

    private func list(_ store: any ObjectStore) async throws(StoreError) -> [ObjectInfo] {
        var found: [ObjectInfo] = []
        var after: String?
        repeat {
            let page = try await store.list(
                prefix: directory.path + "/" + JournalName.prefix, after: after, limit: 1000)
            found += page.objects.filter { JournalName.isOne($0.key) && $0.key.parent == directory }
            after = page.continuation
        } while after != nil
        return found
    }

    /// Brings what is known up to date.
    package mutating func read(_ store: any ObjectStore) async throws(StoreError) {
        var now: [ObjectKey: Journal] = [:]
        for info in try await list(store) {
            if let known = journals[info.key], known.etag == info.etag {
                now[info.key] = known
                continue
            }
            do throws(StoreError) {
                let bytes = try await store.read(info.key, limit: JournalName.bytesMax)
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
    package func isUnchanged(_ store: any ObjectStore) async throws(StoreError) -> Bool {
        let listed = try await list(store)
        return listed.count == journals.count && listed.allSatisfy { journals[$0.key]?.etag == $0.etag }
    }

    /// The sessions of a stream that can be shown.
    package func sessions(stream: String, nowUs: Int64) -> [RecordedSession] {
        journals.values.compactMap { journal in
            guard let session = journal.session, session.stream == stream, !session.isDeleting else { return nil }
            return session.shown(modifiedUs: journal.modifiedUs, nowUs: nowUs)
        }
    }

    // MARK: The manifest

    /// Writes the manifest of all journals in the directory, until none has changed meanwhile.
    ///
    /// - Returns: bytes written.
    package mutating func writeManifest(
        stream: String, segmentSeconds: Double, to store: any ObjectStore, clock: UpdateClock
    ) async throws(StoreError) -> Int64 {
        var cost: Int64 = 0
        var isWritten = false
        for _ in 0..<Self.manifestAttempts {
            if manifest == .none { manifest = try await look(store) }
            try await read(store)
            let sessions = sessions(stream: stream, nowUs: clock.now())
            let mpd = DayManifest.render(sessions, publishUs: clock.next(), segmentSeconds: segmentSeconds)
            guard let bytes = try await put(mpd, isEmpty: sessions.isEmpty, to: store) else {
                isWritten = false
                continue
            }
            cost += bytes
            isWritten = true
            // Another node may have put its journal between our look and our manifest, and its manifest before ours.
            if try await isUnchanged(store) { break }
        }
        guard isWritten else { throw .unavailable(reason: "others keep writing the manifest in \(directory.path)") }
        return cost
    }

    private static let manifestAttempts = 8

    /// Puts a manifest where the one still is that the journals were read beside; nil, and an empty directory, removes it.
    ///
    /// - Returns: bytes written; nil when another writer was faster, so that its journal must be read first.
    private mutating func put(_ mpd: MPD?, isEmpty: Bool, to store: any ObjectStore) async throws(StoreError) -> Int64? {
        let key = try directory.appending(DayManifest.name)
        guard let mpd else {
            if isEmpty {
                try await store.delete(key)
                manifest = .absent
            }
            return 0
        }
        let bytes = mpd.utf8
        do throws(StoreError) {
            manifest = .matches(try await store.put(key, bytes, condition: manifest).etag)
            return Int64(bytes.count)
        } catch {
            guard error == .exists || error == .preconditionFailed else { throw error }
            manifest = .none
            return nil
        }
    }
}
