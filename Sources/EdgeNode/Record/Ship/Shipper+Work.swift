import Glibc
import Journal
import Media
import Store
import Synchronization

/// Why a step of shipping failed.
struct ShipError: Error {
    let failure: ShipFailure
    let reason: String
    var retryAfterNs: UInt64?

    init(remote error: StoreError) {
        switch error {
        case .denied(let reason):
            failure = .denied
            self.reason = "the remote store refuses: \(reason)"
        case .throttled(let milliseconds):
            failure = .throttled
            reason = "the remote store asks for fewer requests"
            retryAfterNs = milliseconds.map { UInt64(max(0, $0)) &* 1_000_000 }
        case .unavailable(let reason), .timedOut(let reason):
            failure = .unavailable
            self.reason = "the remote store does not answer: \(reason)"
        default:
            failure = .unavailable
            reason = "the remote store failed: \(error)"
        }
    }

    init(local error: StoreError) {
        failure = .local
        reason = "the spool failed: \(error)"
    }
}

extension Shipper {
    func perform(_ task: ShipPlan.Task) async throws(ShipError) -> ShipPlan.Outcome {
        let directory: ObjectKey
        do throws(StoreError) { directory = try ObjectKey(task.directory) } catch { throw ShipError(local: error) }
        switch task.work {
        case .object(let object): return try await send(object, of: task, directory)
        case .publish(let bytes, let isFinal): return try await publish(task, directory, journalBytes: bytes, isFinal: isFinal)
        case .writeOff(let names): return try await writeOff(Set(names), of: task, directory)
        case .withdraw:
            try await withdraw(task, directory)
            return .done(bytes: 0)
        }
    }

    /// An open file of the spool, closed with its owner.
    private final class SpoolFile: Sendable {
        let file: LocalFile
        init(_ file: LocalFile) { self.file = file }
        deinit { close(file.descriptor) }
    }

    private func send(
        _ object: ShipPlan.Object, of task: ShipPlan.Task, _ directory: ObjectKey
    ) async throws(ShipError) -> ShipPlan.Outcome {
        let key: ObjectKey
        do throws(StoreError) { key = try directory.appending(object.name) } catch { throw ShipError(local: error) }
        let opened = await BlockingWork.run { [local] () throws(StoreError) in SpoolFile(try local.openNow(key)) }
        let size: Int64
        switch opened {
        case .success(let source):
            size = source.file.info.size
            let info: ObjectInfo
            do throws(StoreError) {
                info = try await remote.put(key, file: source.file, contentType: nil, ifAbsent: false)
            } catch {
                throw ShipError(remote: error)
            }
            guard info.size == size else {
                throw ShipError(remote: .unavailable(reason: "\(info.size) of \(size) bytes arrived"))
            }
        case .failure(.notFound):
            // Its upload may have been the last thing that a killed process did.
            guard let found = try await remoteSize(key), found == object.bytes || object.journalEnd == 0 else { return .lost }
            size = found
        case .failure(let error): throw ShipError(local: error)
        }
        let done = await BlockingWork.run { [local] () throws(StoreError) in
            let journal = try directory.appending(JournalName.of(task.id))
            do throws(StoreError) {
                _ = try local.headNow(journal)
            } catch {
                // Someone removed the recording meanwhile, and the object goes with it.
                guard error == .notFound else { throw error }
                return
            }
            try UploadLog(store: local, journal: journal).add(object.name, bytes: size)
            try local.deleteNow(key)
        }
        if case .failure(let error) = done { throw ShipError(local: error) }
        return .done(bytes: size)
    }

    /// Says in the journal of an ended recording which of its segments are gone, and how it stands without them.
    private func writeOff(
        _ names: Set<String>, of task: ShipPlan.Task, _ directory: ObjectKey
    ) async throws(ShipError) -> ShipPlan.Outcome {
        let written = await BlockingWork.run { [self] () throws(StoreError) in
            let journal = try directory.appending(JournalName.of(task.id))
            return try local.withLockNow(directory) { () throws(StoreError) in try writeOffNow(names, in: journal, directory) }
        }
        switch written {
        case .success(let bytes?): return .done(bytes: bytes)
        case .success(nil), .failure(.notFound): return .lost
        case .failure(let error): throw ShipError(local: error)
        }
    }

