import Auth
import Cluster
import Config
import HTTP
import Nodes
import Program
import Route

/// Nodes and streams: lists, changes as events, and what may be done to them.
struct ClusterRoutes: Sendable {
    let directory: NodeDirectory
    let desk: RouteDesk
    let caller: NodeCaller

    func add(to router: inout GuardedRouter) {
        addNodes(to: &router)
        addStreams(to: &router)
        addEvents(to: &router)
    }

    // MARK: nodes

    private func addNodes(to router: inout GuardedRouter) {
        router.on(
            .get, "/api/nodes", RouteDescription("All nodes with their state and load", tag: "cluster"), needs: { _ in .browse }
        ) { _ in
            try .json(await directory.view().nodes.map(NodeListing.init))
        }
        addMembership(to: &router)
        for (verb, isDraining) in [("drain", true), ("undrain", false)] {
            router.on(
                .post, "/api/nodes/{alias}/\(verb)",
                RouteDescription(
                    isDraining ? "Give a node no new sessions and move those it has" : "Put a drained node back in service",
                    tag: "cluster",
                    responses: [
                        RouteResponse(200, "The node", contentType: "application/json"), RouteResponse(404, "No such node"),
                    ]),
                needs: { _ in .cluster }
            ) { request in
                guard let node = await directory.setDraining(request.parameter("alias"), isDraining) else {
                    throw HTTPError(.notFound, "no node is called \(request.parameter("alias"))")
                }
                // A node that is drained hears of it from `DrainKeeper`, which goes on until it does.
                if !isDraining { try await takeBack(node) }
                return try .json(NodeListing(node))
            }
        }
    }

    /// A node that can't empty itself (404) has nothing to take back.
    private func takeBack(_ node: NodeView) async throws(HTTPError) {
        guard node.status != .lost else { return }
        do throws(HTTPClientError) {
            let status = try await caller.setDraining(node, false)
            guard status.isSuccess || status == .notFound || status == .methodNotAllowed else {
                throw HTTPClientError.status(status)
            }
        } catch {
            throw NodeRequest.failure(error, of: node)
        }
    }

    private struct NewNode: Decodable {
        let alias: String
        let url: String
        let token: String?
    }

    private func addMembership(to router: inout GuardedRouter) {
        let configured = RouteResponse(409, "It is in the configuration file")
        router.on(
            .post, "/api/nodes",
            RouteDescription(
                "Follow another node, or a known one at another address: {alias, url, token?}", tag: "cluster",
                requestType: "application/json",
                responses: [
                    RouteResponse(201, "The node", contentType: "application/json"), RouteResponse(200, "It was known"),
                    RouteResponse(400, "No valid alias or URL"), configured,
                ]),
            needs: { _ in .cluster }
        ) { request in
            let body = try await request.body.bytes()
            let wanted: NewNode
            do throws(ClusterJSONError) {
                wanted = try ClusterJSON.decode(NewNode.self, from: body)
            } catch {
                throw HTTPError(.badRequest, "expected {\"alias\": …, \"url\": …, \"token\": …}: \(error)")
            }
            guard NodeAlias.isValid(wanted.alias) else {
                throw HTTPError(.badRequest, "alias: 1 to 64 of A-Z a-z 0-9 _ . - and no dot first")
            }
            if let problem = BaseURL.problem(of: wanted.url) { throw HTTPError(.badRequest, "url: \(problem)") }
            let made: (node: NodeView?, isNew: Bool)
            do throws(NodeIsConfigured) {
                made = try await directory.add(ConfiguredNode(alias: wanted.alias, url: wanted.url, token: wanted.token))
            } catch {
                throw HTTPError(.conflict, "\(error.alias) is in the configuration file: change it there")
            }
            guard let node = made.node else { throw HTTPError(.conflict, "\(wanted.alias) was removed again") }
            return try .json(NodeListing(node), status: made.isNew ? .created : .ok)
        }
        router.on(
            .delete, "/api/nodes/{alias}",
            RouteDescription(
                "Follow a node no longer that was added", tag: "cluster",
                responses: [RouteResponse(204, "It is gone"), RouteResponse(404, "None of that alias was added"), configured]),
            needs: { _ in .cluster }
        ) { request in
            let alias = request.parameter("alias")
            let wasAdded: Bool
            do throws(NodeIsConfigured) {
                wasAdded = try await directory.remove(alias)
            } catch {
                throw HTTPError(.conflict, "\(error.alias) is in the configuration file: take it out there")
            }
            guard wasAdded else { throw HTTPError(.notFound, "no node called \(alias) was added") }
            return HTTPResponse(.noContent)
        }
    }

    // MARK: streams

    private func addStreams(to router: inout GuardedRouter) {
        router.on(
            .get, "/api/streams",
            RouteDescription(
                "All streams, merged over nodes", tag: "streams",
                parameters: [.query("streams", "Only this stream; may repeat"), .query("nodes", "Only of this node; may repeat")]),
            needs: { _ in .browse }
        ) { request in
            try .json(Self.streams(await directory.view(), request))
        }
        router.on(
            .get, "/api/streams/{stream}",
            RouteDescription(
                "One stream as each node has it, by alias", tag: "streams",
                responses: [RouteResponse(200, "By alias"), RouteResponse(404, "No such stream")]),
            needs: { .observe(stream: try $0.streamName()) }
        ) { request in
            let name = try request.streamName()
            let holders = await directory.view().nodes.compactMap { node in node.stream(name).map { (node.alias, $0) } }
            guard !holders.isEmpty else { throw HTTPError(.notFound, "no such stream") }
            return try .json(Dictionary(uniqueKeysWithValues: holders))
        }
        let needs: GuardedRouter.Needs = { .administrate(stream: try $0.streamName()) }
        router.on(
            .post, "/api/streams/{stream}",
            RouteDescription(
                "Create a stream on a node", tag: "streams", parameters: [.query("node", "On this node")],
                responses: [RouteResponse(204, "Created"), RouteResponse(409, "There is one of that name")]),
            needs: needs, create)
        router.on(
            .delete, "/api/streams/{stream}",
            RouteDescription(
                "End a stream on every node", tag: "streams",
                responses: [RouteResponse(204, "Ended"), RouteResponse(404, "No such stream")]),
            needs: needs, remove)
    }

