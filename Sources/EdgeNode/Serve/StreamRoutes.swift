import Auth
import Cluster
import HTTP
import Program
import Streams

/// `/api/streams`: live777's Stream JSON.
struct StreamRoutes {
    let registry: StreamRegistry
    let gate: Gate

    func add(to router: inout Router) {
        let filter = RouteParameter.query("streams", "Names to keep; may repeat")
        router.get("/api/streams", RouteDescription("All streams", tag: "streams", parameters: [filter])) { request in
            let principal = try gate.check(request, .browse)
            let wanted = Set(request.query.all("streams"))
            let records = await registry.records().filter { wanted.isEmpty || wanted.contains($0.id) }
            return try Self.json(records.map { $0.shown(to: principal) })
        }
        router.get("/api/streams/{stream}", RouteDescription("One stream", tag: "streams")) { request in
            let name = try request.streamName()
            let principal = try gate.check(request, .observe(stream: name))
            guard let record = await registry.record(of: name) else { throw HTTPError(StreamError.streamNotFound) }
            return try Self.json(record.shown(to: principal))
        }
        router.post("/api/streams/{stream}", RouteDescription("Make a stream that stays", tag: "streams")) { request in
            let name = try request.streamName()
            try gate.check(request, .administrate(stream: name))
            try await answering { () throws(StreamError) in try await registry.create(stream: name) }
            return HTTPResponse(.noContent)
        }
        router.delete("/api/streams/{stream}", RouteDescription("Delete a stream and its sessions", tag: "streams")) { request in
            let name = try request.streamName()
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

extension StreamRecord {
    /// The record for this reader. A session's id is the right to end the session, so only who may administrate the stream sees it
    /// whole; others see enough to tell sessions apart.
    func shown(to principal: Principal) -> StreamRecord {
        guard !principal.allows(.administrate(stream: id)) else { return self }
        var record = self
        for index in record.publish.sessions.indices { record.publish.sessions[index].id.shorten() }
        for index in record.subscribe.sessions.indices { record.subscribe.sessions[index].id.shorten() }
        return record
    }
}

extension String {
    fileprivate mutating func shorten() { self = String(prefix(8)) }
}
