import Auth
import Cluster
import HTTP
import Log
import Nodes
import Presentation
import Route

/// Lets a recording that somebody asked for go on where its publisher goes when the node that wrote it dies or is drained. What is recorded
/// automatically needs no one for that.
///
/// Each recording is handed on once: whoever stops it afterwards has stopped it.
actor RecordingHandover {
    /// As long as a node takes to begin what it records automatically, and its record to show it.
    private static let graceNs: UInt64 = 3_000_000_000
    private static let pauseNs: UInt64 = 5_000_000_000
    private static let attemptsMax = 12

    /// A recording on a node that was running, by that node's start.
    private struct Left: Hashable {
        let stream: String
        let alias: String
        let startedAtMs: Int64
    }

    private struct State {
        /// What its recording was asked for with.
        let baseDir: String?
        /// When the publisher was first seen elsewhere, and not recorded.
        var notBeforeNs: UInt64?
        var attempts = 0
        var isDone = false
    }

    private let caller: NodeCaller
    private let isAutomatic: @Sendable (String) -> Bool
    private let log = Logger("handover")
    private var left: [Left: State] = [:]
    /// What nodes in service recorded at the last look, by alias, each with the directory it was asked for with: a node that is drained may
    /// end its recordings before it is seen to leave.
    private var running: [String: [Left: String?]] = [:]

    /// - Parameter isAutomatic: whether a stream is recorded without being asked, by the coordinator's own rules.
    init(caller: NodeCaller, isAutomatic: @escaping @Sendable (String) -> Bool) {
        (self.caller, self.isAutomatic) = (caller, isAutomatic)
    }

    func look(_ view: ClusterView) {
        let before = running
        running = [:]
        var starts: [String: Int64] = [:]
        for node in view.nodes {
            let recorded = recordings(of: node)
            guard node.status != .running else {
                if !recorded.isEmpty { running[node.alias] = recorded }
                continue
            }
            starts[node.alias] = node.record.startedAtMs
            for (key, baseDir) in recorded.merging(before[node.alias] ?? [:], uniquingKeysWith: { now, _ in now }) {
                left[key] = left[key] ?? State(baseDir: baseDir)
            }
        }
        left = left.filter { starts[$0.key.alias] == $0.key.startedAtMs }
        for (key, state) in left where !state.isDone { advance(key, state, view) }
    }

    private func recordings(of node: NodeView) -> [Left: String?] {
        var found: [Left: String?] = [:]
        for stream in node.streams where stream.recording && !isAutomatic(stream.id) {
            let key = Left(stream: stream.id, alias: node.alias, startedAtMs: node.record.startedAtMs)
            found[key] = .some(stream.recordingBaseDir)
        }
        return found
    }

    private func advance(_ key: Left, _ state: State, _ view: ClusterView) {
        let nowNs = Monotonic.nowNs()
        let running = view.nodes.filter { $0.status == .running }
        if running.contains(where: { $0.stream(key.stream)?.recording == true }) {
            left[key]?.isDone = true
            return
        }
        guard let node = running.first(where: { $0.stream(key.stream)?.presence == .original }) else { return }
        guard let notBeforeNs = state.notBeforeNs else {
            left[key]?.notBeforeNs = nowNs &+ Self.graceNs
            return
        }
        guard nowNs >= notBeforeNs else { return }
        left[key]?.notBeforeNs = nowNs &+ Self.pauseNs
        left[key]?.attempts += 1
        left[key]?.isDone = state.attempts + 1 >= Self.attemptsMax
        Task { await self.handOn(key, to: node, state.baseDir) }
    }

    private struct Order: Encodable {
        /// Left out when nil: the node's layout then says where.
        let base_dir: String?
    }

    private func handOn(_ key: Left, to node: NodeView, _ baseDir: String?) async {
        guard let body = try? ClusterJSON.encode(Order(base_dir: baseDir)) else { return }
        var request = HTTPClientRequest(
            .post, "\(node.record.url)/api/record/\(PercentCoding.encode(key.stream))",
            headers: NodeRequest.headers(token: node.token), body: .bytes(body))
        request.headers["Content-Type"] = "application/json"
        request.connectMs = NodeRequest.connectMs
        request.totalMs = NodeCaller.totalMs
        do throws(HTTPClientError) {
            let answer = try await caller.send(request, to: node)
            guard answer.status.isSuccess else { throw .status(answer.status) }
            left[key]?.isDone = true
            log.info("recording goes on elsewhere", ["stream": key.stream, "from": key.alias, "onto": node.alias])
        } catch {
            log.warning("a recording does not go on", ["stream": key.stream, "onto": node.alias, "reason": error.description])
        }
    }
}
