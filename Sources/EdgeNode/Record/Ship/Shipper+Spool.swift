import Journal
import Log
import Store
import Synchronization

/// What the spool says, after a restart or a failure.
extension Shipper {
    /// Takes up an ended recording where it was left. Blocks.
    ///
    /// - Parameter isRemoved: nothing of it was worth keeping, and it was removed here.
    func adoptNow(_ journal: ObjectKey, isRemoved: Bool = false) throws(StoreError) {
        guard let directory = journal.parent, let id = JournalName.id(of: journal) else { return }
        let bytes: [UInt8]
        let sent = try UploadLog(store: local, journal: journal).read()
        do throws(StoreError) {
            // Of what is complete only the size is asked for: there may be many thousands.
            let size = try local.headNow(journal).size
            if sent.isComplete { return size > Self.shortBytes ? try shortenNow(journal) : () }
            bytes = try local.readNow(journal, limit: JournalName.bytesMax)
        } catch {
            guard error == .notFound else { throw error }
            if !isRemoved { log.error("a journal vanished from the spool", ["recording": id]) }
            state.withLock { state in
                if isRemoved {
                    state.plan.withdraw(id: id, stream: "", directory: directory.path)
                } else {
                    state.plan.loseJournal(of: id)
                }
                if !state.plan.hasRecordings(in: directory.path) { state.shelves[directory.path] = nil }
            }
            return step()
        }
        guard !isShortened(bytes, directory) else { return try UploadLog(store: local, journal: journal).complete() }
        guard let scan = SpoolScan(journal: bytes, log: sent, directory: directory.path),
            scan.session.isEnded, !scan.session.isDeleting
        else { return }
        // Sent and noted, but the process died before it removed them.
        for name in scan.uploaded { try local.deleteNow(try directory.appending(name)) }
        let recording = ShipPlan.Recording(
            id: id, stream: scan.session.stream, directory: directory.path, startUs: scan.session.startUs,
            known: scan.journalBytes)
        state.withLock { state in
            state.plan.replace(recording, objects: scan.waiting, shipped: scan.shipped, isClosed: true)
        }
        step()
    }

    // MARK: What stays

    /// Journals of complete recordings are not larger, unless they have very many periods.
    private static let shortBytes: Int64 = 16 << 10

    /// Takes the lines about segments out of a journal that is complete in the remote store. Names of tracks stay, for the removal, and
    /// the row, for the index. Blocks.
    func shortenNow(_ journal: ObjectKey) throws(StoreError) {
        guard let directory = journal.parent else { return }
        try local.withLockNow(directory) { () throws(StoreError) in
            let bytes = try local.readNow(journal, limit: JournalName.bytesMax)
            guard let (session, whole) = RecordedSession.read(bytes, directory: directory.path), whole == bytes.count,
                session.isEnded, !session.isDeleting, session.hasSegments
            else { return }
            var kept = JournalLines.withoutSegments(bytes)
            if session.closing == nil { kept += session.closedAgain().encoded() }
            try local.putNow(journal, kept, ifAbsent: false)
        }
    }

    /// Whether a journal has been shortened.
    func isShortened(_ journal: [UInt8], _ directory: ObjectKey) -> Bool {
        RecordedSession.read(journal, directory: directory.path)?.session.isOutline ?? false
    }

    // MARK: Removal

    /// A time of day by the node's clock, or the store's where that is behind: a machine may begin with any, and what goes does not come back.
    func boundedUs(_ nowUs: Int64) -> Int64 { min(nowUs, remote.nowUs ?? nowUs) }

    /// Removes what is remote of a recording: first no manifest names it, then its objects go; a notice keeps its names from being used
    /// again. Every step may be done again.
    func remove(_ session: RecordedSession) async throws(StoreError) {
        try await letGo(session.id)
        let removal = try StoredRemoval(session, from: remote, clock: clock)
        try await removal.mark()
        _ = try await writeManifest(try ObjectKey(session.directory), stream: session.stream)
        // Nobody may write in the directory any more.
        state.withLock { state in
            if !state.plan.hasRecordings(in: session.directory) { state.shelves[session.directory] = nil }
        }
        try await removal.removeObjects()
    }

    /// Removes the notice; a journal that took its place meanwhile stays.
    func forgetNotice(directory: ObjectKey, id: String) async throws(StoreError) {
        let key = try directory.appending(JournalName.of(id))
        do throws(StoreError) {
            // A notice is not longer.
            let head = try await remote.read(key, first: RecordedSession.outlineBytes)
            guard RecordedSession.read(head, directory: directory.path)?.session.isDeleted == true else { return }
            try await remote.delete(key)
        } catch {
            switch error {
            case .notFound, .rangeNotSatisfiable: return
            default: throw error
            }
        }
    }

    /// Sends nothing more of a recording; what is under way is waited for, or it would arrive after its removal.
    private func letGo(_ id: String) async throws(StoreError) {
        state.withLock { $0.plan.forget(id) }
        for _ in 0..<1500 {
            guard state.withLock({ $0.plan.isUnderWay(id) }) else { return }
            try? await Task.sleep(for: .milliseconds(20))
        }
        throw .unavailable(reason: "an upload does not end")
    }
}
