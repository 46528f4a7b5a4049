import Cluster
import Journal
import Log
import Store
import Synchronization

/// Removes recordings that have been kept long enough, finishes removals that were interrupted, and closes recordings that could not be
/// closed before. When it is told to make room, the oldest go as soon as space runs out. One recording at a time, oldest first; storage
/// that fails is asked again at the next round. What only the remote store has of this node's recordings is removed by the same rules.
final class Keeper: Sendable {
    private let environment: RecorderEnvironment
    private let space: @Sendable () throws(StoreError) -> (free: Int64, all: Int64)
    private let strays: StraySessions?
    private let tasks = Mutex<[Task<Void, Never>]>([])

    /// How often it looks for what is old, and for space.
    static let interval = Duration.seconds(3600)
    static let spaceInterval = Duration.seconds(5)

    convenience init(_ environment: RecorderEnvironment) {
        self.init(environment) { [store = environment.store] () throws(StoreError) in try store.spaceNow() }
    }

    /// - Parameter space: what the file system says; replaceable in tests.
    init(_ environment: RecorderEnvironment, space: @escaping @Sendable () throws(StoreError) -> (free: Int64, all: Int64)) {
        self.environment = environment
        self.space = space
        strays = StraySessions(environment)
    }

    /// Looks now, and then again and again. The remote store has a task of its own, for it may take its time.
    func start() {
        tasks.withLock { tasks in
            guard tasks.isEmpty else { return }
            tasks = [Task { [self] in await keepSpool() }]
            if strays != nil { tasks.append(Task { [self] in await keepRemote() }) }
        }
    }

    private func keepSpool() async {
        var next = ContinuousClock.now
        while !Task.isCancelled {
            if ContinuousClock.now >= next {
                await closeLeftOpen(nowUs: environment.clock.now())
                // What was closed just now has changed in the past.
                await sweepSpool(nowUs: environment.clock.now())
                next = .now + Self.interval
            }
            if environment.settings.makesRoom { await makeRoom() }
            try? await Task.sleep(for: environment.settings.makesRoom ? Self.spaceInterval : Self.interval)
        }
    }

    private func keepRemote() async {
        while !Task.isCancelled {
            await sweepRemote(nowUs: environment.clock.now())
            try? await Task.sleep(for: Self.interval)
        }
    }

    /// Stops after the recording at hand.
    func stop() async {
        let running = tasks.withLock { tasks in
            defer { tasks = [] }
            return tasks
        }
        for task in running { task.cancel() }
        for task in running { await task.value }
    }

    /// One round, as of a time of day in Unix microseconds.
    ///
    /// - Returns: how many recordings were removed.
    @discardableResult
    func sweep(nowUs: Int64) async -> Int {
        await closeLeftOpen(nowUs: nowUs)
        let removed = await sweepSpool(nowUs: nowUs)
        return await removed + sweepRemote(nowUs: nowUs)
    }

    /// What is in storage, or in the spool, and with it what it has sent.
    @discardableResult
    private func sweepSpool(nowUs: Int64) async -> Int {
        var removed = 0
        for recording in await due(nowUs: nowUs) where !Task.isCancelled {
            let row = recording.row
            if recording.isNotice {
                _ = await attempt(row) { () async throws(StoreError) in
                    try await SessionRemoval(environment).forget(row)
                    return true
                }
            } else if await remove(row, why: Self.isOver) {
                removed += 1
            }
        }
        return removed
    }

    /// What has to go; with a remote store by its clock, where ours is ahead, which shows when it answers. While it does not, only what was
    /// begun already.
    private func due(nowUs: Int64) async -> [KeptRecording] {
        let due = outdated(nowUs: nowUs, ownUs: nowUs)
        guard let shipper = environment.shipper, due.contains(where: { !$0.isLeftToRemove }) else { return due }
        do throws(StoreError) {
            try await shipper.remote.ping()
        } catch {
            if !Task.isCancelled {
                environment.log.warning("what is old stays until the remote store answers", ["error": "\(error)"])
            }
            return due.filter(\.isLeftToRemove)
        }
        return outdated(nowUs: shipper.boundedUs(nowUs), ownUs: nowUs)
    }

