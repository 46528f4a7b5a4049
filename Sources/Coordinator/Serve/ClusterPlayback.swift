import Cluster
import HTTP
import Nodes
import Playback
import Presentation
import Program
import Store

/// The recordings of all nodes as playback sees them.
struct ClusterPlayback: PlaybackSource {
    let catalog: PlaybackCatalog
    let directory: NodeDirectory
    let client: HTTPClient
    /// The storage all nodes share; nil when each has its own.
    let store: (any ObjectStore)?
    let follower: LiveFollower

    var namesNodes: Bool { true }

    func streams() async throws -> [String] { try await catalog.streams() }
    func page(_ query: RecordingQuery) async throws -> PlaybackPage { try await catalog.page(query) }
    func material(stream: String, fromUs: Int64?, toUs: Int64?) async throws -> [RecordedMaterial] {
        try await catalog.material(stream: stream, fromUs: fromUs, toUs: toUs)
    }
    func liveEdge(of stream: String) async -> LiveEdge? { await follower.edge(of: stream) }
    func awaitChange(of stream: String, past version: Int64, seconds: Double) async -> Bool {
        await follower.awaitChange(of: stream, past: version, seconds: seconds)
    }
    /// Of nodes as they come.
    var segmentSecondsMax: Double { Timeline.segmentSecondsMax }
    func recordingStart(stream: String, id: String?) async throws -> Int64? {
        try await catalog.recordingStart(stream: stream, id: id)
    }

    func object(_ path: String, node alias: String, for request: HTTPRequest) async throws -> ObjectStream {
        let key: ObjectKey
        do throws(StoreError) { key = try ObjectKey(path) } catch { throw HTTPError(.notFound, "\(path) is no object") }
        // What the store can't give, the node that wrote it still may.
        if let store, let body = try? await store.get(key, range: nil) {
            return ObjectStream {
                var pieces = body.chunks.makeAsyncIterator()
                return try await pieces.next()
            }
        }
        guard let node = await directory.node(alias) else {
            throw HTTPError(
                .serviceUnavailable, "\(alias), which has this object, is not known here now", headers: ["Retry-After": "5"])
        }
        var outgoing = HTTPClientRequest(
            .get, "\(node.record.url)/api/record/object/\(PercentCoding.encode(path, keepSlash: true))",
            headers: NodeRequest.headers(for: request, token: node.token))
        outgoing.connectMs = NodeRequest.connectMs
        // A slow reader is no reason to give up; a node that sends nothing is.
        outgoing.totalMs = nil
        let answer: HTTPClientResponse
        do throws(HTTPClientError) { answer = try await client.send(outgoing) } catch {
            throw NodeRequest.failure(error, of: node)
        }
        switch answer.status {
        case .ok: return ObjectStream { try await answer.body.next() }
        case .notFound: throw HTTPError(.notFound, "\(alias) has \(path) no more")
        case .serviceUnavailable, .tooManyRequests:
            throw HTTPError(.serviceUnavailable, "\(alias) can't give \(path) now", headers: ["Retry-After": "2"])
        default: throw HTTPError(.badGateway, "\(alias) answered \(answer.status) for \(path)")
        }
    }
}
