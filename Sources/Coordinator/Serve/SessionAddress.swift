import HTTP
import Nodes

/// The address of a session here and on its node. The node's alias is part of the session's id, so that any coordinator
/// can serve the address without having seen the session begin.
struct SessionAddress: Equatable {
    let stream: String
    let alias: String
    let session: String

    /// Of a session that the node has told of.
    init(stream: String, alias: String, session: String) { (self.stream, self.alias, self.session) = (stream, alias, session) }

    /// From an id as it stands in the coordinator's addresses; nil when no alias is in it, or what follows it would not be one segment
    /// of a path.
    init?(stream: String, id: String) {
        guard let parts = ClusterSession.parse(id), Self.isSegment(parts.session) else { return nil }
        (self.stream, alias, session) = (stream, parts.alias, parts.session)
    }

    /// From the `Location` of a node, absolute or path only; nil when it names no session of that stream.
    init?(location: String, stream: String, alias: String) {
        var path = Substring(location)
        if let scheme = path.firstRange(of: "://") {
            path = path[scheme.upperBound...]
            path = path[(path.firstIndex(of: "/") ?? path.endIndex)...]
        }
        let parts = path.prefix { $0 != "?" && $0 != "#" }.split(separator: "/")
        guard parts.count == 3, parts[0] == "session", PercentCoding.decode(parts[1]) == stream,
            let session = PercentCoding.decode(parts[2]), Self.isSegment(session)
        else { return nil }
        (self.stream, self.alias, self.session) = (stream, alias, session)
    }

    /// What stays one segment of a path on its way through clients and proxies, which resolve dots (RFC 3986 5.2.4).
    private static func isSegment(_ session: String) -> Bool {
        !session.isEmpty && !session.contains("/") && session != "." && session != ".."
    }

    /// Its path on this coordinator.
    var path: String {
        "/session/\(PercentCoding.encode(stream))/\(PercentCoding.encode(ClusterSession.id(alias: alias, session: session)))"
    }

    /// Its path on the node.
    var nodePath: String { "/session/\(PercentCoding.encode(stream))/\(PercentCoding.encode(session))" }

    /// An answer to WHIP or WHEP as the client gets it: `Location`, and links to parts of the session, lead here.
    static func rewrite(_ answer: NodeAnswer, stream: String, alias: String) throws(HTTPError) -> HTTPResponse {
        var response = answer.response
        guard answer.status == .created else { return response }
        guard let location = answer.headers["Location"],
            let address = SessionAddress(location: location, stream: stream, alias: alias)
        else { throw HTTPError(.badGateway, "\(alias) answered without the session's address") }
        response.headers["Location"] = address.path
        let links = response.headers.all("Link")
        response.headers["Link"] = nil
        for link in links { response.headers.add("Link", link.replacing("<\(address.nodePath)", with: "<\(address.path)")) }
        return response
    }
}
