import Store
import Synchronization

/// What the spool says, after a restart or a failure.
extension Shipper {
    /// Takes up an ended recording where it was left. Blocks.
    func adoptNow(_ journal: ObjectKey) throws(StoreError) {
        guard let directory = journal.parent, let id = RecordingLayout.id(ofJournal: journal) else { return }
        let bytes: [UInt8]
        do throws(StoreError) {
            bytes = try local.readNow(journal, limit: SessionDirectory.journalBytesMax)
        } catch {
            guard error == .notFound else { throw error }
            // Nothing of it was worth keeping.
            state.withLock { $0.plan.withdraw(id: id, stream: "", directory: directory.path) }
            return step()
        }
        let log = try UploadLog(store: local, journal: journal).read()
        guard !log.isComplete, let scan = SpoolScan(journal: bytes, log: log, directory: directory.path),
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

    // MARK: Removal

    /// Removes what is remote of a recording: first no manifest names it, then its objects go; a notice keeps its names from being used
    /// again. Every step may be done again.
    func remove(_ session: RecordedSession) async throws(StoreError) {
        try await letGo(session.id)
        let directory = try ObjectKey(session.directory)
        let journal = try directory.appending(SessionDirectory.journalName(session.id))
        try await remote.put(journal, notice(.deleting, of: session), condition: .none)
        _ = try await writeManifest(directory, stream: session.stream)
        let own = OwnedNames(session)
        var after: String?
        repeat {
            let page = try await remote.list(prefix: directory.path + "/", after: after, limit: 1000)
            let keys = page.objects.map(\.key).filter { $0.parent == directory && own.contains($0.name) }
            if !keys.isEmpty { try await remote.deleteAll(keys) }
            after = page.continuation
        } while after != nil
        try await remote.put(journal, notice(.deleted, of: session), condition: .none)
    }

    /// Removes the notice.
    func forgetNotice(directory: ObjectKey, id: String) async throws(StoreError) {
        try await remote.delete(try directory.appending(SessionDirectory.journalName(id)))
    }

    private func notice(_ event: JournalLine.Event, of session: RecordedSession) -> [UInt8] {
        var first = JournalLine(.session, at: clock.next())
        first.version = 1
        first.id = session.id
        first.stream = session.stream
        first.node = session.node
        first.startUs = session.startUs
        return first.encoded() + JournalLine(event, at: clock.next()).encoded()
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
