import Auth
import Cluster
import HTTP
import Log
import Nodes
import Presentation
import Route

/// Lets a recording that somebody asked for go on where its publisher goes: when the node that wrote it dies, is drained or started again, and
/// when the publisher just comes back on another one. What is recorded automatically needs no one for that.
///
/// Each recording is handed on once: whoever stops it afterwards has stopped it. A node that waits in vain ends what it has.
actor RecordingHandover {
    /// As long as a node takes to begin what it records automatically, and its record to show it.
    static let graceNs: UInt64 = 3_000_000_000
    private static let pauseNs: UInt64 = 5_000_000_000
    private static let attemptsMax = 12
    /// How long the publisher of a process that is no more may take to come back.
    private static let keptNs: UInt64 = 600_000_000_000

    /// A recording on a node that was running, by that node's start.
    private struct Left: Hashable {
        let stream: String
        let alias: String
        let startedAtMs: Int64
    }

    private struct State {
        /// What its recording was asked for with, the last time.
        var order: RecordingOrder
        let sinceNs: UInt64
        /// When the publisher was first seen elsewhere, and not recorded.
        var notBeforeNs: UInt64?
        var attempts = 0
        var isDone = false
    }

    private let caller: NodeCaller
    private let graceNs: UInt64
    private let isAutomatic: @Sendable (String) -> Bool
    private let log = Logger("handover")
    private var left: [Left: State] = [:]
    private var last = ClusterView()

    /// - Parameters:
    ///   - graceNs: how long to wait once the publisher is back.
    ///   - isAutomatic: whether a stream is recorded without being asked, by the coordinator's own rules.
    init(caller: NodeCaller, graceNs: UInt64 = graceNs, isAutomatic: @escaping @Sendable (String) -> Bool) {
        (self.caller, self.graceNs, self.isAutomatic) = (caller, graceNs, isAutomatic)
    }

    func look(_ view: ClusterView) {
        let before = last
        last = view
        let nowNs = Monotonic.nowNs()
        var present: Set<Left> = []
        for node in view.nodes {
            let known = before.node(node.alias)
            let isSame = known?.record.startedAtMs == node.record.startedAtMs
            // What it recorded when it was last in service: a drained node may end that before it is seen to leave, and a process that was
            // started in the place of another knows nothing of it.
            if let known, node.status != .running || !isSame { note(known.streams, of: known, nowNs) }
            guard node.status != .running else {
                for stream in node.streams where waitsInVain(stream, view) { present.insert(note(stream, of: node, nowNs)) }
                continue
            }
            note(node.streams, of: node, nowNs)
            present.formUnion(left.keys.filter { $0.alias == node.alias && $0.startedAtMs == node.record.startedAtMs })
        }
        left = left.filter { key, state in
            let isGone = view.node(key.alias)?.record.startedAtMs != key.startedAtMs
            return present.contains(key) || isGone && nowNs < state.sinceNs &+ Self.keptNs
        }
        for (key, state) in left where !state.isDone { advance(key, state, view) }
    }

    private func note(_ streams: [StreamRecord], of node: NodeView, _ nowNs: UInt64) {
        for stream in streams where stream.recording && !isAutomatic(stream.id) { note(stream, of: node, nowNs) }
    }

    @discardableResult
    private func note(_ stream: StreamRecord, of node: NodeView, _ nowNs: UInt64) -> Left {
        let key = Left(stream: stream.id, alias: node.alias, startedAtMs: node.record.startedAtMs)
        var state = left[key] ?? State(order: stream.recordingOrder, sinceNs: nowNs)
        if stream.recording, !state.isDone { state.order = stream.recordingOrder }
        left[key] = state
        return key
    }

    /// Whether a node in service records a stream that nobody sends it, while another one has the publisher.
    private func waitsInVain(_ stream: StreamRecord, _ view: ClusterView) -> Bool {
        // Of many thousands of recordings nearly all are written to, which has to cost nothing.
        guard stream.recording, stream.publish.leaveAt != 0 || stream.publish.sessions.isEmpty, stream.presence == .waiting else {
            return false
        }
        return !isAutomatic(stream.id)
            && view.nodes.contains { $0.status == .running && $0.stream(stream.id)?.presence == .original }
    }

    private func advance(_ key: Left, _ state: State, _ view: ClusterView) {
        let nowNs = Monotonic.nowNs()
        let running = view.nodes.filter { $0.status == .running }
        let recording = running.filter { $0.stream(key.stream)?.recording == true }
        let waiting = recording.first {
            $0.alias == key.alias && $0.record.startedAtMs == key.startedAtMs && $0.stream(key.stream)?.presence == .waiting
        }
        if recording.contains(where: { $0.stream(key.stream)?.presence != .waiting }) {
            left[key]?.isDone = true
            if let waiting { Task { await self.end(key, on: waiting) } }
            return
        }
        guard let node = running.first(where: { $0.stream(key.stream)?.presence == .original }) else { return }
        guard let notBeforeNs = state.notBeforeNs else {
            left[key]?.notBeforeNs = nowNs &+ graceNs
            return
        }
        guard nowNs >= notBeforeNs else { return }
        left[key]?.notBeforeNs = nowNs &+ Self.pauseNs
        left[key]?.attempts += 1
        left[key]?.isDone = state.attempts + 1 >= Self.attemptsMax
        Task { await self.handOn(key, to: node, waiting: waiting, state.order) }
    }

    private func handOn(_ key: Left, to node: NodeView, waiting: NodeView?, _ order: RecordingOrder) async {
        guard let body = try? ClusterJSON.encode(order) else { return }
        do throws(HTTPClientError) {
            try await ask(.post, key, node, .bytes(body))
            left[key]?.isDone = true
            log.info("recording goes on elsewhere", ["stream": key.stream, "from": key.alias, "onto": node.alias])
        } catch {
            log.warning("a recording does not go on", ["stream": key.stream, "onto": node.alias, "reason": error.description])
            return
        }
        if let waiting { await end(key, on: waiting) }
    }

    private func end(_ key: Left, on node: NodeView) async {
        do throws(HTTPClientError) {
            try await ask(.delete, key, node, .none)
        } catch {
            log.warning("a recording waits in vain", ["stream": key.stream, "on": node.alias, "reason": error.description])
        }
    }

    private func ask(
        _ method: HTTPMethod, _ key: Left, _ node: NodeView, _ body: HTTPClientRequest.Body
    ) async throws(HTTPClientError) {
        var request = HTTPClientRequest(
            method, "\(node.record.url)/api/record/\(PercentCoding.encode(key.stream))",
            headers: NodeRequest.headers(token: node.token), body: body)
        if method == .post { request.headers["Content-Type"] = "application/json" }
        request.connectMs = NodeRequest.connectMs
        request.totalMs = NodeCaller.totalMs
        let answer = try await caller.send(request, to: node)
        guard answer.status.isSuccess else { throw .status(answer.status) }
    }
}
