import Auth
import Cluster
import HTTP
import Program
import Streams

/// `GET /api/sse/streams`: the whole list at once and on every change; the node's own record as `event: node` each second, and
/// at once when it is drained or taken back.
struct EventRoutes {
    let registry: StreamRegistry
    let node: NodeReporter
    let gate: Gate

    func add(to router: inout Router) {
        let description = RouteDescription(
            "Streams as they change", tag: "streams", parameters: [.query("streams", "Names to keep; may repeat")],
            responses: [
                RouteResponse(.ok, "Data is the array of streams; event node is this node", contentType: "text/event-stream")
            ])
        router.get("/api/sse/streams", description) { request in
            let principal = try gate.check(request, .browse)
            let wanted = Set(request.query.all("streams"))
            return .serverSentEvents { sink in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await sendStreams(to: sink, wanted, principal) }
                    group.addTask { try await sendNode(to: sink) }
                    // Either ends when the client goes; the other must not go on.
                    try await group.next()
                    group.cancelAll()
                }
            }
        }
    }

    private func sendStreams(to sink: ServerSentEventSink, _ wanted: Set<String>, _ principal: Principal) async throws {
        let changes = await registry.changes()
        func snapshot() async throws -> String {
            let records = await registry.records().filter { wanted.isEmpty || wanted.contains($0.id) }
            return String(decoding: try ClusterJSON.encode(records.map { $0.shown(to: principal) }), as: UTF8.self)
        }
        var last = try await snapshot()
        try await sink.send(data: last)
        for await _ in changes {
            let next = try await snapshot()
            guard next != last else { continue }
            last = next
            try await sink.send(data: last)
            // A burst of joins becomes a few messages, not one for each.
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    private func sendNode(to sink: ServerSentEventSink) async throws {
        let (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let changes = await node.changes()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { for await _ in changes { wake.yield() } }
            group.addTask {
                while true {
                    wake.yield()
                    try await Task.sleep(for: .milliseconds(StateKeys.heartbeatMs))
                }
            }
            // One sender, so that no older record comes after a newer one.
            for await _ in wakes {
                let record = try ClusterJSON.encode(await node.record())
                try await sink.send(event: "node", data: String(decoding: record, as: UTF8.self))
            }
            group.cancelAll()
        }
    }
}
