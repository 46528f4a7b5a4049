import Cluster
import HTTP
import Log
import Nodes

/// A node's answer, read whole: SDP and JSON are small.
struct NodeAnswer: Sendable {
    let status: HTTPStatus
    let headers: HTTPHeaders
    let body: [UInt8]

    /// The same as our own answer, without what belongs to the connection it came over or is ours to say.
    var response: HTTPResponse {
        var kept = HTTPHeaders()
        for field in headers where !Self.ownHeaders.contains(field.name.lowercased()) { kept.add(field.name, field.value) }
        // A live777 node says what is wrong in plain words, or says nothing.
        if status.rawValue >= 400, headers["Content-Type"]?.hasPrefix("application/json") != true {
            let words = String(decoding: body.prefix(Self.wordsMax), as: UTF8.self)
            kept["Content-Type"] = nil
            return .error(HTTPError(status, words.isEmpty ? "the node answered \(status.rawValue)" : words, headers: kept))
        }
        return HTTPResponse(status, headers: kept, body: body.isEmpty ? .none : .bytes(body))
    }

    private static let wordsMax = 1_000

    /// Connection-specific fields (RFC 9110 section 7.6.1) and those the server writes itself.
    private static let ownHeaders: Set<String> = [
        "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length",
        "date", "server", "access-control-allow-origin", "access-control-expose-headers",
    ]
}

/// Passes requests on to nodes.
struct NodeCaller: Sendable {
    static let answerBytesMax = 4 << 20
    /// An edge answers an offer within milliseconds; this is for one that hangs.
    static let totalMs = 10_000

    let client: HTTPClient
    let bodyBytesMax: Int

    /// The request with its body, for this node under this path.
    func request(_ request: HTTPRequest, body: [UInt8], node: NodeView, path: String) -> HTTPClientRequest {
        var outgoing = HTTPClientRequest(
            request.method, node.record.url + path, headers: NodeRequest.headers(for: request, token: node.token),
            body: body.isEmpty ? .none : .bytes(body))
        for name in ["Content-Type", "Accept", "If-Match", "If-None-Match"] {
            if let value = request.headers[name] { outgoing.headers[name] = value }
        }
        // live777 knows its types without parameters only.
        for type in ["application/sdp", "application/trickle-ice-sdpfrag"] where outgoing.hasType(type) {
            outgoing.headers["Content-Type"] = type
        }
        outgoing.connectMs = NodeRequest.connectMs
        outgoing.totalMs = Self.totalMs
        return outgoing
    }

    /// Sends and reads the whole answer. A node that refuses our own token has failed us; that is nothing the client could mend.
    func send(_ request: HTTPClientRequest, to node: NodeView) async throws(HTTPClientError) -> NodeAnswer {
        let answer = try await client.send(request)
        let isOurToken = !(node.token ?? "").isEmpty
        if isOurToken, answer.status == .unauthorized { throw .status(answer.status) }
        return NodeAnswer(
            status: answer.status, headers: answer.headers, body: try await answer.collect(limit: Self.answerBytesMax))
    }

    /// Passes a request on, with its body, and gives what the node says; throws 502, 503 or 504 when it says nothing.
    func forward(_ incoming: HTTPRequest, to node: NodeView, path: String) async throws -> NodeAnswer {
        let body = try await incoming.body.bytes(limit: bodyBytesMax)
        return try await call(request(incoming, body: body, node: node, path: path), node)
    }

    /// Tells a node, on our own behalf, to empty itself or to take sessions again.
    func setDraining(_ node: NodeView, _ isDraining: Bool) async throws(HTTPClientError) -> HTTPStatus {
        var request = HTTPClientRequest(
            isDraining ? .post : .delete, "\(node.record.url)/api/drain", headers: NodeRequest.headers(token: node.token))
        request.connectMs = NodeRequest.connectMs
        request.totalMs = Self.totalMs
        return try await send(request, to: node).status
    }

    /// Sends, with the client's words for a failure.
    func call(_ outgoing: HTTPClientRequest, _ node: NodeView) async throws(HTTPError) -> NodeAnswer {
        do throws(HTTPClientError) {
            return try await send(outgoing, to: node)
        } catch {
            throw NodeRequest.failure(error, of: node)
        }
    }
}

extension HTTPClientRequest {
    /// Whether its body is of this type, whatever the parameters (RFC 9110 section 8.3.1).
    fileprivate func hasType(_ type: String) -> Bool {
        let value = headers["Content-Type"]?.prefix { $0 != ";" }.lowercased()
        return value.map { $0.split(whereSeparator: \.isWhitespace) == [type[...]] } ?? false
    }
}
