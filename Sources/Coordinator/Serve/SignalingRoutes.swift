import Auth
import Cluster
import Config
import HTTP
import Log
import Nodes
import Program
import Route

/// WHIP, WHEP and their sessions for the whole cluster. Keeps nothing about a session: its address says where it is.
struct SignalingRoutes: Sendable {
    let directory: NodeDirectory
    let desk: RouteDesk
    let gate: Gate
    let caller: NodeCaller
    let routing: RoutingSettings
    let limits: LimitSettings
    let extraICE: ExtraICE
    private static let log = Logger("route")

    private enum Kind: String, Sendable {
        case whip, whep

        func access(_ stream: String) -> Access { self == .whip ? .publish(stream: stream) : .subscribe(stream: stream) }
    }

    func add(to router: inout GuardedRouter) {
        for kind in [Kind.whip, .whep] { add(kind, to: &router) }
        let needs: GuardedRouter.Needs = { request in .session(stream: try request.streamName()) }
        let errors = [
            RouteResponse(404, "Unknown session or node"), RouteResponse(503, "The session's node can't be reached"),
        ]
        for method in [HTTPMethod.patch, .delete, .get] {
            router.on(
                method, "/session/{stream}/{session}",
                RouteDescription("Change or end a session (RFC 9725 section 4)", tag: "sessions", responses: errors),
                needs: needs
            ) { try await passOn($0, suffix: "") }
        }
        for method in [HTTPMethod.get, .post, .delete] {
            router.on(
                method, "/session/{stream}/{session}/layer",
                RouteDescription("Simulcast layers of a session", tag: "sessions", responses: errors), needs: needs
            ) { try await passOn($0, suffix: "/layer") }
        }
    }

    private func add(_ kind: Kind, to router: inout GuardedRouter) {
        let answers = [
            RouteResponse(201, "The SDP answer; Location is the session", contentType: "application/sdp"),
            RouteResponse(404, "No such stream"), RouteResponse(409, "Already published"),
            RouteResponse(503, "No node can take it now; see Retry-After"),
        ]
        let preferences: [RouteParameter] = [
            .query("node", "Only this node; may repeat"),
            .query("region", "Better a node of this region; for viewers under the nearest policy, as it may take a cascade"),
            .query("label", "Better a node with this label, name:value; may repeat"),
        ]
        let needs: GuardedRouter.Needs = { request in kind.access(try request.streamName()) }
        let word = kind == .whip ? "Publish" : "Play"
        router.on(
            .post, "/\(kind.rawValue)/{stream}",
            RouteDescription(
                "\(word) a stream on a node of the cluster", tag: "sessions", requestType: "application/sdp",
                parameters: preferences, responses: answers),
            needs: needs
        ) { try await start($0, kind) }
        router.on(
            .post, "/api/\(kind.rawValue)/{alias}/{stream}",
            RouteDescription(
                "\(word) a stream on a named node", tag: "sessions", requestType: "application/sdp", responses: answers),
            needs: needs
        ) { try await start($0, kind, on: $0.parameter("alias")) }
        addDescription(kind, needs, to: &router)
    }

    /// What the endpoint says of itself: several players look at OPTIONS before they offer, and there for PATCH too.
    private func addDescription(_ kind: Kind, _ needs: @escaping GuardedRouter.Needs, to router: inout GuardedRouter) {
        let pattern = "/\(kind.rawValue)/{stream}"
        router.on(.options, pattern, RouteDescription("What may be sent", tag: "sessions"), needs: { _ in nil }) { request in
            var headers: HTTPHeaders = [
                "Allow": "OPTIONS, HEAD, GET, POST", "Accept-Post": "application/sdp",
                "Access-Control-Allow-Methods": "OPTIONS, HEAD, GET, POST, PATCH, DELETE",
            ]
            // They hold credentials, so only who may come gets them.
            if let stream = try? request.streamName(), (try? gate.check(request, kind.access(stream))) != nil {
                for link in extraICE.links(stream: stream) { headers.add("Link", link) }
            }
            return HTTPResponse(.noContent, headers: headers)
        }
        router.on(
            .get, pattern, RouteDescription("Nothing; tells that the endpoint is there", tag: "sessions"), needs: needs
        ) { request in
            let headers: HTTPHeaders = ["Accept-Post": "application/sdp"]
            guard request.method == .head else { return HTTPResponse(.noContent, headers: headers) }
            return .bytes([], contentType: "application/sdp", headers: headers)
        }
    }