    /// Oldest first, as of a time of day in Unix microseconds; `ownUs` is what the node's clock says of it, which wrote the rows.
    private func outdated(nowUs: Int64, ownUs: Int64) -> [KeptRecording] {
        let retention = environment.settings.retention
        return oldestFirst.filter { recording in
            if recording.isNotice { return recording.row.updatedAt < nowUs - StoredRemoval.noticeUs }
            return recording.isLeftToRemove || retention.isOver(recording.row, nowUs: nowUs, ownUs: ownUs)
        }
    }

    /// What the remote store alone has.
    @discardableResult
    private func sweepRemote(nowUs: Int64) async -> Int {
        guard let strays else { return 0 }
        var removed = 0
        do throws(StoreError) {
            try await strays.look(nowUs: nowUs) { session in
                let isRemoved = await remove(session.row, why: Self.isOver) { () async throws(StoreError) in
                    try await strays.remove(session)
                    return true
                }
                if isRemoved { removed += 1 }
                return isRemoved
            }
        } catch {
            guard !Task.isCancelled else { return removed }
            environment.count { $0.storageErrors += 1 }
            environment.log.warning("the remote store was not looked through for what is old", ["error": "\(error)"])
        }
        return removed
    }

    private static let isOver = "it was kept long enough"

    /// Removes the oldest ended recordings until there is enough space and some to spare, so that nothing has to pause meanwhile.
    ///
    /// - Returns: how many recordings were removed.
    @discardableResult
    func makeRoom() async -> Int {
        guard isShort else { return 0 }
        var removed = 0
        for row in oldestFirst.map(\.row) where row.endTs != nil && row.status != .deleted {
            guard !Task.isCancelled, isShort else { break }
            if await remove(row, why: "it made room for new ones") { removed += 1 }
        }
        return removed
    }

    private var oldestFirst: [KeptRecording] {
        environment.index.kept.sorted { ($0.row.endTs ?? 0, $0.row.id) < ($1.row.endTs ?? 0, $1.row.id) }
    }

    private func remove(_ row: RecordingRecord, why: String) async -> Bool {
        await remove(row, why: why) { () async throws(StoreError) in try await SessionRemoval(environment).remove(row) }
    }

    private func remove(_ row: RecordingRecord, why: String, _ step: () async throws(StoreError) -> Bool) async -> Bool {
        guard await attempt(row, step) else { return false }
        environment.log.info("a recording was removed", ["stream": row.stream, "id": row.id, "why": why])
        environment.count { $0.removed += 1 }
        return true
    }

    /// Storage that fails is told of, and asked again at the next round.
    private func attempt(_ row: RecordingRecord, _ step: () async throws(StoreError) -> Bool) async -> Bool {
        do throws(StoreError) {
            return try await step()
        } catch {
            // Given up by us, and taken up by the next start.
            if Task.isCancelled { return false }
            environment.count { $0.storageErrors += 1 }
            environment.log.error(
                "a recording could not be removed yet", ["stream": row.stream, "id": row.id, "error": "\(error)"])
            return false
        }
    }

    /// Less than what is needed and an eighth of it, or 64 MiB, to spare.
    private var isShort: Bool {
        guard let space = try? space() else { return false }
        let needed = environment.settings.freeBytesNeeded(of: space.all)
        return space.free < needed + max(needed / 8, 64 << 20)
    }

    /// Journals whose session could not be closed at the start of the process, and those of nodes that never came back.
    private func closeLeftOpen(nowUs: Int64) async {
        let environment = environment
        _ = await BlockingWork.run { () throws(StoreError) in
            environment.closeLeftOpen()
            SilentSessions(environment: environment).close(nowUs: nowUs)
        }
    }
}
