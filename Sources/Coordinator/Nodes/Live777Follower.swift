import Cluster
import HTTP

/// Follows a live777 node through its own HTTP API: its streams come over SSE, which says nothing while nothing happens, so that it
/// lives is asked for; what it records stands in no stream of its, so that is asked for too.
actor Live777Follower {
    /// It sends a comment every 15 s.
    static let idleSeconds = 20
    static let beat = Duration.seconds(1)
    static let beatMs = 1_500
    /// A node that has just been started may be slow; it is asked once for each connection.
    static let softwareMs = 5_000
    /// Recordings start and end also by others' hands, but seldom.
    static let beatsBetweenRecords = 3

    private let node: ConfiguredNode
    private let client: HTTPClient
    private let directory: NodeDirectory
    private let software: String
    private var streams: [StreamRecord] = []
    private var recording: Set<String> = []
    /// Its recorder is an option of its build (501 without).
    private var hasRecorder = true

    /// - Parameter software: what to call it, such as `live777 0.9.0`.
    init(node: ConfiguredNode, client: HTTPClient, directory: NodeDirectory, software: String) {
        self.node = node
        self.client = client
        self.directory = directory
        self.software = software
    }

    /// What a node that is no edge-node says it is; nil for an edge-node, and for one that doesn't say.
    /// - Throws: `HTTPClientError` when there was no answer at all.
    static func software(of node: ConfiguredNode, _ client: HTTPClient) async throws(HTTPClientError) -> String? {
        let answer = try await get("/api/info", of: node, client, totalMs: softwareMs)
        guard answer.status == .ok, let info = try? ClusterJSON.decode(Info.self, from: answer.body), info.program == nil,
            info.gitHash != nil
        else { return nil }
        return "live777 \(info.version ?? "")"
    }

    /// Reports until the node breaks off.
    /// - Parameter heard: called when the node has let us in.
    func follow(heard: @Sendable () -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.askAgainAndAgain() }
            let events = client.events(
                "\(node.url)/api/sse/streams", headers: NodeRequest.headers(token: node.token), idleSeconds: Self.idleSeconds)
            for try await event in events where event.event == "message" {
                heard()
                await take(event)
            }
            group.cancelAll()
        }
    }

    private func take(_ event: ServerSentEvent) async {
        // A name that live777 allows and that isn't one here must not take the other streams with it.
        guard let told = try? ClusterJSON.streams(from: Array(event.data.utf8), leavesOut: true) else { return }
        let published = Set(streams.filter(\.isPublished).map(\.id))
        streams = told
        let hasNew = streams.contains { $0.isPublished && !published.contains($0.id) }
        await report()
        // A node may record a new stream by its own rules.
        if hasNew { await askRecords() }
    }

    private func askAgainAndAgain() async throws {
        var beats = 0
        while true {
            try await Task.sleep(for: Self.beat)
            beats += 1
            // One that does not answer is silent; the directory knows what that means, and the event stream goes on or ends.
            guard let answer = try? await Self.get("/api/info", of: node, client), answer.status == .ok else { continue }
            if beats % Self.beatsBetweenRecords == 0 { await askRecords() }
            await report()
        }
    }

    private func report() async {
        let streams = streams.map { stream in
            var stream = stream
            stream.recording = recording.contains(stream.id)
            return stream
        }
        // Neither the times of its clock nor its processor's load can be had from it.
        let record = NodeRecord(
            alias: node.alias, url: node.url, startedAtMs: 0, updatedAtMs: 0, load: Self.load(of: streams),
            recordings: recording.count)
        await directory.heard(record, from: .events, software: software)
        await directory.heard(streams, alias: node.alias)
    }

    private static func load(of streams: [StreamRecord]) -> NodeLoad {
        NodeLoad(
            egressBitsPerSecond: streams.reduce(0) { $0 &+ $1.stats.subscribe.bitrate },
            ingressBitsPerSecond: streams.reduce(0) { $0 &+ $1.stats.publish.bitrate },
            publishers: streams.count { $0.isPublished }, viewers: streams.reduce(0) { $0 + $1.viewerCount })
    }

    private func askRecords() async {
        guard hasRecorder else { return }
        var found: Set<String> = []
        for stream in streams where stream.isPublished {
            let path = "/api/record/\(PercentCoding.encode(stream.id))"
            guard let answer = try? await Self.get(path, of: node, client) else { return }
            if answer.status == .notImplemented { hasRecorder = false }
            let said = try? ClusterJSON.decode(RecordState.self, from: answer.body)
            if said?.recording == true { found.insert(stream.id) }
        }
        recording = found
    }

    private static func get(
        _ path: String, of node: ConfiguredNode, _ client: HTTPClient, totalMs: Int = beatMs
    ) async throws(HTTPClientError) -> (status: HTTPStatus, body: [UInt8]) {
        var request = HTTPClientRequest(.get, node.url + path, headers: NodeRequest.headers(token: node.token))
        request.connectMs = NodeRequest.connectMs
        request.totalMs = totalMs
        let answer = try await client.send(request)
        return (answer.status, try await answer.collect(limit: 1 << 20))
    }

    private struct Info: Decodable {
        let version: String?
        let gitHash: String?
        let program: String?
    }

    private struct RecordState: Decodable {
        let recording: Bool
    }
}
