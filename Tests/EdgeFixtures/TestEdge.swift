import Cluster
import Foundation
import HTTP
import Synchronization

/// An edge node's HTTP side on a port of its own, for tests of what stands before it: real requests over real sockets,
/// with streams, sessions, recordings and objects as the test sets them.
package final class TestEdge: Sendable {
    /// A request as it arrived.
    package struct Seen: Sendable {
        package let method: String
        package let path: String
        package let query: String
        package let headers: HTTPHeaders
        package let body: [UInt8]
    }

    struct State {
        var node: NodeRecord
        var streams: [StreamRecord] = []
        var rows: [RecordingRecord] = []
        var details: [String: RecordingDetail] = [:]
        var growing: [String: @Sendable (String?) -> RecordingDetail] = [:]
        var objects: [String: [UInt8]] = [:]
        var seen: [Seen] = []
        var nextSession = 0
        var whipStatus: HTTPStatus = .created
        var recordStatus: HTTPStatus = .ok
        var keepsLimits = false
        var cascadeStatus: HTTPStatus = .ok
        var brokenBodies = 0
        var isSilent = false
        var token: String?
    }

    package let alias: String
    /// Wanted as bearer token when not nil.
    package let token: String?
    /// What its clock is ahead of the real time.
    let clockAheadMs: Int64
    let state: Mutex<State>
    private let server: HTTPServer
    private let late = Late()

    /// Listens and answers at once.
    package init(
        _ alias: String, token: String? = nil, listen: String = "127.0.0.1:0", startedAtMs: Int64 = 1,
        region: String = "", load: NodeLoad = NodeLoad(), pubMax: Int = 0, subMax: Int = 0, clockAheadMs: Int64 = 0
    ) throws {
        self.clockAheadMs = clockAheadMs
        self.alias = alias
        self.token = token
        state = Mutex(
            State(
                node: NodeRecord(
                    alias: alias, url: "http://unreachable.invalid", region: region, startedAtMs: startedAtMs, updatedAtMs: 1,
                    load: load,
                    pubMax: pubMax, subMax: subMax)))
        state.withLock { $0.token = token }
        var settings = HTTPServerSettings(listen: listen)
        settings.stopSeconds = 0
        server = try HTTPServer(settings, router: Self.router(late))
        late.edge.withLock { $0 = self }
        try server.start()
    }

    /// Where it answers.
    package var url: String { server.url }
    package var port: UInt16 { server.port }

    /// Closes its socket, as a node that died.
    package func stop() async {
        await server.stop()
        late.edge.withLock { $0 = nil }
    }

    // MARK: what tests set and look at

    /// Every request so far but event streams.
    package var seen: [Seen] { state.withLock { $0.seen } }
    /// How often a client went away in the middle of an endless object.
    package var brokenBodies: Int { state.withLock { $0.brokenBodies } }

    package func setStreams(_ streams: [StreamRecord]) { state.withLock { $0.streams = streams } }

    package func setLoad(_ load: NodeLoad) { state.withLock { $0.node.load = load } }

    /// What WHIP and WHEP answer from now on.
    package func setAnswer(_ status: HTTPStatus) { state.withLock { $0.whipStatus = status } }

    /// Wants another token than the one it began with.
    package func setToken(_ token: String) { state.withLock { $0.token = token } }

    /// What requests to record answer from now on.
    package func setRecordStatus(_ status: HTTPStatus) { state.withLock { $0.recordStatus = status } }

    /// Says of each recording after how long it ends, when it is told so.
    package func keepLimits() { state.withLock { $0.keepsLimits = true } }

    /// What requests for a cascade answer from now on.
    package func setCascadeStatus(_ status: HTTPStatus) { state.withLock { $0.cascadeStatus = status } }

    /// What the node says of itself from now on.
    package func setStatus(_ status: NodeStatus, drained: Bool) {
        state.withLock { ($0.node.status, $0.node.drained) = (status, drained) }
    }

    /// Says that it was ordered to empty itself, or to go on.
    func take(order isDrained: Bool) {
        state.withLock { state in
            guard isDrained != (state.node.status == .draining) else { return }
            state.node.drainOrder = DrainOrder(drained: isDrained, number: (state.node.drainOrder?.number ?? 0) + 1)
            (state.node.status, state.node.drained) = (isDrained ? .draining : .running, false)
        }
    }

    /// Another process from now on, which knows of no order.
    package func restart() {
        state.withLock { state in
            state.node.startedAtMs += 1
            (state.node.status, state.node.drained, state.node.drainOrder) = (.running, false, nil)
        }
    }

    /// Writes its record as a program of another release.
    package func setVersion(_ version: RecordVersion) { state.withLock { $0.node.version = version } }

    /// Stays connected but says nothing any more.
    package func setSilent(_ isSilent: Bool) { state.withLock { $0.isSilent = isSilent } }

    package func setObject(_ path: String, _ bytes: [UInt8]) { state.withLock { $0.objects[path] = bytes } }

    /// Adds or replaces a recording whose detail goes on from an earlier answer.
    package func setGrowing(_ row: RecordingRecord, _ detail: @escaping @Sendable (_ after: String?) -> RecordingDetail) {
        setRecording(row, detail(nil))
        state.withLock { $0.growing[row.id] = detail }
    }

    /// Adds or replaces a recording.
    package func setRecording(_ row: RecordingRecord, _ detail: RecordingDetail) {
        state.withLock { state in
            state.rows.removeAll { $0.id == row.id }
            state.rows.append(row)
            state.rows.sort { $0.updatedAt < $1.updatedAt }
            state.details[row.id] = detail
        }
    }
}

/// The edge a router's handlers belong to; it comes to be after the router.
final class Late: Sendable {
    let edge = Mutex<TestEdge?>(nil)

    func get() throws -> TestEdge {
        guard let edge = edge.withLock({ $0 }) else { throw HTTPError(.serviceUnavailable, "not started") }
        return edge
    }
}
