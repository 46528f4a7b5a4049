import Auth
import HTTP
import Program

/// `POST /api/cascade/{stream}`: fetching a stream from another node, or giving it to one.
///
/// This build does not relay between nodes, and says so: a client must be able to tell that from a wrong address.
struct CascadeRoutes {
    let gate: Gate

    func add(to router: inout Router) {
        let description = RouteDescription(
            "Relay a stream from or to another node", tag: "streams", requestType: "application/json",
            responses: [
                RouteResponse(.badRequest, "Not a stream name"),
                RouteResponse(.notImplemented, "This build does not relay streams between nodes"),
            ])
        router.post("/api/cascade/{stream}", description) { request in
            let name = try request.streamName()
            try gate.check(request, .administrate(stream: name))
            throw HTTPError(.notImplemented, "this build does not relay streams between nodes")
        }
    }
}
