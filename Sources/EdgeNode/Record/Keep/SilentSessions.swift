import Cluster
import Journal
import Log
import Store
import Synchronization

/// Recordings that another node began in a folder both share and never ended.
///
/// A node that comes back finishes its recordings itself. One that does not would leave the day's manifest growing for ever, so whoever
/// sees a journal that has said nothing for long enough closes it, unless its writer still holds it.
struct SilentSessions {
    let environment: RecorderEnvironment

    /// For so long after a recording of ours ended others' are looked for beside it.
    private static let lookBackUs: Int64 = 4 * 86_400_000_000

    /// Closes what has been silent for long enough, as of a time of day in Unix microseconds. Blocks.
    ///
    /// - Returns: how many were closed.
    @discardableResult
    func close(nowUs: Int64) -> Int {
        // A spool is one node's.
        guard environment.shipper == nil else { return 0 }
        let tool = environment.repair
        var closed = 0
        for key in candidates(nowUs: nowUs) {
            do throws(StoreError) {
                let limitUs = nowUs - RecordedSession.silenceUs
                guard try environment.store.headNow(key).modifiedUs < limitUs,
                    let session = try RecordedSession.outline(key, in: environment.store), !session.isDeleting
                else { continue }
                if !session.isEnded {
                    environment.clock.skip(past: session.updatedUs)
                    let reason = "its node \(session.node) has not been heard of for a day"
                    guard try tool.repair(key, reason: reason).session != nil else { continue }
                    environment.log.warning(
                        "a recording was finished for a node that did not come back",
                        ["stream": session.stream, "id": session.id, "node": session.node])
                    closed += 1
                }
                environment.others.withLock { _ = $0.remove(key) }
            } catch {
                if error == .notFound { environment.others.withLock { _ = $0.remove(key) } }
                environment.log.info(
                    "another node's recording could not be finished yet", ["journal": key.path, "error": "\(error)"])
            }
        }
        return closed
    }

    /// Journals that were open and others' at the start, and those beside this node's own recordings of late.
    private func candidates(nowUs: Int64) -> Set<ObjectKey> {
        var keys = environment.others.withLock { $0 }
        let recent = environment.index.kept.filter { ($0.row.endTs ?? .max) > nowUs - Self.lookBackUs }
        for path in Set(recent.map(\.row.recordDir)) {
            guard let key = try? ObjectKey(path),
                let journals = try? SessionDirectory(store: environment.store, key: key).list(JournalName.prefix)
            else { continue }
            for info in journals where info.modifiedUs < nowUs - RecordedSession.silenceUs {
                guard let id = JournalName.id(of: info.key), !environment.index.has(id) else { continue }
                keys.insert(info.key)
            }
        }
        return keys
    }
}
