import Auth
import Cascade
import Cluster
import HTTP
import Program
import Streams

/// WHIP and WHEP endpoints and their session resources (RFC 9725, draft-ietf-wish-whep).
struct WHIPRoutes {
    let registry: StreamRegistry
    let gate: Gate
    let node: NodeReporter
    let iceServers: ICEServers

    func add(to router: inout Router) {
        addEndpoint(.whip, "Publish a stream", to: &router) { stream, offer, client, relay in
            try await answering { () throws(StreamError) in
                try await registry.publish(
                    stream: stream, offer: offer, from: client, path: relay?.path, idleSeconds: relay?.idleSeconds)
            }
        }
        addEndpoint(.whep, "Watch a stream", to: &router) { stream, offer, client, relay in
            try await answering { () throws(StreamError) in
                try await registry.subscribe(stream: stream, offer: offer, from: client, path: relay?.path)
            }
        }
        addSession(to: &router)
        LayerRoutes(registry: registry, session: { try await self.session($0) }).add(to: &router)
    }

    private typealias Open =
        @Sendable (_ stream: String, _ offer: [UInt8], _ client: SessionClient, _ relay: RelayRequest?) async throws ->
        SessionAnswer

    /// What another node says of itself.
    private struct RelayRequest {
        /// The nodes that the stream has been through, or that ask for it.
        let path: [String]
        /// How long a copy stays without use that a coordinator had pushed.
        let idleSeconds: Int?
    }

    private enum Endpoint: String {
        case whip, whep

        var pattern: String { "/\(rawValue)/{stream}" }
        var tag: String { rawValue.uppercased() }
        var role: StreamRegistry.Role { self == .whip ? .publisher : .viewer }

        func right(_ stream: String) -> Access { self == .whip ? .publish(stream: stream) : .subscribe(stream: stream) }
    }

    private func addEndpoint(_ endpoint: Endpoint, _ what: String, to router: inout Router, open: @escaping Open) {
        let (pattern, tag) = (endpoint.pattern, endpoint.tag)
        let description = RouteDescription(
            what, tag: tag, requestType: SessionHeaders.sdp,
            responses: [
                RouteResponse(.created, "The SDP answer; Location is the session", contentType: SessionHeaders.sdp),
                RouteResponse(.badRequest, "Not SDP"), RouteResponse(.unauthorized, "No valid token"),
                RouteResponse(.conflict, "Someone publishes the stream"),
                RouteResponse(.contentTooLarge, "The offer is too long"),
                RouteResponse(.unsupportedMediaType, "Not application/sdp"),
                RouteResponse(.unprocessableContent, "Nothing usable offered"),
                RouteResponse(.tooManyRequests, "The address or the credential has as many sessions as one may; see Retry-After"),
                RouteResponse(508, "The stream would come back to a node that it has been through"),
                RouteResponse(.serviceUnavailable, "The node takes no more sessions; see Retry-After"),
            ])
        router.post(pattern, description) { request in
            // Who asks is looked at before anything is read, so that strangers cost nothing.
            let stream = try request.streamName()
            let client = client(request, try await admit(request, endpoint.right(stream)))
            guard request.headers.mediaType == SessionHeaders.sdp else {
                throw HTTPError(
                    .unsupportedMediaType, "the body has to be application/sdp", headers: ["Accept-Post": SessionHeaders.sdp])
            }
            let relay = try relay(request, stream)
            try await answering { () throws(StreamError) in
                try await registry.checkEntry(stream, as: endpoint.role, from: client, isRelay: relay != nil)
            }
            let answer = try await open(stream, try await request.body.bytes(), client, relay)
            let wasSent = [RedirectMark.queryName, Grant.queryName].contains { request.query.first($0) != nil }
            var response = SessionHeaders.created(
                answer, stream: stream, links: iceServers.links(stream: stream), base: wasSent ? await node.url : "")
            // Another node learns where the stream has been.
            if relay != nil { response.headers[CascadePath.header] = CascadePath.text(await registry.path(of: stream)) }
            return response
        }
        router.options(pattern, RouteDescription("What the endpoint can do", tag: tag)) { request in
            var headers: HTTPHeaders = [
                "Allow": "OPTIONS, HEAD, GET, POST", "Accept-Post": SessionHeaders.sdp,
                "Access-Control-Allow-Methods": SessionHeaders.methods,
            ]
            // Some players fetch the ICE servers before they offer. They hold credentials, so only who may come gets them.
            if let stream = try? request.streamName(), (try? gate.check(request, endpoint.right(stream))) != nil {
                for link in iceServers.links(stream: stream) { headers.add("Link", link) }
            }
            return HTTPResponse(.noContent, headers: headers)
        }
        router.get(pattern, RouteDescription("Nothing; tells that the endpoint is there", tag: tag)) { request in
            let stream = try request.streamName()
            try gate.check(request, endpoint.right(stream))
            let headers: HTTPHeaders = ["Accept-Post": SessionHeaders.sdp]
            guard request.method == .head else { return HTTPResponse(.noContent, headers: headers) }
            return .bytes([], contentType: SessionHeaders.sdp, headers: headers)
        }
    }

    /// Whom a session counts for. Who may do everything, as a coordinator, is believed whose request it passes on.
    private func client(_ request: HTTPRequest, _ principal: Principal) -> SessionClient {
        var (address, network) = (request.remoteAddress, request.countedNetwork)
        // What is no single address tells nothing that is better known than who passes it on.
        if !gate.authorizer.isOpen, principal.allows(.cluster), let told = request.headers["X-Forwarded-For"],
            let name = ClientNetwork.name(of: told)
        {
            (address, network) = (told, ClientNetwork.isLoopback(told) ? nil : name)
        }
        return SessionClient(credential: principal.fingerprint, network: network, address: address)
    }

