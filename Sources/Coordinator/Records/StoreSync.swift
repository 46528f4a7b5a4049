import Cluster
import Journal
import Log
import Nodes
import Presentation
import Store

/// Brings recordings into the index that no node tells of, from their journals in the storage that all nodes share: those of nodes that
/// never came back, and all of them after an index was lost.
///
/// What a node holds it tells itself; see ``RecordingSync``. So while all nodes answer this lists the store, and reads next to nothing.
public actor StoreSync {
    /// How it stands.
    public struct Status: Sendable, Equatable {
        /// Looks at the whole store that came to their end.
        public var rounds = 0
        /// Looks that failed.
        public var failures = 0
        /// Journals read.
        public var journals = 0
        /// Recordings stored or changed.
        public var recordings = 0
        /// Why the last look failed; nil when it did not.
        public var lastFailure: String?
    }

    /// The nodes' own word is waited for at the start.
    static let grace = Duration.seconds(3)
    /// Between two looks at least this, and so many times as long as the last one took.
    static let rest = Duration.seconds(60)
    static let restShare = 20
    /// A journal of this size may be the notice of a removal, which is read whoever holds the recording.
    static let noticeBytes: Int64 = 4 << 10
    /// A node that answers has told of a recording by then.
    static let settleUs: Int64 = 60_000_000
    /// A removal that somebody has begun and does not finish is taken over.
    static let takeoverUs: Int64 = 60_000_000
    /// The same of a node that answers: it takes up its own each hour, unless it has lost its disk and knows of none.
    static let nodeTakeoverUs: Int64 = 7_200_000_000

    private let stored: StoredRecordings
    private let presences: @Sendable () async -> NodePresences
    private let hasRead: @Sendable (String) async -> Bool
    private let log = Logger("store")
    private var state = Status()
    private var task: Task<Void, Never>?

    /// A look at `stored` again and again, once `start()` is called.
    public init(_ stored: StoredRecordings, directory: NodeDirectory, sync: RecordingSync) {
        self.init(stored, presences: { await directory.presences() }, hasRead: { await sync.hasRead($0) })
    }

    /// - Parameter hasRead: whether a node has told of all its recordings.
    init(
        _ stored: StoredRecordings, presences: @escaping @Sendable () async -> NodePresences,
        hasRead: @escaping @Sendable (String) async -> Bool
    ) {
        self.stored = stored
        self.presences = presences
        self.hasRead = hasRead
    }

    /// Begins to look.
    public func start() {
        guard task == nil else { return }
        task = Task { [weak self] in
            try? await Task.sleep(for: Self.grace)
            while !Task.isCancelled {
                let begin = ContinuousClock.now
                await self?.look()
                try? await Task.sleep(for: max(Self.rest, begin.duration(to: .now) * Self.restShare))
            }
        }
    }

    /// Stops; what a look has not come to is looked at next time.
    public func stop() async {
        task?.cancel()
        await task?.value
        task = nil
    }

    /// How it stands.
    public func status() -> Status { state }

    func look() async {
        do {
            var walk = JournalWalk(stored.store)
            while !Task.isCancelled, let page = try await walk.next() { try await take(page) }
            guard !Task.isCancelled else { return }
            state.rounds += 1
            if state.lastFailure != nil { log.info("the store's journals are read again") }
            state.lastFailure = nil
        } catch {
            guard !Task.isCancelled else { return }
            let reason = String(describing: error)
            if state.lastFailure != reason { log.warning("can't read the store's journals", ["reason": reason]) }
            state.failures += 1
            state.lastFailure = reason
        }
    }

    // MARK: a page

    private func take(_ page: JournalWalk.Page) async throws {
        let journals = page.journals.compactMap { ListedJournal($0) }
        let all = try await stored.index.facts(of: journals)
        let nodes = await presences()
        for (journal, facts) in zip(journals, all) where !Task.isCancelled && facts.mustBeRead(journal, nodes) {
            try await read(journal, facts, nodes)
        }
        let listed = Set(journals.map(\.path))
        for path in try await stored.index.knownJournals(after: page.after, through: page.through) where !listed.contains(path) {
            try await forgetIfGone(path)
        }
    }

    /// A listing that leaves something out proves little; the store is asked for the journal itself.
    private func forgetIfGone(_ path: String) async throws {
        do {
            _ = try await stored.store.head(try ObjectKey(path))
        } catch StoreError.notFound {
            if let journal = ListedJournal(gone: path) { try await stored.index.forget(journal) }
        }
    }

    private func read(_ listed: ListedJournal, _ facts: JournalFacts, _ nodes: NodePresences) async throws {
        let found: StoredJournal?
        do throws(StoreError) {
            found = try await stored.journal(try ObjectKey(listed.path))
        } catch {
            switch error {
            case .notFound: return
            // That says nothing of the store's other objects.
            case .denied, .failed:
                return log.warning("a journal can't be read", ["journal": listed.path, "reason": "\(error)"])
            default: throw error
            }
        }
        state.journals += 1
        guard let journal = found else {
            log.warning("this is no journal of ours", ["journal": listed.path])
            return try await stored.index.note(listed, updatedUs: 0)
        }
        let session = journal.session
        if session.isDeleting { return try await withdraw(listed, session, nodes) }
        if let row = facts.row, !row.isFromStore, nodes[row.node] != .gone {
            return try await stored.index.note(listed, updatedUs: session.updatedUs)
        }
        // Its node has not had the time to tell of it.
        if nodes[session.node] == .here, await !isSettled(listed, session) { return }
        try await store(journal, listed, takesOver: facts.row?.isFromStore == false)
    }

    /// - Parameter takesOver: what a node told of that is gone.
    private func store(_ found: StoredJournal, _ listed: ListedJournal, takesOver: Bool) async throws {
        var (journal, listed) = (found, listed)
        // A node that writes a journal over the notice of its removal is told to remove it.
        if try await stored.index.isRemoved(directory: listed.directory, session: listed.session) {
            return try await stored.index.note(listed, updatedUs: 0)
        }
        listed = try await stored.complete(&journal, listed)
        let session = journal.session
        guard session.hasSegments, let recording = IndexedRecording(fromStore: session) else {
            return try await stored.index.note(listed, updatedUs: 0)
        }
        try await stored.index.put(fromStore: recording, IndexedPeriod.periods(of: session.detail), takesOver: takesOver)
        try await stored.index.note(listed, updatedUs: session.updatedUs)
        state.recordings += 1
    }

    private func isSettled(_ journal: ListedJournal, _ session: RecordedSession) async -> Bool {
        guard journal.modifiedUs < stored.clock.now() - Self.settleUs else { return false }
        return await hasRead(session.node)
    }

    /// The notice of a removal: what it removed is not listed any more, and what it left undone is done, by its node if that answers.
    private func withdraw(_ journal: ListedJournal, _ session: RecordedSession, _ nodes: NodePresences) async throws {
        await stored.forget(session)
        // Without names of tracks only the node knows what was its own.
        let isHopeless = nodes[session.node] == .gone && session.periods.isEmpty
        if session.isDeleted || isHopeless { return try await stored.index.note(journal, updatedUs: session.updatedUs) }
        // It is read again each time until somebody has finished it.
        let patienceUs = nodes[session.node] == .here ? Self.nodeTakeoverUs : Self.takeoverUs
        guard session.updatedUs < stored.clock.now() - patienceUs else { return }
        try await stored.remove(session)
        log.info("a removal was finished", ["stream": session.stream, "recording": session.id])
    }
}

