import Auth
import Cluster
import HTTP
import Streams

/// `/api/streams`: live777's Stream JSON.
struct StreamRoutes {
    let registry: StreamRegistry
    let gate: Gate

    func add(to router: inout Router) {
        let filter = RouteParameter.query("streams", "Names to keep; may repeat")
        router.get("/api/streams", RouteDescription("All streams", tag: "streams", parameters: [filter])) { request in
            try gate.check(request, .browse)
            let wanted = Set(request.query.all("streams"))
            return try Self.json(await registry.records().filter { wanted.isEmpty || wanted.contains($0.id) })
        }
        router.get("/api/streams/{stream}", RouteDescription("One stream", tag: "streams")) { request in
            let name = try WHIPRoutes.stream(request)
            try gate.check(request, .observe(stream: name))
            guard let record = await registry.record(of: name) else { throw HTTPError(StreamError.streamNotFound) }
            return try Self.json(record)
        }
        router.post("/api/streams/{stream}", RouteDescription("Make a stream that stays", tag: "streams")) { request in
            let name = try WHIPRoutes.stream(request)
            try gate.check(request, .administrate(stream: name))
            try await answering { () throws(StreamError) in try await registry.create(stream: name) }
            return HTTPResponse(.noContent)
        }
        router.delete("/api/streams/{stream}", RouteDescription("Delete a stream and its sessions", tag: "streams")) { request in
            let name = try WHIPRoutes.stream(request)
            try gate.check(request, .administrate(stream: name))
            try await answering { () throws(StreamError) in try await registry.delete(stream: name) }
            return HTTPResponse(.noContent)
        }
    }

    /// Records go through their own encoder, the same as for Redis.
    static func json(_ value: some Encodable) throws -> HTTPResponse {
        .bytes(try ClusterJSON.encode(value), contentType: "application/json")
    }
}
