import HTTP

/// What every request to a node has in common.
public enum NodeRequest {
    /// A node in the same cluster answers at once or is away.
    public static let connectMs = 1_500
    /// The key in a request's context under which the server leaves the fingerprint of the client's credential.
    public static let fingerprintKey = "credential-fingerprint"

    /// The headers that let us in on our own behalf.
    public static func headers(token: String?) -> HTTPHeaders {
        guard let token, !token.isEmpty else { return [:] }
        return ["Authorization": "Bearer \(token)"]
    }

    /// The headers for a request that is passed on: with the node's own token when it has one (then the client's
    /// credential is only told by its fingerprint), else with the client's.
    public static func headers(for request: HTTPRequest, token: String?) -> HTTPHeaders {
        var headers = headers(token: token)
        if headers.count > 0 {
            headers["X-Credential-Fingerprint"] = request.context[fingerprintKey] as? String
        } else {
            headers["Authorization"] = request.headers["Authorization"]
            headers["X-Auth-Token"] = request.headers["X-Auth-Token"]
        }
        headers["X-Forwarded-For"] = request.remoteAddress
        return headers
    }

    /// What a client is told when a node gave no answer.
    public static func failure(_ error: HTTPClientError, of node: NodeView) -> HTTPError {
        switch error {
        case .timedOut: HTTPError(.gatewayTimeout, "\(node.alias) did not answer in time")
        case .cannotConnect, .tls:
            HTTPError(.serviceUnavailable, "\(node.alias) can't be reached now", headers: ["Retry-After": "2"])
        case .cancelled: HTTPError(.serviceUnavailable, "the request was given up")
        case .status(.unauthorized): HTTPError(.badGateway, "\(node.alias) refuses this coordinator's token")
        case .badURL, .broken, .tooLong, .bodyFailed, .status:
            HTTPError(.badGateway, "\(node.alias) broke off its answer")
        }
    }
}