    /// How long the journal is then; nil when it is none to write to. The directory's lock is the caller's. Blocks.
    func writeOffNow(_ names: Set<String>, in journal: ObjectKey, _ directory: ObjectKey) throws(StoreError) -> Int64? {
        let bytes = try local.readNow(journal, limit: JournalName.bytesMax)
        guard let (read, whole) = RecordedSession.read(bytes, directory: directory.path), read.isEnded, !read.isDeleting
        else { return nil }
        let file = try local.appendingNow(journal, exclusively: false)
        // An earlier attempt may have got a part of its lines down, or all but the last.
        if whole < bytes.count { try file.truncate(to: Int64(whole)) }
        var session = read
        let lines = session.lines(losing: { names.contains($0) }, clock: clock)
        let isClosedSo = read.closing.map { $0.segments == Int64(read.segmentCount) } ?? true
        guard !lines.isEmpty || !isClosedSo else { return Int64(whole) }
        for line in lines { session.apply(line) }
        let end = session.closingLine(at: clock.next(), reason: session.reason, isFailed: session.isFailed)
        session.apply(end)
        let added = (lines + [end]).flatMap { $0.encoded() }
        try file.append(added)
        changed(session)
        return Int64(whole + added.count)
    }

    private func remoteSize(_ key: ObjectKey) async throws(ShipError) -> Int64? {
        do throws(StoreError) {
            return try await remote.head(key).size
        } catch {
            if error == .notFound { return nil }
            throw ShipError(remote: error)
        }
    }

    private func publish(
        _ task: ShipPlan.Task, _ directory: ObjectKey, journalBytes: Int64, isFinal: Bool
    ) async throws(ShipError) -> ShipPlan.Outcome {
        let journal: ObjectKey
        do throws(StoreError) { journal = try directory.appending(JournalName.of(task.id)) } catch {
            throw ShipError(local: error)
        }
        let read = await BlockingWork.run { [local] () throws(StoreError) in
            try local.readNow(journal, limit: JournalName.bytesMax)
        }
        let bytes: [UInt8]
        switch read {
        case .success(let all):
            // What is left of a journal whose recording is complete must never take the place of the whole one.
            guard !isShortened(all, directory) else { return .done(bytes: 0) }
            bytes = Array(all.prefix(Int(journalBytes)))
        case .failure(.notFound): return .lost
        case .failure(let error): throw ShipError(local: error)
        }
        var cost = Int64(bytes.count)
        do throws(StoreError) {
            let sent = try await remote.put(journal, bytes, condition: .none)
            guard sent.size == Int64(bytes.count) else {
                throw StoreError.unavailable(reason: "\(sent.size) of \(bytes.count) bytes of a journal arrived")
            }
            cost += try await writeManifest(directory, stream: task.stream)
        } catch {
            throw ShipError(remote: error)
        }
        if isFinal { try await conclude(task, directory, journal) }
        return .done(bytes: cost)
    }

    /// Everything is remote: the manifest here is of no use any more.
    private func conclude(_ task: ShipPlan.Task, _ directory: ObjectKey, _ journal: ObjectKey) async throws(ShipError) {
        let isLast = state.withLock { state in
            !state.plan.recordings.values.contains { $0.directory == task.directory && $0.id != task.id }
        }
        let result = await BlockingWork.run { [self] () throws(StoreError) in
            // The manifest first: once the log is complete nobody looks for one again.
            if isLast { try local.deleteNow(try directory.appending(DayManifest.name)) }
            try UploadLog(store: local, journal: journal).complete()
            try shortenNow(journal)
        }
        if case .failure(let error) = result { throw ShipError(local: error) }
    }

    private func withdraw(_ task: ShipPlan.Task, _ directory: ObjectKey) async throws(ShipError) {
        do throws(StoreError) {
            try await remote.delete(try directory.appending(JournalName.of(task.recordingID)))
        } catch {
            throw ShipError(remote: error)
        }
    }

    // MARK: The manifest of all nodes

    /// Writes the manifest of all journals in a remote directory, until none has changed meanwhile.
    ///
    /// - Returns: bytes written.
    func writeManifest(_ directory: ObjectKey, stream: String) async throws(StoreError) -> Int64 {
        var shelf = state.withLock { $0.shelves[directory.path] } ?? JournalShelf(directory: directory)
        let cost = try await shelf.writeManifest(
            stream: stream, segmentSeconds: segmentSeconds, to: remote, clock: clock)
        let read = shelf
        state.withLock { $0.shelves[directory.path] = read }
        return cost
    }
}
