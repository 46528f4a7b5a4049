import Cluster
import Synchronization

/// What of the registry has been read, so that nothing is decoded twice.
final class RegistryReader: Sendable {
    /// Of which process the streams are, and which of its.
    struct Version: Sendable, Equatable {
        let startedAtMs: Int64
        /// Nil: nobody counts, so that they are read each time.
        let number: Int64?
    }

    /// One look at a node's streams. Two may be under way at once, and the later one be done first.
    struct Reading: Sendable {
        let alias: String
        /// Above that of all looks before.
        let number: UInt64
        /// What the streams are at least.
        let version: Version?
    }

    private struct Entry {
        var record: [UInt8] = []
        var version: Version?
        var read: Version?
        var isRefreshDue = false
        var problem: String?
    }

    private struct State {
        var entries: [String: Entry] = [:]
        var readings: UInt64 = 0
        var turn = 0
    }

    private let state = Mutex(State())

    /// Whether these are not the bytes that the node's record had last time.
    func isNew(_ record: [UInt8], _ alias: String) -> Bool {
        state.withLock { state in
            guard state.entries[alias]?.record != record else { return false }
            state.entries[alias, default: Entry()].record = record
            return true
        }
    }

    /// Whether the node's record could be read last time, or not for another reason.
    func isNew(problem: String, _ alias: String) -> Bool {
        state.withLock { state in
            defer { state.entries[alias, default: Entry()].problem = problem }
            return state.entries[alias]?.problem != problem
        }
    }

    func noteVersion(of record: NodeRecord) {
        let version = Version(startedAtMs: record.startedAtMs, number: record.streamsVersion)
        state.withLock { state in
            state.entries[record.alias, default: Entry()].version = version
            state.entries[record.alias]?.problem = nil
        }
    }

    /// Called before a node's streams are asked for.
    func beginReading(_ alias: String) -> Reading {
        state.withLock { state in
            state.readings += 1
            return Reading(alias: alias, number: state.readings, version: state.entries[alias]?.version)
        }
    }

    func wantsStreams(_ alias: String) -> Bool {
        state.withLock { state in
            guard let entry = state.entries[alias], let version = entry.version else { return false }
            return entry.isRefreshDue || version.number == nil || entry.read != version
        }
    }

    func hasRead(_ reading: Reading) {
        state.withLock { state in
            state.entries[reading.alias]?.read = reading.version
            state.entries[reading.alias]?.isRefreshDue = false
        }
    }

    /// Its streams are to be read, whether they are others or not.
    func forgetStreams(_ alias: String) { state.withLock { $0.entries[alias]?.read = nil } }

    /// A node that is gone; when it comes back all is read anew.
    func forget(_ alias: String) { state.withLock { $0.entries[alias] = nil } }

    /// The streams of the next `count` of these nodes are to be read whatever their version.
    func refresh(_ aliases: [String], _ count: Int) {
        guard !aliases.isEmpty else { return }
        state.withLock { state in
            for step in 0..<min(count, aliases.count) {
                state.entries[aliases[(state.turn + step) % aliases.count]]?.isRefreshDue = true
            }
            state.turn = (state.turn + count) % aliases.count
        }
    }
}
