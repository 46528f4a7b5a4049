import Cluster
import HTTP
import MediaPlane
import Streams

/// `/session/{stream}/{session}/layer`: a viewer's choice among the publisher's layers (live777's shapes).
///
/// No `Link` header names it: players that look for ICE servers there break on any other relation.
struct LayerRoutes {
    let registry: StreamRegistry
    /// Finds the session and checks who asks.
    let session: @Sendable (HTTPRequest) async throws -> (stream: String, session: String)

    /// One entry of the list. `encodingId` is live777's name for the rid.
    private struct Layer: Encodable {
        let encodingId: String
        /// Media of it comes now.
        let active: Bool
        /// It is what the viewer is sent now.
        let current: Bool
        /// The viewer has asked for it.
        let chosen: Bool
        let bitrate: Int64
        let width: Int
        let height: Int
    }

    private struct Choice: Decodable {
        let encodingId: String?
    }

    func add(to router: inout Router) {
        let pattern = "/session/{stream}/{session}/layer"
        router.get(pattern, Self.description("The layers, the lowest first")) { request in
            let (stream, session) = try await self.session(request)
            let layers = try await answering { () throws(StreamError) in
                try await registry.layers(stream: stream, session: session)
            }
            return try StreamRoutes.json(Self.list(layers))
        }
        router.post(
            pattern,
            Self.description(
                "Choose a layer; without encodingId, or with null: as the connection allows", takes: "application/json")
        ) { request in
            let (stream, session) = try await self.session(request)
            try await choose(try Self.read(try await request.body.bytes()), stream, session)
            return HTTPResponse(.ok)
        }
        router.delete(pattern, Self.description("No video, until a layer is chosen")) { request in
            let (stream, session) = try await self.session(request)
            try await choose(.off, stream, session)
            return HTTPResponse(.ok)
        }
    }

    private static func description(_ what: String, takes type: String? = nil) -> RouteDescription {
        RouteDescription(
            what, tag: "session", requestType: type,
            responses: [
                RouteResponse(.ok, "Done"), RouteResponse(.notFound, "No such session or layer"),
                RouteResponse(.conflict, "The stream has no layers"),
            ])
    }

    private func choose(_ choice: LayerChoice, _ stream: String, _ session: String) async throws {
        try await answering { () throws(StreamError) in
            try await registry.choose(choice, stream: stream, session: session)
        }
    }

    private static func list(_ known: ViewerLayers) -> [Layer] {
        known.layers.map { layer in
            Layer(
                encodingId: layer.rid, active: layer.isActive, current: layer.rid == known.current,
                chosen: known.choice == .pinned(rid: layer.rid), bitrate: Int64(clamping: layer.bitrate), width: Int(layer.width),
                height: Int(layer.height))
        }
    }

    private static func read(_ body: [UInt8]) throws(HTTPError) -> LayerChoice {
        guard !body.isEmpty else { return .automatic }
        do throws(ClusterJSONError) {
            let choice = try ClusterJSON.decode(Choice.self, from: body)
            return choice.encodingId.map { .pinned(rid: $0) } ?? .automatic
        } catch {
            throw HTTPError(.badRequest, "the body is not {\"encodingId\": a layer or null}: \(error)")
        }
    }
}
