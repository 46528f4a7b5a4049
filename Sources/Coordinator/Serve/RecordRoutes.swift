import Auth
import Cluster
import HTTP
import Nodes
import Program

/// Starting and stopping recordings on the node that has the stream.
struct RecordRoutes: Sendable {
    let directory: NodeDirectory
    let caller: NodeCaller

    func add(to router: inout GuardedRouter) {
        let node = RouteParameter.query("node", "The node that records; else the one with the publisher")
        let absent = RouteResponse(404, "No such stream")
        router.on(
            .post, "/api/record/{stream}",
            RouteDescription(
                "Record a stream", tag: "recordings", requestType: "application/json", parameters: [node],
                responses: [RouteResponse(200, "Where it is written", contentType: "application/json"), absent]),
            needs: { .administrate(stream: try $0.streamName()) }, passOn)
        router.on(
            .get, "/api/record/{stream}",
            RouteDescription(
                "Whether a stream is being recorded", tag: "recordings", parameters: [node],
                responses: [RouteResponse(200, "{recording}", contentType: "application/json"), absent]),
            needs: { .observe(stream: try $0.streamName()) }, passOn)
        router.on(
            .delete, "/api/record/{stream}",
            RouteDescription(
                "Stop recording a stream", tag: "recordings",
                parameters: [.query("node", "Only this node; else all that record it")],
                responses: [RouteResponse(200, "Stopped"), absent]),
            needs: { .administrate(stream: try $0.streamName()) }, stop)
    }

    /// Two nodes may record one stream; it is stopped on all of them. The first failure is what the client hears.
    private func stop(_ request: HTTPRequest) async throws -> HTTPResponse {
        let stream = try request.streamName()
        let view = await directory.view()
        let recording = view.holders(of: stream).filter { $0.stream(stream)?.recording == true }
        guard request.query.first("node") == nil, recording.count > 1 else { return try await passOn(request) }
        let path = "/api/record/\(PercentCoding.encode(stream))"
        var worst: HTTPResponse?
        for node in recording {
            let answer = try await caller.forward(request, to: node, path: path).response
            if worst == nil || !answer.status.isSuccess { worst = answer }
        }
        return worst ?? HTTPResponse(.ok)
    }

    private func passOn(_ request: HTTPRequest) async throws -> HTTPResponse {
        let stream = try request.streamName()
        let node = try await node(for: stream, request)
        var body = try await request.body.bytes(limit: caller.bodyBytesMax)
        // live777 insists on a body, and on its type, and does not name its answer's.
        if request.method == .post, body.isEmpty { body = Array("{}".utf8) }
        var outgoing = caller.request(request, body: body, node: node, path: "/api/record/\(PercentCoding.encode(stream))")
        if !body.isEmpty { outgoing.headers["Content-Type"] = "application/json" }
        let answer = try await caller.call(outgoing, node)
        var response = answer.response
        if answer.status.isSuccess, !answer.body.isEmpty { response.headers["Content-Type"] = "application/json" }
        return response
    }

    private func node(for stream: String, _ request: HTTPRequest) async throws -> NodeView {
        let view = await directory.view()
        if let alias = request.query.first("node") { return try await directory.node(called: alias) }
        let holders = view.holders(of: stream)
        // A recording is asked about and stopped where it runs, also when the publisher has moved on.
        let recording = request.method == .post ? nil : holders.first { $0.stream(stream)?.recording == true }
        guard let node = recording ?? holders.first else { throw HTTPError(.notFound, "no such stream") }
        return node
    }
}
