import Cluster
import Journal
import Media
import Store

/// Removes one recording for good, in steps of which each leaves what the next start can go on from.
///
/// First the journal says that the session is being deleted, from then on nobody names it. The manifest follows, then objects go, and in
/// the end a short notice takes the journal's place. Whoever has an object open reads it to its end.
struct SessionRemoval {
    let environment: RecorderEnvironment

    init(_ environment: RecorderEnvironment) {
        self.environment = environment
    }

    /// Removes what is left of a session. False when its writer lives or someone else is removing it.
    func remove(_ row: RecordingRecord) async throws(StoreError) -> Bool {
        if let shipper = environment.shipper {
            let marked = await BlockingWork.run { () throws(StoreError) in try begin(row)?.session }
            guard let session = try marked.get() else { return false }
            try await shipper.remove(session)
        }
        let result = await BlockingWork.run { () throws(StoreError) -> Bool in
            guard let work = try begin(row) else { return false }
            try work.unlist()
            try work.removeObjects()
            try work.leaveNotice()
            return true
        }
        return try result.get()
    }

    /// Removes the notice of a session.
    func forget(_ row: RecordingRecord) async throws(StoreError) {
        try await environment.shipper?.forgetNotice(directory: try ObjectKey(row.recordDir), id: row.id)
        let result = await BlockingWork.run { () throws(StoreError) in
            try environment.store.deleteNow(try Self.journalKey(row))
        }
        try result.get()
        environment.index.remove(row.id)
    }

    /// Marks the session, unless an earlier attempt did. Nil when it is not ours to remove now. Blocks.
    func begin(_ row: RecordingRecord) throws(StoreError) -> Work? {
        // Under the lock, because what takes the place of a journal does so under it.
        try environment.store.withLockNow(try ObjectKey(row.recordDir)) { () throws(StoreError) in try mark(row) }
    }

    private func mark(_ row: RecordingRecord) throws(StoreError) -> Work? {
        let key = try Self.journalKey(row)
        let journal = try environment.store.appendingNow(key, exclusively: false)
        guard journal.claim() else { return nil }
        let bytes = try environment.store.readNow(key, limit: JournalName.bytesMax)
        guard let (read, wholeBytes) = RecordedSession.read(bytes, directory: row.recordDir) else { throw .notFound }
        var session = read
        guard session.isEnded || session.isDeleting else { return nil }
        if !session.isDeleting {
            if wholeBytes < bytes.count { try journal.truncate(to: Int64(wholeBytes)) }
            let line = JournalLine(.deleting, at: environment.clock.next())
            try journal.append(line.encoded())
            session.apply(line)
        }
        environment.index.put(session)
        let directory = SessionDirectory(store: environment.store, key: try ObjectKey(session.directory))
        return Work(environment: environment, journal: journal, directory: directory, session: session)
    }

    private static func journalKey(_ row: RecordingRecord) throws(StoreError) -> ObjectKey {
        try ObjectKey(row.recordDir + "/" + JournalName.of(row.id))
    }

    /// The steps after the mark, in their order; every one may be done again.
    struct Work {
        let environment: RecorderEnvironment
        /// Held, so that nobody else works on the session.
        let journal: AppendFile
        let directory: SessionDirectory
        let session: RecordedSession

        func unlist() throws(StoreError) {
            var directory = directory
            try directory.writeManifest(
                own: nil, publishUs: environment.clock.next(), segmentSeconds: environment.settings.segmentSeconds)
        }

        /// Objects that the session's tracks could have written, also those that no line names after a loss.
        func removeObjects() throws(StoreError) {
            let own = OwnedNames(session)
            for name in try directory.names() where own.contains(name) || name == UploadLog.name(session.id) {
                try environment.store.deleteNow(try directory.object(name))
            }
        }

        func leaveNotice() throws(StoreError) {
            let notice = session.notice(.deleted, clock: environment.clock)
            let key = try directory.object(JournalName.of(session.id))
            try environment.store.putNow(key, notice.flatMap { $0.encoded() }, ifAbsent: false)
            var deleted = session
            for line in notice { deleted.apply(line) }
            environment.index.put(deleted)
        }
    }
}
