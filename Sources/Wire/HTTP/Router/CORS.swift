/// Which other sites' pages may use the API (WHATWG Fetch, section 3.2). Credentials are tokens in a header, never cookies, so
/// letting any origin in gives away nothing; a list is for who wants to say whose pages these may be.
public enum CORS: Sendable, Hashable {
    /// None.
    case off
    /// All.
    case any
    /// Those with one of these origins, such as `https://example.org`.
    case origins([String])

    static let exposed =
        "Location, ETag, Link, Accept-Post, Accept-Patch, Retry-After, WWW-Authenticate, "
        + "Access-Control-Allow-Methods, Content-Length, Content-Range, Date, X-Clip-Start"
    static let allowedMethods = "OPTIONS, HEAD, GET, POST, PATCH, DELETE"
    static let allowedHeaders = "Authorization, Content-Type, ETag, If-Match, If-None-Match, If-Range, Range"

    /// The answer to a preflight, to be decorated; nil when the request is none or nobody is let in.
    func preflight(_ request: HTTPRequest) -> HTTPResponse? {
        guard self != .off, request.method == .options, let origin = request.headers["Origin"],
            request.headers["Access-Control-Request-Method"] != nil
        else { return nil }
        var response = HTTPResponse(.noContent)
        guard allowed(origin) != nil else { return response }
        response.headers["Access-Control-Allow-Methods"] = Self.allowedMethods
        response.headers["Access-Control-Allow-Headers"] = Self.allowedHeaders
        response.headers["Access-Control-Max-Age"] = "86400"
        return response
    }

    /// Says in an answer who may read it.
    /// - Parameter origin: of the request, when it tells one.
    func decorate(_ response: inout HTTPResponse, origin: String?) {
        // Where the answer depends on the origin, caches must know, for those that are let in and for those that are not.
        if case .origins = self, !response.headers.list("Vary").contains("Origin") { response.headers.add("Vary", "Origin") }
        guard let allowed = allowed(origin) else { return }
        response.headers["Access-Control-Allow-Origin"] = allowed
        response.headers["Access-Control-Expose-Headers"] = Self.exposed
    }

    /// The value of `Access-Control-Allow-Origin`; nil for none.
    private func allowed(_ origin: String?) -> String? {
        switch self {
        case .off: nil
        case .any: "*"
        // Browsers write scheme and host in lower case, people don't.
        case .origins(let list): list.contains { $0.lowercased() == origin?.lowercased() } ? origin : nil
        }
    }
}