extension ListedJournal {
    /// Nil for what is no journal.
    init?(_ info: ObjectInfo) {
        guard let directory = info.key.parent, let session = JournalName.id(of: info.key) else { return nil }
        self.init(
            path: info.key.path, directory: directory.path, session: session, etag: info.etag, bytes: info.size,
            modifiedUs: info.modifiedUs)
    }

    /// One that is not there any more.
    init?(gone path: String) {
        guard let key = try? ObjectKey(path) else { return nil }
        self.init(ObjectInfo(key: key, size: 0, etag: "", modifiedUs: 0))
    }
}

extension JournalFacts {
    /// Whether a journal may tell something that the index should have.
    func mustBeRead(_ journal: ListedJournal, _ nodes: NodePresences) -> Bool {
        let isKnown = tag == journal.tag
        guard let row, !row.isFromStore else { return !isKnown }
        switch nodes[row.node] {
        case .here, .away: return !isKnown && journal.bytes <= StoreSync.noticeBytes
        // The node may have told of media that never reached the store.
        case .gone: return isKnown ? updatedUs != row.updatedUs && updatedUs != 0 : true
        }
    }
}

extension IndexedRecording {
    /// A recording as its journal in the store tells it; nil when its numbers can't be meant.
    init?(fromStore session: RecordedSession) {
        self.init(session.row, node: session.node)
        guard !session.isEnded else { return }
        status = .incomplete
        endUs = session.endUs
    }
}