    // MARK: starting

    private func start(_ request: HTTPRequest, _ kind: Kind, on alias: String) async throws -> HTTPResponse {
        let stream = try request.streamName()
        let node = try await directory.node(called: alias)
        let path = "/\(kind.rawValue)/\(PercentCoding.encode(stream))"
        if kind == .whip { await makeWay(for: stream, on: node) }
        if redirects(to: node) { return redirect(request, kind, stream, to: node, path) }
        let answer = try await caller.forward(request, to: node, path: path)
        if answer.status.isSuccess {
            let pick = await desk.note(stream, on: node.alias, isPublisher: kind == .whip, nowNs: Monotonic.nowNs())
            await opened(answer, pick, stream, node)
        }
        return extraICE.adding(to: try SessionAddress.rewrite(answer, stream: stream, alias: node.alias), stream: stream)
    }

    private func start(_ request: HTTPRequest, _ kind: Kind) async throws -> HTTPResponse {
        let stream = try request.streamName()
        let path = "/\(kind.rawValue)/\(PercentCoding.encode(stream))"
        let preference = try RoutePreference(request, hasRegion: kind == .whip || routing.policy == .nearest)
        try await checkLimits(kind, stream)
        var body: [UInt8]?
        var tries = Tries()
        while tries.mayGoOn, let (node, pick) = try await pick(kind, stream, preference, tries) {
            if case .failed(let why) = await pick.arrival?.value {
                await desk.release(pick)
                tries.noteCascade(onto: node.alias, why)
                continue
            }
            if kind == .whip { await makeWay(for: stream, on: node) }
            if redirects(to: node) { return redirect(request, kind, stream, to: node, path) }
            let offer = if let body { body } else { try await request.body.bytes(limit: caller.bodyBytesMax) }
            body = offer
            switch await attempt(kind, caller.request(request, body: offer, node: node, path: path), node) {
            case .answered(let answer):
                if answer.status.isSuccess {
                    await opened(answer, pick, stream, node)
                } else {
                    await desk.release(pick)
                }
                return extraICE.adding(to: try SessionAddress.rewrite(answer, stream: stream, alias: node.alias), stream: stream)
            case .failed(let failure, let isThere, let mayTryAnother):
                await desk.release(pick)
                guard mayTryAnother else { throw failure }
                tries.note(node.alias, failure, isThere: isThere)
            }
        }
        throw tries.last ?? HTTPError(.serviceUnavailable, "no node is up", headers: ["Retry-After": "2"])
    }

    private func opened(_ answer: NodeAnswer, _ pick: RoutePick, _ stream: String, _ node: NodeView) async {
        let address = answer.headers["Location"].flatMap { SessionAddress(location: $0, stream: stream, alias: node.alias) }
        if let address { await desk.opened(address.session, pick) }
    }

    /// Only an edge-node knows grants.
    private func redirects(to node: NodeView) -> Bool { routing.mode == .redirect && node.software == nil }

