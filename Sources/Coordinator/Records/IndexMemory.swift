import Log
import Nodes
import Synchronization

/// Operators' decisions in the index, for coordinators without Redis.
public final class IndexMemory: NodeMemory {
    private let index: RecordingIndex
    /// Why the index did not answer last time: it is asked again and again, and that is told once.
    private let problem = Mutex<String?>(nil)
    private let log = Logger("nodes")

    /// - Parameter index: has to be open.
    public init(_ index: RecordingIndex) { self.index = index }

    /// Nil when the index can't be read.
    public func decisions() async -> NodeDecisions? {
        await ask("what was decided of nodes can't be read") { try await index.decisions() }
    }

    /// In place of another of its alias.
    public func remember(_ node: ConfiguredNode) async -> Bool { await tell { try await index.remember(node) } }

    /// One that is not there is no error.
    public func forget(_ alias: String) async -> Bool { await tell { try await index.forgetNode(alias) } }

    /// Until it is put back.
    public func setDrained(_ alias: String, _ isDrained: Bool) async -> Bool {
        await tell { try await index.setDrained(alias, isDrained) }
    }

    private func tell(_ write: () async throws -> Void) async -> Bool {
        await ask("a decision about a node is not written down until the index is back") {
            try await write()
            return true
        } ?? false
    }

    private func ask<T>(_ words: String, _ body: () async throws -> T) async -> T? {
        do {
            let value = try await body()
            problem.withLock { $0 = nil }
            return value
        } catch {
            let isNew = problem.withLock { problem in
                defer { problem = words }
                return problem != words
            }
            if isNew { log.warning(words, ["reason": "\(error)"]) }
            return nil
        }
    }
}

extension RecordingIndex {
    func decisions() throws(IndexError) -> NodeDecisions {
        NodeDecisions(
            added: try database().rows("SELECT alias, url, token FROM added_nodes ORDER BY alias") {
                ConfiguredNode(alias: $0.text(0), url: $0.text(1), token: $0.optionalText(2))
            }, drained: Set(try database().rows("SELECT alias FROM drained_nodes") { $0.text(0) }))
    }

    func remember(_ node: ConfiguredNode) throws(IndexError) {
        try database().query(
            """
            INSERT INTO added_nodes (alias, url, token) VALUES (?1, ?2, ?3)
            ON CONFLICT (alias) DO UPDATE SET url = ?2, token = ?3
            """,
            [.text(node.alias), .text(node.url), node.token.map { .text($0) } ?? .null])
    }

    func forgetNode(_ alias: String) throws(IndexError) {
        try database().query("DELETE FROM added_nodes WHERE alias = ?1", [.text(alias)])
    }

    func setDrained(_ alias: String, _ isDrained: Bool) throws(IndexError) {
        try database().query(
            isDrained
                ? "INSERT INTO drained_nodes (alias) VALUES (?1) ON CONFLICT DO NOTHING"
                : "DELETE FROM drained_nodes WHERE alias = ?1",
            [.text(alias)])
    }
}
