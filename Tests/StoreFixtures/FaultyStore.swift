import Store
import Synchronization

/// A remote store in a directory that can go away, refuse, be slow, and counts what is written.
package final class FaultyStore: ObjectStore {
    package let files: FileStore
    private let state = Mutex<State>(State())

    package struct State {
        package var fault: StoreError?
        /// Its own time of day.
        package var nowUs: Int64?
        /// Objects whose reading is refused.
        package var refused: Set<String> = []
        /// After so many requests all fail.
        package var failsAfter: Int?
        /// Fails a write after it was done: the answer was lost.
        package var losesAnswers = 0
        package var delay: Duration?
        /// What only reads is answered at once.
        package var delaysOnlyWrites = false
        package var puts: [(key: String, bytes: Int64)] = []
        package var attempts = 0
        package var underWay = 0
        package var underWayMax = 0
        /// What another does just before a write.
        package var interloper: (@Sendable (ObjectKey) async -> Void)?
        /// Objects that were asked for, and how many pages of listings.
        package var gets: [String] = []
        package var lists = 0
        /// Writes whose condition did not hold.
        package var refusals = 0
    }

    package init(root: String) throws {
        files = try FileStore(root: root)
    }

    package func set(_ change: (inout State) -> Void) { state.withLock { change(&$0) } }
    package var puts: [(key: String, bytes: Int64)] { state.withLock { $0.puts } }
    package var gets: [String] { state.withLock { $0.gets } }
    package var lists: Int { state.withLock { $0.lists } }
    package var nowUs: Int64? { state.withLock { $0.nowUs } }
    package var attempts: Int { state.withLock { $0.attempts } }
    package var refusals: Int { state.withLock { $0.refusals } }
    package var underWayMax: Int { state.withLock { $0.underWayMax } }

    /// Names of media in the order in which they arrived.
    package func media(_ prefix: String = "") -> [String] {
        puts.map(\.key).filter { $0.hasSuffix(".m4s") && $0.hasPrefix(prefix) }
    }

    private func enter(isWrite: Bool = false) async throws(StoreError) {
        let (fault, delay) = state.withLock { state in
            state.attempts += 1
            let delay = isWrite || !state.delaysOnlyWrites ? state.delay : nil
            guard let left = state.failsAfter else { return (state.fault, delay) }
            state.failsAfter = max(0, left - 1)
            return (left > 0 ? state.fault : .unavailable(reason: "enough"), delay)
        }
        if let delay {
            // As a client that gives a request up.
            do { try await Task.sleep(for: delay) } catch { throw .unavailable(reason: "cancelled") }
        }
        if let fault { throw fault }
    }

    private func written(_ info: ObjectInfo) throws(StoreError) -> ObjectInfo {
        let isLost = state.withLock { state in
            state.puts.append((info.key.path, info.size))
            defer { state.losesAnswers = max(0, state.losesAnswers - 1) }
            return state.losesAnswers > 0
        }
        if isLost { throw .unavailable(reason: "the answer was lost") }
        return info
    }

    package func put(_ key: ObjectKey, _ bytes: [UInt8], condition: PutCondition) async throws(StoreError) -> ObjectInfo {
        try await enter(isWrite: true)
        await state.withLock { $0.interloper }?(key)
        do throws(StoreError) {
            return try written(try await files.put(key, bytes, condition: condition))
        } catch {
            if error == .exists || error == .preconditionFailed { state.withLock { $0.refusals += 1 } }
            throw error
        }
    }

    package func put(
        _ key: ObjectKey, file: LocalFile, contentType: String?, ifAbsent: Bool
    ) async throws(StoreError) -> ObjectInfo {
        state.withLock { state in
            state.underWay += 1
            state.underWayMax = max(state.underWayMax, state.underWay)
        }
        defer { state.withLock { $0.underWay -= 1 } }
        try await enter(isWrite: true)
        return try written(try await files.put(key, file: file, contentType: contentType, ifAbsent: ifAbsent))
    }

    package func supportsConditions() async throws(StoreError) -> Bool { true }

    package func get(_ key: ObjectKey, range: Range<Int64>?) async throws(StoreError) -> ObjectBody {
        try await enter()
        let isRefused = state.withLock { state in
            state.gets.append(key.path)
            return state.refused.contains(key.path)
        }
        if isRefused { throw .denied(reason: "not this one") }
        return try await files.get(key, range: range)
    }

    package func head(_ key: ObjectKey) async throws(StoreError) -> ObjectInfo {
        try await enter()
        return try await files.head(key)
    }

    package func list(prefix: String, after: String?, limit: Int) async throws(StoreError) -> ObjectPage {
        try await enter()
        state.withLock { $0.lists += 1 }
        return try await files.list(prefix: prefix, after: after, limit: limit)
    }

    package func delete(_ key: ObjectKey) async throws(StoreError) {
        try await enter(isWrite: true)
        try await files.delete(key)
    }

    package func ping() async throws(StoreError) { try await enter() }
}
