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

    /// Answers a request without waiting for anything, or says by nil that the route's handler must. Runs on the server's own threads, so it
    /// never blocks nor reckons long.
    public typealias ImmediateHandler = @Sendable (HTTPRequest) throws -> HTTPResponse?

    struct Route: Sendable {
        let description: RouteDescription
        let immediate: ImmediateHandler?
        let handler: Handler
    }

    struct Endpoint: Sendable {
        let pattern: RoutePattern
        var routes: [HTTPMethod: Route]
    }

    /// Whose pages may read the answers; their preflight is answered before any middleware. ``HTTPServer`` sets it from its settings.
    public var cors = CORS.off
    private(set) var endpoints: [Endpoint] = []
    private var memo = RouteMemo()
    private var layers: [any RouterLayer] = []
    private var middleware: [Middleware] = []
    private static let log = Logger("http")

    /// No routes.
    public init() {}

    /// Adds a middleware; the first added is the outermost.
    public mutating func use(_ new: @escaping Middleware) { middleware.append(new) }

    /// Adds a layer; the first added is the outermost, and all of them stand outside of the middlewares.
    public mutating func use(_ new: some RouterLayer) { layers.append(new) }

    /// Adds a route; the last one of the same method and pattern counts.
    /// - Parameters:
    ///   - pattern: `/a/{name}/b`, or `/a/{rest*}` for all that follows.
    ///   - immediate: asked first when there are no middlewares; it gives what the handler would, or nil.
    public mutating func on(
        _ method: HTTPMethod, _ pattern: String, _ description: RouteDescription, immediate: ImmediateHandler? = nil,
        _ handler: @escaping Handler
    ) {
        memo = RouteMemo()
        let parsed = RoutePattern(pattern)
        let route = Route(description: description, immediate: immediate, handler: handler)
        if let index = endpoints.firstIndex(where: { $0.pattern.segments == parsed.segments }) {
            endpoints[index].routes[method] = route
        } else {
            let index = endpoints.firstIndex { parsed.isBefore($0.pattern) } ?? endpoints.count
            endpoints.insert(Endpoint(pattern: parsed, routes: [method: route]), at: index)
        }
    }

    /// Answers a request as the server would, without one: the whole chain, from CORS to conditional requests.
    public func respond(to request: HTTPRequest) async -> HTTPResponse {
        switch begin(request) {
        case .answered(let response): response
        case .pending(let pending): await respond(to: pending)
        }
    }

    /// A request that has passed the layers and found its route, but no answer yet.
    struct Pending: Sendable {
        fileprivate(set) var request: HTTPRequest
        let found: Found
        fileprivate let startNs: UInt64
    }

    /// How far a request comes without waiting.
    enum Progress {
        case answered(HTTPResponse)
        case pending(Pending)
    }

    /// Everything up to the handler, and the answer when there is one without waiting. On the server's thread.
    func begin(_ request: HTTPRequest) -> Progress {
        if let preflight = cors.preflight(request) { return .answered(decorated(preflight, for: request)) }
        let found = memo.found(request, find)
        var pending = Pending(request: request, found: found, startNs: ConnectionWatcher.now())
        pending.request.route = found.endpoint?.pattern.text
        pending.request.pathParameters = found.parameters
        if let refusal = enter(pending.request) { return .answered(end(pending, .error(refusal))) }
        guard middleware.isEmpty, let immediate = found.immediate else { return .pending(pending) }
        do {
            guard let response = try immediate(pending.request) else { return .pending(pending) }
            return .answered(end(pending, Self.completed(pending.request, response)))
        } catch {
            return .answered(end(pending, Self.answer(to: error, pending.request)))
        }
    }

    /// The answer of the route's handler.
    func respond(to pending: Pending) async -> HTTPResponse {
        // The server's thread has other connections to see to: most handlers go on elsewhere.
        if !pending.found.startsInPlace { await Task.yield() }
        return end(pending, await chain(pending.found.handler)(pending.request))
    }

    /// Enters all layers, since all are left; the outermost refusal counts.
    private func enter(_ request: HTTPRequest) -> HTTPError? {
        var refusal: HTTPError?
        for layer in layers {
            do throws(HTTPError) { try layer.enter(request) } catch { refusal = refusal ?? error }
        }
        return refusal
    }

    private func end(_ pending: Pending, _ response: HTTPResponse) -> HTTPResponse {
        if !layers.isEmpty {
            let spentNs = ConnectionWatcher.now() &- pending.startNs
            for layer in layers.reversed() { layer.leave(pending.request, response, spentNs: spentNs) }
        }
        return decorated(response, for: pending.request)
    }

    private func decorated(_ response: HTTPResponse, for request: HTTPRequest) -> HTTPResponse {
        guard cors != .off else { return response }
        var response = response
        cors.decorate(&response, origin: request.headers["Origin"])
        return response
    }

    /// The answer for a request that is broken before it can be routed.
    /// - Parameter origin: that it tells.
    func respond(toBroken error: HTTPError, origin: String?) -> HTTPResponse {
        var response = HTTPResponse.error(error)
        cors.decorate(&response, origin: origin)
        return response
    }

    private func chain(_ handler: @escaping Handler) -> Next {
        let innermost: Next = { request in
            Self.completed(request, await Self.answering(request) { try await handler(request) })
        }
        return middleware.reversed().reduce(innermost) { next, layer in
            { request in await Self.answering(request) { try await layer(request, next) } }
        }
    }

    /// A handler's answer with what follows from the request's header.
    private static func completed(_ request: HTTPRequest, _ response: HTTPResponse) -> HTTPResponse {
        WebSocketHandshake.apply(request, ContentCoding.apply(request, Conditional.apply(request, response)))
    }

    private static func answering(_ request: HTTPRequest, _ body: () async throws -> HTTPResponse) async -> HTTPResponse {
        do {
            return try await body()
        } catch {
            return answer(to: error, request)
        }
    }

    private static func answer(to error: any Error, _ request: HTTPRequest) -> HTTPResponse {
        if let shown = error as? HTTPError ?? (error as? any HTTPErrorConvertible)?.httpError { return .error(shown) }
        if error is CancellationError { return .error(HTTPError(.serviceUnavailable, "the request was cancelled")) }
        log.error(
            "a handler failed",
            ["method": request.method.rawValue, "route": request.route ?? "-", "error": String(describing: error)])
        return .error(HTTPError(.internalServerError, "internal error"))
    }

    // MARK: Matching

    /// What a path and a method lead to.
    struct Found: Sendable {
        var endpoint: Endpoint?
        /// Whether it is a route that can be asked, not a refusal.
        var isRoute = false
        var parameters: [String: String] = [:]
        var immediate: ImmediateHandler?
        var handler: Handler
        var startsInPlace = false
    }

    private func find(_ request: HTTPRequest) -> Found {
        let parts = RoutePattern.parts(ofRawPath: request.rawPath)
        var fitting: [Endpoint] = []
        for endpoint in endpoints {
            guard let places = endpoint.pattern.match(parts) else { continue }
            fitting.append(endpoint)
            guard let route = Self.route(of: endpoint, for: request.method) else { continue }
            var found = Found(
                endpoint: endpoint, isRoute: true, immediate: route.immediate, handler: route.handler,
                startsInPlace: route.description.startsInPlace)
            do throws(HTTPError) {
                for (name, place) in places {
                    let isRest = endpoint.pattern.segments.last == .rest(name)
                    found.parameters[name] = try RoutePattern.value(parts[place], isRest: isRest)
                }
            } catch {
                found.isRoute = false
                found.immediate = { _ in throw error }
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
