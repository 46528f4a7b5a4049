import Cluster
import Journal
import Log
import Store
import Synchronization

extension Recorder {
    /// Reads what is in storage, and finishes recordings that a killed process left open. Call once, before anything is recorded.
    ///
    /// - Returns: how many recordings there are, and how many of them had to be finished.
    @discardableResult
    public func recover() async throws(RecordError) -> (recordings: Int, repaired: Int) {
        let environment = environment
        let result = await BlockingWork.run { () throws(StoreError) in try Self.recoverNow(environment) }
        do throws(StoreError) {
            return try result.get()
        } catch {
            throw .storage(error)
        }
    }

    private static func recoverNow(_ environment: RecorderEnvironment) throws(StoreError) -> (recordings: Int, repaired: Int) {
        let journals = try environment.store.keysNow(
            prefix: JournalName.prefix, suffix: JournalName.suffix)
        var recordings = 0
        var others: [String: Int] = [:]
        environment.shipper?.start()
        for key in journals.sorted() {
            do throws(StoreError) {
                guard let session = try RecordedSession.outline(key, in: environment.store) else { continue }
                // A spool is one node's, whatever it was called before; a storage folder may be shared by nodes.
                guard session.node == environment.node || environment.shipper != nil else {
                    others[session.node, default: 0] += 1
                    if !session.isEnded { environment.others.withLock { _ = $0.insert(key) } }
                    continue
                }
                environment.clock.skip(past: session.updatedUs)
                guard session.isEnded || session.isDeleting else {
                    environment.leaveOpen(key)
                    continue
                }
                environment.index.put(session)
                // Behind that, as it may find that the recording is another.
                if session.isEnded { try environment.shipper?.adoptNow(key) }
                if session.closing == nil, environment.shipper == nil { try addRow(to: key, environment) }
                if !session.isForgotten, !session.isDeleting { recordings += 1 }
            } catch {
                // One damaged file must not keep a node from its work.
                environment.log.error("a recording cannot be read", ["journal": key.path, "error": "\(error)"])
            }
        }
        for (node, count) in others {
            environment.log.info(
                "recordings of another node are in the same folder and are left to it; if this node was called so before, give it that "
                    + "name again in node.alias",
                ["node": node, "recordings": String(count)])
        }
        let repaired = environment.closeLeftOpen()
        return (recordings + repaired, repaired)
    }

    /// Adds the row to a journal that was closed without one, so that the next start need not read all of it.
    private static func addRow(to journal: ObjectKey, _ environment: RecorderEnvironment) throws(StoreError) {
        guard let directory = journal.parent else { return }
        try environment.store.withLockNow(directory) { () throws(StoreError) in
            let bytes = try environment.store.readNow(journal, limit: JournalName.bytesMax)
            guard let (session, whole) = RecordedSession.read(bytes, directory: directory.path), whole == bytes.count,
                session.isEnded, session.closing == nil, session.hasSegments, !session.isDeleting
            else { return }
            try environment.store.appendingNow(journal, exclusively: false).append(session.closedAgain().encoded())
        }
    }

    // MARK: Rows

    /// Recordings that changed after `sinceUs` (Unix microseconds), oldest change first; those an index has taken over are left out.
    public func recordings(sinceUs: Int64 = 0, stream: String? = nil, limit: Int = 100) -> RecordingsPage {
        RecordingsPage(sessions: environment.index.rows(sinceUs: sinceUs, stream: stream, limit: limit))
    }

    /// Everything about a recording that a manifest needs, or what came after an earlier answer when this process can go on from there.
    /// Throws `notFound` or `storage`.
    ///
    /// - Parameter after: `next` of the earlier answer.
    public func detail(id: String, after: String? = nil) async throws(RecordError) -> RecordingDetail {
        let life = environment.life
        if let live = environment.index.live(id) { return live.value.detail(after: after, life: life) }
        return try await session(id).detail(after: after, life: life)
    }

    /// An index has taken over ended recordings; they are not listed any more, and stay.
    ///
    /// - Returns: how many.
    public func acknowledge(_ records: [(stream: String, record: String)]) async throws(RecordError) -> Int {
        try await note(.acked, records) { $0 == .completed || $0 == .failed }
    }

    /// Takes acknowledged recordings off the index; the media stay.
    ///
    /// - Returns: how many.
    public func forget(_ records: [(stream: String, record: String)]) async throws(RecordError) -> Int {
        try await note(.forgotten, records) { $0 == .acked }
    }

    /// Removes an ended recording with all its objects; it stays listed as deleted for a while. Throws `notFound`, `active` or
    /// `storage`; after the latter the removal is finished later.
    public func delete(id: String) async throws(RecordError) {
        if environment.index.live(id) != nil { throw .active }
        guard let row = environment.index.ended(id), row.status != .deleted || environment.index.isLeftToRemove(id) else {
            throw .notFound
        }
        let isRemoved: Bool
        do throws(StoreError) {
            isRemoved = try await SessionRemoval(environment).remove(row)
        } catch {
            throw error == .notFound ? .notFound : .storage(error)
        }
        guard isRemoved else { throw .active }
    }

    // MARK: Steps

    private func session(_ id: String) async throws(RecordError) -> RecordedSession {
        guard let row = environment.index.row(id), row.status != .deleted else { throw .notFound }
        switch await environment.session(row) {
        case .success(let session):
            guard let session else { throw .notFound }
            return session
        case .failure(let error): throw error == .notFound ? .notFound : .storage(error)
        }
    }

    /// Adds a line to the journals of those records whose status allows it.
    private func note(
        _ event: JournalLine.Event, _ records: [(stream: String, record: String)], where fits: (RecordingStatus) -> Bool
    ) async throws(RecordError) -> Int {
        var count = 0
        for record in records {
            guard let row = environment.index.find(stream: record.stream, record: record.record), fits(row.status) else {
                continue
            }
            let environment = environment
            let result = await BlockingWork.run { () throws(StoreError) -> RecordedSession? in
                let key = try ObjectKey(row.recordDir + "/" + JournalName.of(row.id))
                // Under the lock, because a shorter journal may take the place of this one.
                try environment.store.withLockNow(try ObjectKey(row.recordDir)) { () throws(StoreError) in
                    let line = JournalLine(event, at: environment.clock.next())
                    try environment.store.appendingNow(key, exclusively: false).append(line.encoded())
                }
                return try RecordedSession.outline(key, in: environment.store)
            }
            switch result {
            case .success(let session):
                if let session { environment.index.put(session) }
                count += 1
            case .failure(let error): throw .storage(error)
            }
        }
        return count
    }
}
