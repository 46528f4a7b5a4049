import Foundation
import HTTP
import Synchronization

extension Live777Node {
    static func router(_ late: Late777) -> Router {
        var router = Router()
        router.use { request, next in
            let node = try late.get()
            while node.state.withLock({ $0.isStuck }) { try await Task.sleep(for: .milliseconds(50)) }
            // Its router takes a path as it is written: these lists have a slash at the end, nothing else has.
            let mustHaveSlash = ["/api/streams", "/api/strategy"].contains {
                request.rawPath == $0 || request.rawPath == $0 + "/"
            }
            guard request.rawPath.hasSuffix("/") == mustHaveSlash else { return HTTPResponse(.notFound) }
            let isPublic = ["/api/info", "/metrics"].contains(request.rawPath)
            guard isPublic || request.headers["Authorization"] == "Bearer \(node.token)" else {
                return HTTPResponse(.unauthorized)
            }
            return await next(request)
        }
        addLists(to: &router, late)
        addSessions(to: &router, late)
        addStreams(to: &router, late)
        addRecords(to: &router, late)
        return router
    }

    private static func addLists(to router: inout Router, _ late: Late777) {
        router.get("/api/info", RouteDescription("build")) { _ in
            .text(
                #"{"version":"0.9.0","gitHash":"42205144","buildTime":"2026-08-12T00:00:00Z","features":["recorder","cascade"]}"#,
                contentType: "application/json")
        }
        router.get("/api/streams", RouteDescription("streams")) { request in
            let node = try late.get()
            _ = try await node.note(request)
            return .text(try node.snapshot(), contentType: "application/json")
        }
        router.get("/api/sse/streams", RouteDescription("events")) { _ in
            let node = try late.get()
            // Data only, no event's name: at once, then with each event.
            return .serverSentEvents { sink in
                var told = -1
                while true {
                    let (version, isStuck) = node.state.withLock { ($0.version, $0.isStuck) }
                    if version != told, !isStuck {
                        try await sink.send(data: try node.snapshot())
                        told = version
                    }
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
        }
    }

    private static func addSessions(to router: inout Router, _ late: Late777) {
        router.post("/whip/{stream}", RouteDescription("whip")) { try await late.get().begin($0, isPublisher: true) }
        router.post("/whep/{stream}", RouteDescription("whep")) { try await late.get().begin($0, isPublisher: false) }
        router.on(.patch, "/session/{stream}/{session}", RouteDescription("trickle")) { try await late.get().change($0) }
        router.on(.delete, "/session/{stream}/{session}", RouteDescription("end")) { try await late.get().end($0) }
        router.get("/session/{stream}/{session}/layer", RouteDescription("layers")) { request in
            _ = try await late.get().note(request)
            // Where there is no simulcast it says so in this way.
            return .text("not layers", status: 500)
        }
    }

    private static func addStreams(to router: inout Router, _ late: Late777) {
        router.on(.delete, "/api/streams/{stream}", RouteDescription("end")) { request in
            let node = try late.get()
            _ = try await node.note(request)
            let wasThere = node.state.withLock { state in
                state.version += 1
                return state.streams.removeValue(forKey: request.parameter("stream")) != nil
            }
            return wasThere ? HTTPResponse(.noContent) : .text("stream not exists", status: .notFound)
        }
        router.post("/api/streams/{stream}", RouteDescription("create")) { request in
            let node = try late.get()
            _ = try await node.note(request)
            guard !node.knows(request.parameter("stream")) else { return .text("stream already exists", status: .conflict) }
            node.state.withLock { state in
                state.streams[request.parameter("stream")] = Stream()
                state.version += 1
            }
            return HTTPResponse(.noContent)
        }
    }

    private static func addRecords(to router: inout Router, _ late: Late777) {
        for method in [HTTPMethod.get, .post, .delete] {
            router.on(method, "/api/record/{stream}", RouteDescription("record")) { request in
                let node = try late.get()
                let body = try await node.note(request)
                guard node.state.withLock({ $0.hasRecorder }) else {
                    return .text("recorder feature not enabled", status: .notImplemented)
                }
                return try node.record(request, body)
            }
        }
        router.get("/api/recordings", RouteDescription("rows")) { request in
            guard request.query.first("limit") != nil else { return .text("missing field `limit`", status: .badRequest) }
            return .text(#"{"sessions":[]}"#, contentType: "application/json")
        }
    }

    private func record(_ request: HTTPRequest, _ body: String) throws -> HTTPResponse {
        let name = request.parameter("stream")
        switch request.method {
        case .get:
            let isRecording = state.withLock { $0.recording.contains(name) }
            return .text("{\"recording\":\(isRecording)}", contentType: "application/json")
        case .delete:
            state.withLock { _ = $0.recording.remove(name) }
            return HTTPResponse(.ok)
        default:
            guard request.headers["Content-Type"] == "application/json" else {
                return .text("Expected request with `Content-Type: application/json`", status: .unsupportedMediaType)
            }
            guard (try? JSONSerialization.jsonObject(with: Data(body.utf8))) is [String: Any] else {
                return .text("EOF while parsing", status: .badRequest)
            }
            guard knows(name) else { return .text("stream not exists", status: 500) }
            state.withLock { _ = $0.recording.insert(name) }
            // JSON by its looks, plain text by its header.
            return .text(
                "{\"id\":\"\(name)\",\"record_id\":\"1795168800\",\"record_dir\":\"\(name)/1795168800\","
                    + "\"mpd_path\":\"\(name)/1795168800/manifest.mpd\"}")
        }
    }
}
