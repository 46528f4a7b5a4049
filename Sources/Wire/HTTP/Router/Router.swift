import Log

/// Routes and what stands around them. A value: build it, then give it to ``HTTPServer``.
///
/// A path that no pattern fits answers 404, a method that the path has not 405 with `Allow`, both as JSON. `HEAD` is answered by the
/// `GET` route, `OPTIONS` by `Allow` unless a route exists. A trailing slash makes no difference.
public struct Router: Sendable {
    /// Answers a request; what it throws becomes the answer, see ``HTTPError``.
    public typealias Handler = @Sendable (HTTPRequest) async throws -> HTTPResponse
    /// The rest of the chain; never throws, since errors inside it are answers already.
    public typealias Next = @Sendable (HTTPRequest) async -> HTTPResponse
    /// Stands before the handlers: may answer itself, throw an ``HTTPError``, change the request, or look at the answer.
    /// Runs for unknown paths too (`request.route` is nil then), but not for CORS preflight.
    public typealias Middleware = @Sendable (HTTPRequest, Next) async throws -> HTTPResponse

    struct Route: Sendable {
        let description: RouteDescription
        let handler: Handler
    }

    struct Endpoint: Sendable {
        let pattern: RoutePattern
        var routes: [HTTPMethod: Route]
    }

    /// Whose pages may read the answers; their preflight is answered before any middleware. ``HTTPServer`` sets it from its settings.
    public var cors = CORS.off
    private(set) var endpoints: [Endpoint] = []
    private var middleware: [Middleware] = []
    private static let log = Logger("http")

    /// No routes.
    public init() {}

    /// Adds a middleware; the first added is the outermost.
    public mutating func use(_ new: @escaping Middleware) { middleware.append(new) }

    /// Adds a route; the last one of the same method and pattern counts.
    /// - Parameter pattern: `/a/{name}/b`, or `/a/{rest*}` for all that follows.
    public mutating func on(
        _ method: HTTPMethod, _ pattern: String, _ description: RouteDescription, _ handler: @escaping Handler
    ) {
        let parsed = RoutePattern(pattern)
        let route = Route(description: description, handler: handler)
        if let index = endpoints.firstIndex(where: { $0.pattern.segments == parsed.segments }) {
            endpoints[index].routes[method] = route
        } else {
            let index = endpoints.firstIndex { parsed.isBefore($0.pattern) } ?? endpoints.count
            endpoints.insert(Endpoint(pattern: parsed, routes: [method: route]), at: index)
        }
    }

    /// Answers a request as the server would, without one: the whole chain, from CORS to conditional requests.
    public func respond(to request: HTTPRequest) async -> HTTPResponse {
        var response: HTTPResponse
        if let preflight = cors.preflight(request) {
            response = preflight
        } else {
            let found = find(request)
            var routed = request
            routed.route = found.endpoint?.pattern.text
            routed.pathParameters = found.parameters
            // The server's thread has other connections to see to: most handlers go on elsewhere.
            if !found.startsInPlace { await Task.yield() }
            response = await chain(found.handler)(routed)
        }
        cors.decorate(&response, origin: request.headers["Origin"])
        return response
    }

    /// The answer for a request that is broken before it can be routed.
    func respond(toBroken error: HTTPError) -> HTTPResponse {
        var response = HTTPResponse.error(error)
        cors.decorate(&response, origin: nil)
        return response
    }

    private func chain(_ handler: @escaping Handler) -> Next {
        let innermost: Next = { request in
            let response = await Self.answering(request) { try await handler(request) }
            return WebSocketHandshake.apply(request, ContentCoding.apply(request, Conditional.apply(request, response)))
        }
        return middleware.reversed().reduce(innermost) { next, layer in
            { request in await Self.answering(request) { try await layer(request, next) } }
        }
    }

    private static func answering(_ request: HTTPRequest, _ body: () async throws -> HTTPResponse) async -> HTTPResponse {
        do {
            return try await body()
        } catch let error as HTTPError {
            return .error(error)
        } catch is CancellationError {
            return .error(HTTPError(.serviceUnavailable, "the request was cancelled"))
        } catch {
            log.error(
                "a handler failed",
                ["method": request.method.rawValue, "route": request.route ?? "-", "error": String(describing: error)])
            return .error(HTTPError(.internalServerError, "internal error"))
        }
    }

    // MARK: Matching

    private struct Found {
        var endpoint: Endpoint?
        var parameters: [String: String] = [:]
        var handler: Handler
        var startsInPlace = false
    }

    private func find(_ request: HTTPRequest) -> Found {
        let parts = RoutePattern.parts(ofRawPath: request.rawPath)
        var fitting: [Endpoint] = []
        for endpoint in endpoints {
            guard let raw = endpoint.pattern.match(parts) else { continue }
            fitting.append(endpoint)
            guard let route = Self.route(of: endpoint, for: request.method) else { continue }
            var found = Found(endpoint: endpoint, handler: route.handler, startsInPlace: route.description.startsInPlace)
            do throws(HTTPError) {
                for (name, value) in raw {
                    let isRest = endpoint.pattern.segments.last == .rest(name)
                    found.parameters[name] = try RoutePattern.decode(value, isRest: isRest)
                }
            } catch {
                found.handler = { _ in throw error }
            }
            return found
        }
        guard let first = fitting.first else {
            return Found(handler: { _ in throw HTTPError(.notFound, "no such path") })
        }
        let allow = Self.allow(fitting)
        let handler: Handler = { request in
            if request.method == .options { return HTTPResponse(.noContent, headers: ["Allow": allow]) }
            throw HTTPError(.methodNotAllowed, "\(request.method) is not allowed here", headers: ["Allow": allow])
        }
        return Found(endpoint: first, handler: handler)
    }

    private static func route(of endpoint: Endpoint, for method: HTTPMethod) -> Route? {
        endpoint.routes[method] ?? (method == .head ? endpoint.routes[.get] : nil)
    }

    private static func allow(_ endpoints: [Endpoint]) -> String {
        var methods = Set(endpoints.flatMap(\.routes.keys))
        if methods.contains(.get) { methods.insert(.head) }
        methods.insert(.options)
        return methods.map(\.rawValue).sorted().joined(separator: ", ")
    }
}
