import Cluster
import Journal
import Log
import Store
import Synchronization

/// Removes recordings that have been kept long enough, finishes removals that were interrupted, and closes recordings that could not be
/// closed before. When it is told to make room, the oldest go as soon as space runs out. One recording at a time, oldest first; storage
/// that fails is asked again at the next round.
final class Keeper: Sendable {
    private let environment: RecorderEnvironment
    private let space: @Sendable () throws(StoreError) -> (free: Int64, all: Int64)
    private let task = Mutex<Task<Void, Never>?>(nil)

    /// How often it looks for what is old, and for space.
    static let interval = Duration.seconds(3600)
    static let spaceInterval = Duration.seconds(5)

    init(_ environment: RecorderEnvironment) {
        self.environment = environment
        space = { [store = environment.store] () throws(StoreError) in try store.spaceNow() }
    }

    /// - Parameter space: what the file system says; replaceable in tests.
    init(_ environment: RecorderEnvironment, space: @escaping @Sendable () throws(StoreError) -> (free: Int64, all: Int64)) {
        self.environment = environment
        self.space = space
    }

    /// Looks now, and then again and again.
    func start() {
        task.withLock { task in
            guard task == nil else { return }
            task = Task { [self] in
                var next = ContinuousClock.now
                while !Task.isCancelled {
                    if ContinuousClock.now >= next {
                        await sweep(nowUs: environment.clock.now())
                        next = .now + Self.interval
                    }
                    if environment.settings.makesRoom { await makeRoom() }
                    try? await Task.sleep(for: environment.settings.makesRoom ? Self.spaceInterval : Self.interval)
                }
            }
        }
    }

    /// Stops after the recording at hand.
    func stop() async {
        let running = task.withLock { task in
            defer { task = nil }
            return task
        }
        running?.cancel()
        await running?.value
    }

    /// One round, as of a time of day in Unix microseconds.
    ///
    /// - Returns: how many recordings were removed.
    @discardableResult
    func sweep(nowUs: Int64) async -> Int {
        await closeLeftOpen(nowUs: nowUs)
        var removed = 0
        for recording in oldestFirst where !Task.isCancelled {
            let row = recording.row
            if row.status == .deleted, !recording.isLeftToRemove {
                guard row.updatedAt < nowUs - StoredRemoval.noticeUs else { continue }
                _ = await attempt(row) { () async throws(StoreError) in
                    try await SessionRemoval(environment).forget(row)
                    return true
                }
            } else if recording.isLeftToRemove || isTooOld(row, nowUs: nowUs), await remove(row, why: "it was kept long enough") {
                removed += 1
            }
        }
        return removed
    }

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
        let isRemoved = await attempt(row) { () async throws(StoreError) in try await SessionRemoval(environment).remove(row) }
        guard isRemoved else { return false }
        environment.log.info("a recording was removed", ["stream": row.stream, "id": row.id, "why": why])
        environment.count { $0.removed += 1 }
        return true
    }

    /// Storage that fails is told of, and asked again at the next round.
    private func attempt(_ row: RecordingRecord, _ step: () async throws(StoreError) -> Bool) async -> Bool {
        do throws(StoreError) {
            return try await step()
        } catch {
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

    private func isTooOld(_ row: RecordingRecord, nowUs: Int64) -> Bool {
        guard let limit = environment.settings.retention.limitUs(for: row.stream, nowUs: nowUs) else { return false }
        // What was recorded before the time of day was right says of itself that it is old; a change that is still to come says nothing.
        let changedUs = row.updatedAt <= nowUs ? row.updatedAt : 0
        return row.endTs.map { max($0, changedUs) < limit } ?? false
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
