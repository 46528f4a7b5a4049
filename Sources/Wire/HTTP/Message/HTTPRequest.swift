/// A request as a handler sees it.
public struct HTTPRequest: Sendable {
    /// The method.
    public let method: HTTPMethod
    /// The path of the target as it was sent, without the query.
    public let rawPath: String
    /// The path with percent escapes decoded once.
    public let path: String
    /// The query as it was sent, without the `?`; empty when there was none.
    public let rawQuery: String
    /// The decoded query.
    public let query: Query
    /// The header fields.
    public let headers: HTTPHeaders
    /// The client's numeric address, without port. Behind a proxy that isn't trusted it is the proxy's.
    public internal(set) var remoteAddress: String
    /// What stands for the client where something is counted by address, see ``ClientNetwork``; nil for who isn't counted.
    public internal(set) var countedNetwork: String?
    /// What stands for the client where it is limited, whoever it is.
    public var clientNetwork: String { ClientNetwork.name(of: remoteAddress) ?? remoteAddress }
    /// True when the connection is encrypted.
    public let isTLS: Bool
    /// The values of the `{name}` parts of the route's pattern, decoded once.
    public internal(set) var pathParameters: [String: String] = [:]
    /// The pattern of the matched route, such as `/whip/{stream}`; nil when no route matches. A label for metrics.
    public internal(set) var route: String?
    /// What a middleware leaves for the handler, such as who the client is.
    public var context: [String: any Sendable] = [:]
    /// The body, not read yet.
    public let body: RequestBody

    /// A request from its parts. Throws 400 when path or query can't be decoded: a bad escape, NUL, or bytes that are not UTF-8.
    /// - Parameter target: origin form, such as `/a/b?c=d`, or absolute form, whose host is not looked at (RFC 9112 section 3.2).
    public init(
        method: HTTPMethod, target: String, headers: HTTPHeaders = [:], body: RequestBody = RequestBody(),
        remoteAddress: String = "127.0.0.1", isTLS: Bool = false
    ) throws(HTTPError) {
        let target = Self.withoutAuthority(target)
        let mark = target.utf8.firstIndex(of: 0x3F)
        let raw = String(target[..<(mark ?? target.endIndex)])
        guard raw.utf8.first == 0x2F || (raw == "*" && method == .options) else {
            throw HTTPError(.badRequest, "the request target is not a path")
        }
        guard let path = PercentCoding.decode(raw) else { throw HTTPError(.badRequest, "the path is not valid") }
        let rawQuery = mark.map { String(target[$0...].dropFirst()) } ?? ""
        guard let query = Query(rawQuery) else { throw HTTPError(.badRequest, "the query is not valid") }
        (self.method, self.rawPath, self.path, self.rawQuery, self.query) = (method, raw, path, rawQuery, query)
        (self.headers, self.body, self.remoteAddress, self.isTLS) = (headers, body, remoteAddress, isTLS)
    }

    private static func withoutAuthority(_ target: String) -> Substring {
        if target.utf8.first == 0x2F { return target[...] }
        for scheme in ["http://", "https://"] where target.lowercased().hasPrefix(scheme) {
            let rest = target.dropFirst(scheme.count).drop { $0 != "/" && $0 != "?" }
            return rest.isEmpty ? "/" : rest
        }
        return target[...]
    }

    /// The path parameter `name`; empty when the pattern has none of that name.
    public func parameter(_ name: String) -> String { pathParameters[name] ?? "" }
}
