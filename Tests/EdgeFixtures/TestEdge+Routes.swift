import Cluster
import Foundation
import HTTP
import Synchronization

extension TestEdge {
    static func router(_ late: Late) -> Router {
        var router = Router()
        router.use { request, next in
            let token = try late.get().state.withLock { $0.token }
            if let token, request.headers["Authorization"] != "Bearer \(token)" {
                throw HTTPError(.unauthorized, "unauthorized")
            }
            return await next(request)
        }
        router.get("/api/sse/streams", RouteDescription("events")) { _ in
            let edge = try late.get()
            return .serverSentEvents { sink in try await edge.tell(sink) }
        }
        for kind in ["whip", "whep"] {
            router.post("/\(kind)/{stream}", RouteDescription(kind)) { try await late.get().begin($0) }
        }
        for method in [HTTPMethod.patch, .delete, .get, .post] {
            router.on(method, "/session/{stream}/{session}", RouteDescription("session")) {
                try await late.get().noted($0, .noContent)
            }
            router.on(method, "/session/{stream}/{session}/layer", RouteDescription("layer")) {
                try await late.get().noted($0, .ok)
            }
            router.on(method, "/api/record/{stream}", RouteDescription("record")) { request in
                let edge = try late.get()
                return try await edge.record(request)
            }
            router.on(method, "/api/cascade/{stream}", RouteDescription("cascade")) { request in
                let edge = try late.get()
                return try await edge.noted(request, edge.state.withLock { $0.cascadeStatus })
            }
            router.on(method, "/api/drain", RouteDescription("drain")) { request in
                let edge = try late.get()
                edge.take(order: request.method == .post)
                return try await edge.noted(request, .ok)
            }
            router.on(method, "/api/streams/{stream}", RouteDescription("stream")) { try await late.get().noted($0, .noContent) }
        }
        addRecordings(&router, late)
        return router
    }

    private static func addRecordings(_ router: inout Router, _ late: Late) {
        router.get("/api/recordings", RouteDescription("rows")) { request in
            let edge = try late.get()
            let since = request.query.first("since_ts").flatMap { Int64($0) } ?? 0
            let limit = request.query.first("limit").flatMap { Int($0) } ?? 100
            _ = try await edge.noted(request, .ok)
            let rows = edge.state.withLock { $0.rows.filter { $0.updatedAt > since }.prefix(limit) }
            return .bytes(try ClusterJSON.encode(RecordingsPage(sessions: Array(rows))), contentType: "application/json")
        }
        router.get("/api/recordings/{id}", RouteDescription("detail")) { request in
            let edge = try late.get()
            _ = try await edge.noted(request, .ok)
            let id = request.parameter("id")
            let (told, growing) = edge.state.withLock { ($0.details[id], $0.growing[id]) }
            guard let detail = growing?(request.query.first("after")) ?? told else {
                throw HTTPError(.notFound, "no such recording")
            }
            return .bytes(try ClusterJSON.encode(detail), contentType: "application/json")
        }
        router.on(.delete, "/api/recordings/{id}", RouteDescription("remove")) { request in
            let edge = try late.get()
            let id = request.parameter("id")
            let isThere = edge.state.withLock { state in
                defer { state.rows.removeAll { $0.id == id } }
                return state.rows.contains { $0.id == id }
            }
            return try await edge.noted(request, isThere ? .noContent : .notFound)
        }
        router.get("/api/record/object/{path*}", RouteDescription("object")) { request in
            let edge = try late.get()
            _ = try await edge.noted(request, .ok)
            let path = request.parameter("path")
            if path.hasSuffix("endless.m4s") { return edge.endless() }
            guard let bytes = edge.state.withLock({ $0.objects[path] }) else { throw HTTPError(.notFound, "no such object") }
            return .bytes(bytes, contentType: "video/mp4", headers: ["ETag": "\"\(bytes.count)\""])
        }
    }

    /// The node's record ten times a second, for tests' sake, and the streams when they have changed.
    private func tell(_ sink: ServerSentEventSink) async throws {
        var told: [StreamRecord]?
        while true {
            let (node, streams, isSilent) = state.withLock { ($0.node, $0.streams, $0.isSilent) }
            if !isSilent {
                if streams != told {
                    try await sink.send(data: String(decoding: try ClusterJSON.encode(streams), as: UTF8.self))
                    told = streams
                }
                var node = node
                node.updatedAtMs = Int64(Date().timeIntervalSince1970 * 1_000) + clockAheadMs
                try await sink.send(event: "node", data: String(decoding: try ClusterJSON.encode(node), as: UTF8.self))
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    private func record(_ request: HTTPRequest) async throws -> HTTPResponse {
        let (status, keepsLimits) = state.withLock { ($0.recordStatus, $0.keepsLimits) }
        let body = try await request.body.bytes()
        let answer = noted(request, body, status)
        guard keepsLimits, status == .ok, request.method == .post else { return answer }
        let order = try ClusterJSON.decode(RecordingOrder.self, from: body)
        state.withLock { state in
            for index in state.streams.indices where state.streams[index].id == request.parameter("stream") {
                state.streams[index].recording = true
                state.streams[index].recordingMaxSeconds = order.secondsMax
            }
        }
        return .bytes(try ClusterJSON.encode(order), contentType: "application/json")
    }

    private func begin(_ request: HTTPRequest) async throws -> HTTPResponse {
        let answer = try await noted(request, .created)
        let (status, number) = state.withLock { state in
            state.nextSession += 1
            return (state.whipStatus, state.nextSession)
        }
        guard status == .created else { throw HTTPError(status, "as told", headers: ["Retry-After": "7"]) }
        let path = "/session/\(request.parameter("stream"))/s\(number)"
        var response = HTTPResponse.text("v=0 answer of \(alias)", status: answer.status, contentType: "application/sdp")
        response.headers["Location"] = path
        response.headers["ETag"] = "\"e\(number)\""
        response.headers["Accept-Patch"] = "application/trickle-ice-sdpfrag"
        response.headers.add("Link", "<stun:stun.example.net>; rel=\"ice-server\"")
        response.headers.add("Link", "<\(path)/layer>; rel=\"urn:ietf:params:whep:ext:core:layer\"")
        return response
    }

    private func noted(_ request: HTTPRequest, _ status: HTTPStatus) async throws -> HTTPResponse {
        noted(request, try await request.body.bytes(), status)
    }

    private func noted(_ request: HTTPRequest, _ body: [UInt8], _ status: HTTPStatus) -> HTTPResponse {
        state.withLock {
            $0.seen.append(
                Seen(
                    method: request.method.rawValue, path: request.path, query: request.rawQuery, headers: request.headers,
                    body: body))
        }
        guard status == .ok else { return HTTPResponse(status) }
        return .text("{\"alias\":\"\(alias)\"}", contentType: "application/json")
    }

    /// A body without an end; counts when its reader goes away.
    private func endless() -> HTTPResponse {
        .stream(contentType: "video/mp4", length: 1 << 40) { writer in
            do {
                let chunk = [UInt8](repeating: 7, count: 64 << 10)
                while true { try await writer.write(chunk) }
            } catch {
                self.state.withLock { $0.brokenBodies += 1 }
                throw error
            }
        }
    }
}
