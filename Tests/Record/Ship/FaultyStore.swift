import MediaFixtures
import Synchronization

@testable import Store

/// A remote store in a directory that can go away, refuse, be slow, and counts what is written.
final class FaultyStore: ObjectStore {
    let files: FileStore
    private let state = Mutex<State>(State())

    struct State {
        var fault: StoreError?
        /// Fails a write after it was done: the answer was lost.
        var losesAnswers = 0
        var delay: Duration?
        var puts: [(key: String, bytes: Int64)] = []
        var attempts = 0
        var underWay = 0
        var underWayMax = 0
        /// What another does just before a write.
        var interloper: (@Sendable (ObjectKey) async -> Void)?
        /// Writes whose condition did not hold.
        var refusals = 0
    }

    init(root: String) throws {
        files = try FileStore(root: root)
    }

    func set(_ change: (inout State) -> Void) { state.withLock { change(&$0) } }
    var puts: [(key: String, bytes: Int64)] { state.withLock { $0.puts } }
    var attempts: Int { state.withLock { $0.attempts } }
    var refusals: Int { state.withLock { $0.refusals } }
    var underWayMax: Int { state.withLock { $0.underWayMax } }

    /// Names of media in the order in which they arrived.
    func media(_ prefix: String = "") -> [String] {
        puts.map(\.key).filter { $0.hasSuffix(".m4s") && $0.hasPrefix(prefix) }
    }

    private func enter() async throws(StoreError) {
        let (fault, delay) = state.withLock { state in
            state.attempts += 1
            return (state.fault, state.delay)
        }
        if let delay { try? await Task.sleep(for: delay) }
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

    func put(_ key: ObjectKey, _ bytes: [UInt8], condition: PutCondition) async throws(StoreError) -> ObjectInfo {
        try await enter()
        await state.withLock { $0.interloper }?(key)
        do throws(StoreError) {
            return try written(try await files.put(key, bytes, condition: condition))
        } catch {
            if error == .exists || error == .preconditionFailed { state.withLock { $0.refusals += 1 } }
            throw error
        }
    }

    func put(
        _ key: ObjectKey, file: LocalFile, contentType: String?, ifAbsent: Bool
    ) async throws(StoreError) -> ObjectInfo {
        state.withLock { state in
            state.underWay += 1
            state.underWayMax = max(state.underWayMax, state.underWay)
        }
        defer { state.withLock { $0.underWay -= 1 } }
        try await enter()
        return try written(try await files.put(key, file: file, contentType: contentType, ifAbsent: ifAbsent))
    }

    func supportsConditions() async throws(StoreError) -> Bool { true }

    func get(_ key: ObjectKey, range: Range<Int64>?) async throws(StoreError) -> ObjectBody {
        try await enter()
        return try await files.get(key, range: range)
    }

    func head(_ key: ObjectKey) async throws(StoreError) -> ObjectInfo {
        try await enter()
        return try await files.head(key)
    }

    func list(prefix: String, after: String?, limit: Int) async throws(StoreError) -> ObjectPage {
        try await enter()
        return try await files.list(prefix: prefix, after: after, limit: limit)
    }

    func delete(_ key: ObjectKey) async throws(StoreError) {
        try await enter()
        try await files.delete(key)
    }

    func ping() async throws(StoreError) { try await enter() }
}
