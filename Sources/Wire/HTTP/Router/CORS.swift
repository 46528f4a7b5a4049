/// Cross-origin answers (WHATWG Fetch, section 3.2). Any origin is let in, since credentials are tokens in a header, never cookies.
enum CORS {
    static let exposed =
        "Location, ETag, Link, Accept-Post, Accept-Patch, Retry-After, WWW-Authenticate, "
        + "Access-Control-Allow-Methods, Content-Length, Content-Range, Date"
    static let allowedMethods = "OPTIONS, HEAD, GET, POST, PATCH, DELETE"
    static let allowedHeaders = "Authorization, Content-Type, If-Match, ETag, Range"

    static func isPreflight(_ request: HTTPRequest) -> Bool {
        request.method == .options && request.headers["Origin"] != nil && request.headers["Access-Control-Request-Method"] != nil
    }

    static func preflight() -> HTTPResponse {
        HTTPResponse(
            .noContent,
            headers: [
                "Access-Control-Allow-Methods": allowedMethods, "Access-Control-Allow-Headers": allowedHeaders,
                "Access-Control-Max-Age": "86400",
            ])
    }

    static func decorate(_ response: inout HTTPResponse) {
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = exposed
    }
}