    /// Sends the client to the node. Where we have a token for it, with a grant, so that it needs to know no credential of the client's.
    private func redirect(
        _ request: HTTPRequest, _ kind: Kind, _ stream: String, to node: NodeView, _ path: String
    ) -> HTTPResponse {
        let nowMs = Monotonic.wallMs() - (node.clockOffsetMs ?? 0)
        let grant = Grant(
            node: node.alias, startedAtMs: node.record.startedAtMs, stream: stream, action: kind == .whip ? .publish : .subscribe,
            fingerprint: request.context[NodeRequest.fingerprintKey] as? String ?? "",
            expires: nowMs / 1000 + Grant.lifetimeSeconds)
        let signed = node.token.flatMap { grant.signed(with: $0) }
        let query = "?\(RedirectMark.queryName)=1" + (signed.map { "&\(Grant.queryName)=\($0)" } ?? "")
        var response = HTTPResponse.redirect(to: node.record.url + path + query)
        response.headers["Cache-Control"] = "no-store"
        return response
    }

    /// What has been tried for a request. Twice each: a node may have died or filled up a moment ago, but a cluster that is down should
    /// say so soon.
    private struct Tries {
        private(set) var silent: Set<String> = []
        private(set) var busy: Set<String> = []
        private(set) var last: HTTPError?
        private var refusals = 0
        private var cascades = 0

        var mayGoOn: Bool { refusals < 2 && cascades < 2 }

        mutating func note(_ alias: String, _ failure: HTTPError, isThere: Bool) {
            if isThere { busy.insert(alias) } else { silent.insert(alias) }
            refusals += 1
            last = failure
        }

        mutating func noteCascade(onto alias: String, _ why: String) {
            busy.insert(alias)
            cascades += 1
            last = HTTPError(
                .serviceUnavailable, "the stream can't be brought to a node now: \(why)", headers: ["Retry-After": "2"])
        }
    }

    /// A publisher that comes to a node with a copy that nothing comes to any more finds the place free. The viewers stay.
    private func makeWay(for stream: String, on node: NodeView) async {
        guard let record = node.stream(stream), record.presence == .copy,
            let copy = record.publish.sessions.first(where: \.isOpen),
            !RoutePolicy.isSound(node, stream, in: await directory.view())
        else { return }
        let address = SessionAddress(stream: stream, alias: node.alias, session: copy.id)
        var request = HTTPClientRequest(
            .delete, node.record.url + address.nodePath, headers: NodeRequest.headers(token: node.token))
        request.connectMs = NodeRequest.connectMs
        request.totalMs = NodeCaller.totalMs
        // What goes wrong here, the publisher hears from the node.
        _ = try? await caller.send(request, to: node)
    }

    /// `[limits]` over the whole cluster, as far as nodes have told of their sessions.
    private func checkLimits(_ kind: Kind, _ stream: String) async throws(HTTPError) {
        guard limits.maxSessions > 0 || limits.maxSubsPerStream > 0 else { return }
        let reachable = await directory.view().reachable
        let sessions = reachable.reduce(0) { $0 + $1.publisherCount + $1.viewerCount }
        if limits.maxSessions > 0, sessions >= limits.maxSessions {
            throw HTTPError(.serviceUnavailable, "the cluster takes no more sessions", headers: ["Retry-After": "5"])
        }
        let viewers = reachable.reduce(0) { $0 + ($1.stream(stream)?.viewerCount ?? 0) }
        if kind == .whep, limits.maxSubsPerStream > 0, viewers >= limits.maxSubsPerStream {
            throw HTTPError(.forbidden, "the stream takes no more viewers")
        }
    }

    private enum Attempt {
        case answered(NodeAnswer)
        /// - isThere: it answered, and may be where another node takes the stream from.
        case failed(HTTPError, isThere: Bool, mayTryAnother: Bool)
    }

