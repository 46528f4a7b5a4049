import Auth
import Cluster
import HTTP
import Nodes
import Playback
import Presentation
import Program
import Records
import Store

/// Lists of recordings, manifests, clips and objects.
struct RecordedRoutes: Sendable {
    let source: ClusterPlayback
    let objects: ObjectProxy
    let index: RecordingIndex
    /// Recordings in the storage that nodes share; nil when each has its own.
    let stored: StoredRecordings?
    let caller: NodeCaller

    func add(to router: inout GuardedRouter) {
        for route in PlaybackRoutes(source: source).all { router.on(route) }
        router.on(
            .delete, "/api/playback/{stream}/{recording}",
            RouteDescription(
                "Delete a recording and its media, on the node that made it, or from the shared storage when that is gone",
                tag: "playback",
                parameters: [.query("node", "The node that made it; needed only when two have one of this id")],
                responses: [
                    RouteResponse(204, "Deleted"), RouteResponse(404, "No such recording"),
                    RouteResponse(409, "It is still being written, or was a moment ago"),
                    RouteResponse(503, "Its node can't be reached"),
                ]), needs: { _ in .cluster }
        ) { request in
            let answer = try await delete(request)
            // Nor may a manifest that somebody asked for a moment ago name it any more.
            objects.forgetManifests()
            return answer
        }
        router.on(
            .get, "/api/record/object/{path*}",
            RouteDescription(
                "An object of a recording", tag: "playback", parameters: [.query("node", "The node that has it")],
                responses: [
                    RouteResponse(200, "The object"), RouteResponse(206, "A part of it"),
                    RouteResponse(400, "Not an object's path"),
                    RouteResponse(404, "No such object"), RouteResponse(416, "A range outside of it"),
                    RouteResponse(503, "Its node can't be reached"),
                ], startsInPlace: true), isMedia: true,
            needs: { .subscribe(stream: await objects.stream(ofPath: $0.parameter("path"))) }
        ) { request in
            try await objects.respond(to: request, path: request.parameter("path"), node: request.query.first("node"))
        }
    }

    /// The node removes index and objects together, and would tell every coordinator of it by and by; this one forgets at once.
    private func delete(_ request: HTTPRequest) async throws -> HTTPResponse {
        let (stream, id) = (try request.streamName(), request.parameter("recording"))
        let alias = request.query.first("node")
        let found = try await index.recordings(session: id).filter { $0.stream == stream && (alias ?? $0.node) == $0.node }
        guard let recording = found.first else { throw HTTPError(.notFound, "\(stream) has no recording \(id)") }
        guard found.count == 1 else {
            throw HTTPError(.conflict, "several nodes have a recording \(id): say which by ?node=")
        }
        guard let node = await source.directory.node(recording.node), node.status != .lost || stored == nil else {
            return try await deleteStored(recording)
        }
        let answer = try await caller.forward(request, to: node, path: "/api/recordings/\(PercentCoding.encode(id))")
        switch answer.status {
        case .noContent, .ok: break
        // A node that came back without what it had, or another one of its name.
        case .notFound: return try await deleteStored(recording, isElsewhere: false)
        default: return answer.response
        }
        try await index.remove(node: recording.node, session: id)
        return HTTPResponse(.noContent)
    }

    /// - Parameter isElsewhere: whether a node may have it that does not answer.
    private func deleteStored(_ recording: IndexedRecording, isElsewhere: Bool = true) async throws -> HTTPResponse {
        let removal: StoredRecordings.Removal
        do throws(StoreError) {
            removal = try await stored?.remove(recording) ?? .notInStore
        } catch {
            throw HTTPError(error, about: "the recording")
        }
        switch removal {
        case .removed: break
        case .beingWritten(let seconds):
            throw HTTPError(
                .conflict, "\(recording.session) did not end, and was written to just now",
                headers: ["Retry-After": String(seconds)])
        case .notInStore:
            guard !isElsewhere else {
                throw HTTPError(
                    .serviceUnavailable, "\(recording.node), which has this recording, can't be reached now",
                    headers: ["Retry-After": "5"])
            }
            try await index.remove(node: recording.node, session: recording.session)
        }
        return HTTPResponse(.noContent)
    }
}