    /// Who opens a session: who a coordinator sends with a grant, or who shows a credential of ours.
    private func admit(_ request: HTTPRequest, _ access: Access) async throws -> Principal {
        guard !gate.authorizer.isOpen, let grant = request.query.first(Grant.queryName) else {
            return try gate.check(request, access)
        }
        let now = StreamTime.system().wallMs / 1000
        do throws(AuthFailure) {
            return try gate.authorizer.redeem(
                grant, for: access, node: node.alias, startedAtMs: node.startedAtMs, now: now)
        } catch {
            throw HTTPError(error)
        }
    }

    /// What another node says; nil when a client asks. Such a session needs no room and no lock on the stream, so that only who may
    /// relay the stream may open it.
    private func relay(_ request: HTTPRequest, _ stream: String) throws(HTTPError) -> RelayRequest? {
        let idle = request.headers[CascadePath.idleHeader]
        guard let value = request.headers[CascadePath.header] else {
            guard idle == nil else { throw HTTPError(.badRequest, "\(CascadePath.idleHeader) without \(CascadePath.header)") }
            return nil
        }
        do throws(HTTPError) {
            try gate.check(request, .administrate(stream: stream))
        } catch {
            throw HTTPError(.forbidden, "\(CascadePath.header) is for nodes: it takes the right to administrate the stream")
        }
        guard let path = CascadePath.parse(value, isAlias: NodeAlias.isValid) else {
            throw HTTPError(.badRequest, "\(CascadePath.header) is not a list of node aliases")
        }
        let seconds = idle.map { Int($0) ?? 0 }
        guard (1...86_400).contains(seconds ?? 1) else {
            throw HTTPError(.badRequest, "\(CascadePath.idleHeader) is not a number of seconds up to 86400")
        }
        return RelayRequest(path: path, idleSeconds: seconds)
    }

    // MARK: Session

    private func addSession(to router: inout Router) {
        let pattern = "/session/{stream}/{session}"
        router.patch(pattern, Self.patchDescription) { request in
            let (stream, session) = try await self.session(request)
            guard request.headers.mediaType == SessionHeaders.fragment else {
                throw HTTPError(
                    .unsupportedMediaType, "the body has to be \(SessionHeaders.fragment)",
                    headers: ["Accept-Patch": SessionHeaders.fragment])
            }
            let body = try await request.body.bytes()
            let patch = try await answering { () throws(StreamError) in
                try await registry.patch(
                    stream: stream, session: session, fragment: body, ifMatch: request.headers["If-Match"])
            }
            switch patch {
            // MediaMTX's reader takes anything but a bare 204 for a failure.
            case .trickled: return HTTPResponse(.noContent)
            case .restarted(let fragment, let etag):
                return .text(fragment, contentType: SessionHeaders.fragment, headers: ["ETag": etag])
            }
        }
        router.delete(pattern, RouteDescription("End the session", tag: "session")) { request in
            let (stream, session) = try await self.session(request)
            try await answering { () throws(StreamError) in try await registry.end(stream: stream, session: session) }
            return HTTPResponse(.ok)
        }
        router.options(pattern, RouteDescription("What the session can do", tag: "session")) { _ in
            HTTPResponse(
                .noContent,
                headers: [
                    "Allow": "OPTIONS, HEAD, GET, PATCH, DELETE", "Accept-Patch": SessionHeaders.fragment,
                    "Access-Control-Allow-Methods": SessionHeaders.methods,
                ])
        }
        router.get(pattern, RouteDescription("Nothing; tells that the session is there", tag: "session")) { request in
            _ = try await self.session(request)
            return HTTPResponse(.noContent)
        }
    }

    private static let patchDescription = RouteDescription(
        "Trickle candidates or restart ICE", tag: "session", requestType: SessionHeaders.fragment,
        parameters: [.header("If-Match", "The session's ETag, or * for a restart")],
        responses: [
            RouteResponse(.noContent, "Candidates taken"),
            RouteResponse(.ok, "ICE restarted; ETag is new", contentType: SessionHeaders.fragment),
            RouteResponse(.notFound, "No such session"), RouteResponse(.preconditionFailed, "Another ETag"),
            RouteResponse(.preconditionRequired, "No If-Match"),
        ])

    // MARK: Checks

    /// Finds the session and checks who asks.
    private func session(_ request: HTTPRequest) async throws -> (stream: String, session: String) {
        let stream = try request.streamName()
        let id = request.parameter("session")
        guard let owner = await registry.owner(stream: stream, session: id) else { throw HTTPError(StreamError.sessionNotFound) }
        try gate.check(request, session: owner, stream: stream)
        return (stream, id)
    }
}

extension Gate {
    /// Lets someone use a session. Its URL alone is enough, since several players send no token here (RFC 9725 section 5); a token
    /// that is sent has to be the one that opened the session, or one that may administrate the stream.
    func check(_ request: HTTPRequest, session owner: SessionOwner, stream: String) throws(HTTPError) {
        // Whoever came with a grant may be unknown here, but not what the coordinator was shown.
        if let credential = owner.credential, authorizer.isShown(credential, by: Credentials(request)) { return }
        let principal = try check(request, .session(stream: stream))
        let isOther = !principal.fingerprint.isEmpty && principal.fingerprint != owner.credential
        if isOther, owner.credential != nil, !principal.allows(.administrate(stream: stream)) {
            throw HTTPError(AuthFailure.forbidden)
        }
    }
}