    private static func streams(_ view: ClusterView, _ request: HTTPRequest) -> [MergedStream] {
        let names = request.set("streams")
        return view.mergedStreams(of: request.set("node", "nodes")).filter { names.isEmpty || names.contains($0.record.id) }
    }

    private func create(_ request: HTTPRequest) async throws -> HTTPResponse {
        let name = try request.streamName()
        let view = await directory.view()
        guard view.holders(of: name).isEmpty else { throw HTTPError(.conflict, "there is a stream of that name") }
        let pick = await desk.publish(
            name, in: view, preference: RoutePreference(nodes: request.set("node", "nodes")), nowNs: Monotonic.nowNs())
        guard case .node(let alias) = pick.decision, let node = view.node(alias) else {
            throw HTTPError(.serviceUnavailable, "no node can take it now", headers: ["Retry-After": "2"])
        }
        return try await caller.forward(request, to: node, path: "/api/streams/\(PercentCoding.encode(name))").response
    }

    private func remove(_ request: HTTPRequest) async throws -> HTTPResponse {
        let name = try request.streamName()
        let holders = await directory.view().holders(of: name)
        guard !holders.isEmpty else { throw HTTPError(.notFound, "no such stream") }
        var refused: NodeAnswer?
        for node in holders {
            let answer = try await caller.forward(request, to: node, path: "/api/streams/\(PercentCoding.encode(name))")
            // Gone from one node meanwhile is what was wanted.
            if !answer.status.isSuccess, answer.status != .notFound { refused = answer }
        }
        return refused?.response ?? HTTPResponse(.noContent)
    }

    // MARK: events

    private func addEvents(to router: inout GuardedRouter) {
        router.on(
            .get, "/api/sse/streams",
            RouteDescription(
                "All streams, whole at first and after each change", tag: "streams",
                responses: [RouteResponse(200, "Events", contentType: "text/event-stream")]),
            isMedia: true, needs: { _ in .browse }
        ) { request in
            .serverSentEvents { sink in
                try await Self.eachChange(of: directory, { Self.streams($0, request) }) { json in
                    try await sink.send(data: json)
                }
            }
        }
        router.on(
            .get, "/api/sse/cluster",
            RouteDescription(
                "Events `nodes` and `streams`, whole at first and after each change", tag: "cluster",
                responses: [RouteResponse(200, "Events", contentType: "text/event-stream")]),
            isMedia: true, needs: { _ in .browse }
        ) { _ in
            .serverSentEvents { sink in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        try await Self.eachChange(of: directory, { $0.nodes.map(NodeListing.init) }) {
                            try await sink.send(event: "nodes", data: $0)
                        }
                    }
                    group.addTask {
                        try await Self.eachChange(of: directory, { $0.mergedStreams() }) {
                            try await sink.send(event: "streams", data: $0)
                        }
                    }
                    try await group.next()
                    group.cancelAll()
                }
            }
        }
    }

    /// Sends what `make` says of the cluster, now and whenever that has become something else.
    private static func eachChange<Value: Encodable>(
        of directory: NodeDirectory, _ make: (ClusterView) -> Value, send: (String) async throws -> Void
    ) async throws {
        var last: [UInt8] = []
        for await view in await directory.changes() {
            let json = try ClusterJSON.encode(make(view))
            guard json != last else { continue }
            last = json
            try await send(String(decoding: json, as: UTF8.self))
        }
    }
}

/// A node as `/api/nodes` shows it: its own record with the coordinator's word on its state, live777's names beside ours.
struct NodeListing: Encodable {
    private let node: NodeView

    init(_ node: NodeView) { self.node = node }

    private enum CodingKeys: String, CodingKey {
        case alias, url, region, labels, status, drained, load, recordings, streams, software, version
        case pubMax = "pub_max"
        case subMax = "sub_max"
        case startedAtMs = "started_at_ms"
        case updatedAtMs = "updated_at_ms"
        case clockOffsetMs = "clock_offset_ms"
        case ageMs = "age_ms"
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        let record = node.record
        try container.encode(record.alias, forKey: .alias)
        try container.encode(record.url, forKey: .url)
        try container.encode(record.region, forKey: .region)
        try container.encode(record.labels, forKey: .labels)
        try container.encode(node.status, forKey: .status)
        try container.encode(node.status == .draining && record.drained, forKey: .drained)
        // What a node did before it was lost is no load.
        try container.encode(node.status == .lost ? NodeLoad() : record.load, forKey: .load)
        try container.encode(record.pubMax, forKey: .pubMax)
        try container.encode(record.subMax, forKey: .subMax)
        try container.encode(record.recordings, forKey: .recordings)
        try container.encode(node.streams.count, forKey: .streams)
        try container.encode(record.startedAtMs, forKey: .startedAtMs)
        try container.encode(record.updatedAtMs, forKey: .updatedAtMs)
        try container.encodeIfPresent(node.clockOffsetMs, forKey: .clockOffsetMs)
        try container.encodeIfPresent(node.software, forKey: .software)
        try container.encodeIfPresent(node.ageMs(nowNs: Monotonic.nowNs()), forKey: .ageMs)
        try container.encode(record.version, forKey: .version)
    }
}
