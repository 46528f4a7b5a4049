import Cluster
import HTTP
import Log
import Nodes
import Presentation

/// Follows what nodes are writing of streams that someone watches near their live edge: one waiting request to the node for each
/// stream, however many watch.
public actor LiveFollower {
    private struct Followed {
        var edge: LiveEdge?
        var isKnown = false
        var wanted: ContinuousClock.Instant
    }

    private let directory: NodeDirectory
    private let client: HTTPClient
    private let room: WaitingRoom
    private var followed: [String: Followed] = [:]
    private let clock = ContinuousClock()
    private let log = Logger("live")

    /// A stream that nobody has asked for so long is not followed any more.
    private static let idle = Duration.seconds(30)
    /// How long a node lets a request wait, in seconds.
    private static let waitSeconds = 10
    private static let answerBytesMax = 16 << 20
    /// Whoever asks first waits so long for the node's answer, in seconds.
    private static let firstSeconds = 2.0
    /// How long what was heard of an ended recording is kept.
    private static let farewell = Duration.seconds(5)

    /// - Parameter firstVersion: versions count from here; a time of day does.
    public init(directory: NodeDirectory, client: HTTPClient, firstVersion: Int64) {
        self.directory = directory
        self.client = client
        room = WaitingRoom(waitersMax: 2_048, firstVersion: firstVersion)
    }

    /// What of a stream is being written; nil when nothing is, or its node can't tell.
    public func edge(of stream: String) async -> LiveEdge? {
        if followed[stream] == nil {
            guard await recorder(of: stream) != nil else { return nil }
            if followed[stream] == nil {
                followed[stream] = Followed(wanted: clock.now)
                Task { await follow(stream) }
            }
        }
        followed[stream]?.wanted = clock.now
        if followed[stream]?.isKnown == false {
            _ = await room.wait(for: stream, past: room.version(of: stream), seconds: Self.firstSeconds)
        }
        let version = room.version(of: stream)
        var edge = followed[stream]?.edge
        edge?.version = version
        return edge
    }

    /// Waits until a stream's edge is of another version; false when it is not in time, or too many wait.
    public nonisolated func awaitChange(of stream: String, past version: Int64, seconds: Double) async -> Bool {
        await room.wait(for: stream, past: version, seconds: seconds)
    }

    /// Lets everyone go who waits.
    public func stop() {
        followed = [:]
        room.close()
    }

    private func recorder(of stream: String) async -> NodeView? {
        await directory.view().reachable.first { $0.streams.contains { $0.id == stream && $0.recording } }
    }

    private func follow(_ stream: String) async {
        var after: Int64?
        var failures = 0
        var last: NodeView?
        while let entry = followed[stream], clock.now - entry.wanted < Self.idle {
            let recorder = await recorder(of: stream)
            guard let node = recorder ?? last else { break }
            last = node
            do {
                // One that has ended is asked for its end, without waiting.
                let record = try await ask(node, stream, after: recorder == nil ? nil : after)
                after = record.version
                failures = 0
                tell(LiveEdge(record, node: node.alias), of: stream)
            } catch {
                failures += 1
                after = nil
                log.debug("can't follow a recording", ["node": node.alias, "stream": stream, "reason": "\(error)"])
                if failures > 3 { break }
                try? await Task.sleep(for: .milliseconds(300 * failures))
            }
            guard recorder == nil else { continue }
            // Until the index has the end, too.
            try? await Task.sleep(for: Self.farewell)
            if await self.recorder(of: stream) == nil { break }
        }
        followed[stream] = nil
        room.forget(stream)
    }

    private func tell(_ edge: LiveEdge?, of stream: String) {
        guard let entry = followed[stream], !entry.isKnown || edge != entry.edge else { return }
        followed[stream]?.edge = edge
        followed[stream]?.isKnown = true
        room.changed(stream)
    }

    private func ask(_ node: NodeView, _ stream: String, after: Int64?) async throws -> LiveEdgeRecord {
        let query = after.map { "?after=\($0)&wait=\(Self.waitSeconds)" } ?? ""
        var request = HTTPClientRequest(
            .get, "\(node.record.url)/api/playback/\(PercentCoding.encode(stream))/live\(query)",
            headers: NodeRequest.headers(token: node.token))
        request.connectMs = NodeRequest.connectMs
        request.totalMs = (Self.waitSeconds + 5) * 1_000
        let answer = try await client.send(request)
        guard answer.status == .ok else { throw HTTPClientError.status(answer.status) }
        return try ClusterJSON.decode(LiveEdgeRecord.self, from: try await answer.collect(limit: Self.answerBytesMax))
    }
}