    private func attempt(_ kind: Kind, _ outgoing: HTTPClientRequest, _ node: NodeView) async -> Attempt {
        let began = Monotonic.nowNs()
        do throws(HTTPClientError) {
            let answer = try await caller.send(outgoing, to: node)
            switch (answer.status, kind) {
            case (.serviceUnavailable, _):
                let retryAfter = answer.headers["Retry-After"] ?? "5"
                let failure = HTTPError(
                    .serviceUnavailable, "\(node.alias) takes no more", headers: ["Retry-After": retryAfter])
                return .failed(failure, isThere: true, mayTryAnother: true)
            // Our own token may do everything, so what is forbidden is one viewer more of this stream.
            case (.forbidden, .whep) where !(node.token ?? "").isEmpty:
                return .failed(HTTPError(.forbidden, "the stream takes no more viewers"), isThere: true, mayTryAnother: true)
            // The stream has just gone from there.
            case (.notFound, .whep):
                return .failed(HTTPError(.notFound, "no such stream"), isThere: false, mayTryAnother: true)
            default: return .answered(answer)
            }
        } catch {
            Self.log.warning("node did not answer", ["node": node.alias, "reason": error.description])
            return .failed(
                NodeRequest.failure(error, of: node), isThere: false,
                mayTryAnother: Self.neverArrived(error, afterNs: Monotonic.nowNs() &- began))
        }
    }

    /// Whether the node can't have acted on the request, so that sending it to another makes no second session.
    private static func neverArrived(_ error: HTTPClientError, afterNs: UInt64) -> Bool {
        switch error {
        case .cannotConnect, .tls: true
        case .timedOut: afterNs < UInt64(NodeRequest.connectMs + 500) * 1_000_000
        default: false
        }
    }

    private func pick(
        _ kind: Kind, _ stream: String, _ preference: RoutePreference, _ tries: Tries
    ) async throws(HTTPError) -> (node: NodeView, pick: RoutePick)? {
        let view = await directory.view()
        let nowNs = Monotonic.nowNs()
        let pick: RoutePick
        switch kind {
        case .whip:
            pick = await desk.publish(
                stream, in: view, preference: preference, excluding: tries.silent.union(tries.busy), nowNs: nowNs)
        case .whep:
            pick = await desk.watch(
                stream, in: view, preference: preference, excluding: tries.silent, busy: tries.busy, nowNs: nowNs)
        }
        switch pick.decision {
        case .node(let alias), .cascade(let alias, _): return view.node(alias).map { ($0, pick) }
        case .noSuchStream: throw tries.last ?? HTTPError(.notFound, "no such stream")
        case .full:
            throw tries.last
                ?? HTTPError(.serviceUnavailable, "all nodes that could take it are full", headers: ["Retry-After": "5"])
        case .noNode: return nil
        }
    }

    // MARK: running sessions

    private func passOn(_ request: HTTPRequest, suffix: String) async throws -> HTTPResponse {
        guard let address = SessionAddress(stream: try request.streamName(), id: request.parameter("session")),
            let node = await directory.node(address.alias)
        else { throw HTTPError(.notFound, "no such session") }
        let answer = try await caller.forward(request, to: node, path: address.nodePath + suffix)
        if request.method == .delete, suffix.isEmpty, answer.status.isSuccess {
            await desk.ended(address.session, on: address.alias)
        }
        return answer.response
    }
}

extension RoutePreference {
    /// What the query asks for; throws 400 for a label that is no `name:value`.
    /// - Parameter hasRegion: whether the region counts.
    init(_ request: HTTPRequest, hasRegion: Bool) throws(HTTPError) {
        var labels: [String: String] = [:]
        for label in request.query.all("label") {
            let parts = label.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty else { throw HTTPError(.badRequest, "label must be name:value") }
            labels[String(parts[0])] = String(parts[1])
        }
        self.init(
            nodes: request.set("node", "nodes"),
            region: hasRegion ? request.query.first("region").flatMap { $0.isEmpty ? nil : $0 } : nil,
            labels: labels)
    }
}

extension NodeDirectory {
    /// The node of an alias; throws 404 when there is none.
    func node(called alias: String) throws(HTTPError) -> NodeView {
        guard let node = node(alias) else { throw HTTPError(.notFound, "no node is called \(alias)") }
        return node
    }
}
