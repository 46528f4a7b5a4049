import Auth
import Cascade
import Cluster
import HTTP
import Program
import Streams

/// `/api/cascade/{stream}`: fetching a stream from another node or giving it to one (live777's shapes).
///
/// The other node's session belongs to the session here, so that `DELETE` on that, or on the stream, ends both, as with live777.
struct CascadeRoutes {
    let desk: CascadeDesk
    let gate: Gate

    func add(to router: inout Router) {
        addStart(to: &router)
        router.get("/api/cascade/{stream}", RouteDescription("Cascades of a stream", tag: "streams")) { request in
            let name = try request.streamName()
            try gate.check(request, .administrate(stream: name))
            return try StreamRoutes.json(await desk.list(stream: name))
        }
        let which = RouteParameter.query("url", "The source or target URL of the one to end; all without it")
        let end = RouteDescription(
            "End a stream's cascades", tag: "streams", parameters: [which],
            responses: [RouteResponse(.noContent, "Ended"), RouteResponse(.notFound, "There is none")])
        router.delete("/api/cascade/{stream}", end) { request in
            let name = try request.streamName()
            try gate.check(request, .administrate(stream: name))
            var url: String?
            if let text = request.query.first("url") {
                guard let address = CascadeAddress(text, token: nil) else { throw Self.badURL("url") }
                url = address.url
            }
            guard await desk.end(stream: name, url: url) > 0 else { throw HTTPError(.notFound, "no such cascade") }
            return HTTPResponse(.noContent)
        }
    }

    private struct StartRequest: Decodable {
        let token: String?
        let sourceUrl: String?
        let targetUrl: String?
        let idleSeconds: Int?
        let replace: Bool?
    }

    private func addStart(to router: inout Router) {
        let description = RouteDescription(
            "Relay a stream from or to another node", tag: "streams", requestType: "application/json",
            responses: [
                RouteResponse(.ok, "The other node has answered", contentType: "application/json"),
                RouteResponse(.badRequest, "Not a stream name, or a bad field"), RouteResponse(.notFound, "No such stream"),
                RouteResponse(.conflict, "The stream has a publisher, or nothing to push"),
                RouteResponse(.badGateway, "The other node refused or does not answer"),
                RouteResponse(508, "The stream would come back to a node that it has been through"),
            ])
        router.post("/api/cascade/{stream}", description) { request in
            let name = try request.streamName()
            try gate.check(request, .administrate(stream: name))
            let body = try Self.read(try await request.body.bytes())
            do throws(CascadeError) {
                return try await start(name, body)
            } catch {
                throw HTTPError(error)
            }
        }
    }

    private func start(_ name: String, _ order: Order) async throws(CascadeError) -> HTTPResponse {
        let status =
            switch order {
            case .pull(let source, let idleSeconds, let isReplacing):
                try await desk.pull(stream: name, from: source, idleSeconds: idleSeconds, isReplacing: isReplacing)
            case .push(let target, let idleSeconds):
                try await desk.push(stream: name, to: target, idleSeconds: idleSeconds)
            }
        do {
            return try StreamRoutes.json(status)
        } catch {
            throw .local(.failed("\(error)"))
        }
    }

    // MARK: The body

    private enum Order {
        case pull(CascadeAddress, idleSeconds: Int?, isReplacing: Bool)
        case push(CascadeAddress, idleSeconds: Int)
    }

    private static func read(_ body: [UInt8]) throws(HTTPError) -> Order {
        let request: StartRequest
        do throws(ClusterJSONError) {
            request = try ClusterJSON.decode(StartRequest.self, from: body)
        } catch {
            throw HTTPError(.badRequest, "the body is not the JSON expected: \(error)")
        }
        if let seconds = request.idleSeconds, !(0...86_400).contains(seconds) {
            throw HTTPError(.badRequest, "idleSeconds: must be 0 to 86400")
        }
        switch (request.sourceUrl, request.targetUrl) {
        case (let source?, nil):
            return .pull(
                try address(source, request.token, "sourceUrl"), idleSeconds: request.idleSeconds,
                isReplacing: request.replace ?? false)
        case (nil, let target?):
            return .push(try address(target, request.token, "targetUrl"), idleSeconds: request.idleSeconds ?? 0)
        case (nil, nil): throw HTTPError(.badRequest, "sourceUrl or targetUrl is missing")
        case (.some, .some): throw HTTPError(.badRequest, "sourceUrl and targetUrl: only one may be there")
        }
    }

    private static func address(_ text: String, _ token: String?, _ field: String) throws(HTTPError) -> CascadeAddress {
        guard CascadeAddress(text, token: nil) != nil else { throw badURL(field) }
        guard let address = CascadeAddress(text, token: token) else {
            throw HTTPError(.badRequest, "token: what cannot stand in a header")
        }
        return address
    }

    private static func badURL(_ field: String) -> HTTPError {
        HTTPError(.badRequest, "\(field): must be an absolute http, https, whep or whip URL without a user in it")
    }
}

extension HTTPError {
    /// The HTTP form of a failed cascade.
    init(_ error: CascadeError) {
        if case .local(let error) = error {
            self.init(error)
        } else {
            self.init(HTTPStatus(rawValue: error.status), error.description)
        }
    }
}
