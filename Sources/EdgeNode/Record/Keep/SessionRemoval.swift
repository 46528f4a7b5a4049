import Cluster
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

    /// How long the notice stays, so that indexes that were away hear of it: seven days.
    static let noticeUs: Int64 = 7 * 86_400_000_000

    /// Removes what is left of a session. False when its writer lives or someone else is removing it.
    func remove(_ row: RecordingRecord) async throws(StoreError) -> Bool {
        let begun = await BlockingWork.run { () throws(StoreError) -> Work? in
            let work = try begin(row)
            try work?.unlist()
            return work
        }
        guard let work = try begun.get() else { return false }
        if let remote = environment.remote {
            try await RemoteRemoval(
                store: remote, session: work.session, notice: work.notice(work.deleted()),
                segmentSeconds: environment.settings.segmentSeconds,
                publishUs: { [clock = environment.clock] in clock.next() }
            ).remove()
        }
        let ended = await BlockingWork.run { () throws(StoreError) in
            try work.removeObjects()
            try work.leaveNotice()
        }
        try ended.get()
        return true
    }

    /// Removes the notice of a session.
    func forget(_ row: RecordingRecord) async throws(StoreError) {
        try await environment.remote?.delete(try Self.journalKey(row))
        let result = await BlockingWork.run { () throws(StoreError) in
            try environment.store.deleteNow(try Self.journalKey(row))
        }
        try result.get()
        environment.index.remove(row.id)
    }

    /// Marks the session, unless an earlier attempt did. Nil when it is not ours to remove now. Blocks.
    func begin(_ row: RecordingRecord) throws(StoreError) -> Work? {
        let key = try Self.journalKey(row)
        let journal = try environment.store.appendingNow(key, exclusively: false)
        guard journal.claim() else { return nil }
        let bytes = try environment.store.readNow(key, limit: SessionDirectory.journalBytesMax)
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
        try ObjectKey(row.recordDir + "/" + SessionDirectory.journalName(row.id))
    }

    /// The steps after the mark, in their order; every one may be done again.
    struct Work: @unchecked Sendable {  // why: the journal is held, not used, and one step at a time is done
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
            for name in try directory.names() where own.contains(name) {
                try environment.store.deleteNow(try directory.object(name))
            }
        }

        /// What takes the journal's place.
        func notice(_ last: JournalLine) -> [UInt8] {
            var first = JournalLine(.session, at: last.at)
            first.version = 1
            first.id = session.id
            first.stream = session.stream
            first.node = session.node
            first.startUs = session.startUs
            return first.encoded() + last.encoded()
        }

        func deleted() -> JournalLine {
            JournalLine(.deleted, at: environment.clock.next())
        }

        func leaveNotice() throws(StoreError) {
            let last = deleted()
            try environment.store.putNow(
                try directory.object(SessionDirectory.journalName(session.id)), notice(last), ifAbsent: false)
            var removed = session
            removed.apply(last)
            environment.index.put(removed)
        }
    }
}

/// Which names in a directory are a session's: its initialization objects, everything numbered with its prefixes, and what says what of
/// it was shipped.
struct OwnedNames {
    let initializations: Set<String>
    let prefixes: Set<String>
    private let uploads: String

    init(_ session: RecordedSession) {
        let tracks = session.periods.flatMap(\.tracks)
        initializations = Set(tracks.map(\.initialization))
        prefixes = Set(tracks.map(\.prefix))
        uploads = "uploads_\(session.id).jsonl"
    }

    func contains(_ name: String) -> Bool {
        if name == uploads || initializations.contains(name) { return true }
        let plain = name.hasSuffix(FileStore.temporarySuffix) ? String(name.dropLast(FileStore.temporarySuffix.count)) : name
        guard let cut = plain.lastIndex(of: "_"), let dot = plain.lastIndex(of: "."), cut < dot else { return false }
        let number = plain[plain.index(after: cut)..<dot]
        return !number.isEmpty && number.utf8.allSatisfy { (0x30...0x39).contains($0) }
            && prefixes.contains(String(plain[...cut]))
    }
}
