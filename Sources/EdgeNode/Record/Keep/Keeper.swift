import Cluster
import Log
import Store
import Synchronization

/// Removes recordings that have been kept long enough, finishes removals that were interrupted, and closes recordings that could not be
/// closed before. One recording at a time, oldest first; storage that fails is asked again at the next round.
final class Keeper: Sendable {
    private let environment: RecorderEnvironment
    private let task = Mutex<Task<Void, Never>?>(nil)

    /// How often it looks.
    static let interval = Duration.seconds(3600)

    init(_ environment: RecorderEnvironment) {
        self.environment = environment
    }

    /// Looks now, and then again and again.
    func start() {
        task.withLock { task in
            guard task == nil else { return }
            task = Task { [self] in
                while !Task.isCancelled {
                    await sweep(nowUs: environment.clock.now())
                    try? await Task.sleep(for: Self.interval)
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
        let kept = environment.index.kept.sorted { ($0.row.endTs ?? 0, $0.row.id) < ($1.row.endTs ?? 0, $1.row.id) }
        let removal = SessionRemoval(environment)
        var removed = 0
        for recording in kept where !Task.isCancelled {
            let row = recording.row
            do throws(StoreError) {
                if row.status == .deleted, !recording.isLeftToRemove {
                    if row.updatedAt < nowUs - SessionRemoval.noticeUs { try await removal.forget(row) }
                } else if recording.isLeftToRemove || isTooOld(row, nowUs: nowUs) {
                    guard try await removal.remove(row) else { continue }
                    removed += 1
                    environment.log.info("a recording was removed", ["stream": row.stream, "id": row.id])
                }
            } catch {
                environment.count { $0.storageErrors += 1 }
                environment.log.error(
                    "a recording could not be removed yet", ["stream": row.stream, "id": row.id, "error": "\(error)"])
            }
        }
        if removed > 0 { environment.count { $0.removed += Int64(removed) } }
        return removed
    }

    private func isTooOld(_ row: RecordingRecord, nowUs: Int64) -> Bool {
        guard let limit = environment.settings.retention.limitUs(for: row.stream, nowUs: nowUs) else { return false }
        return (row.endTs ?? .max) < limit
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
