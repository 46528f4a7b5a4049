import Auth
import HTTP
import Nodes
import Program

/// A router whose every route says what right it needs; there is no way to add one that forgot.
struct GuardedRouter {
    /// What a request must be allowed to do; nil lets everyone in. May throw to refuse what is asked.
    typealias Needs = @Sendable (HTTPRequest) async throws -> Access?

    private(set) var router = Router()
    private let gate: Gate

    init(_ gate: Gate) { self.gate = gate }

    /// Routes that see to their rights themselves.
    mutating func add(_ routes: (inout Router) -> Void) { routes(&router) }

    /// - Parameter isMedia: a token or a signature may also stand in the query, for players that can't set a header.
    mutating func on(
        _ method: HTTPMethod, _ pattern: String, _ description: RouteDescription, isMedia: Bool = false,
        needs: @escaping Needs, _ handler: @escaping Router.Handler
    ) {
        let gate = gate
        router.on(method, pattern, description) { request in
            var request = request
            if request.pathParameters["stream"] != nil { _ = try request.streamName() }
            if let access = try await needs(request) {
                let principal = try gate.check(request, access, mayStandInQuery: isMedia)
                request.context[NodeRequest.fingerprintKey] = principal.fingerprint
            }
            return try await handler(request)
        }
    }

    /// A route of playback, and that of links to what it answers.
    mutating func on(_ route: PlaybackRoute) {
        on(.get, route.pattern, route.description, isMedia: route.isMedia, needs: { try route.access($0) }, route.handler)
        guard let link = route.link(gate) else { return }
        on(.post, link.pattern, link.description, needs: { try link.access($0) }, link.handler)
    }

    /// A route that anyone may ask.
    mutating func open(_ pattern: String, _ description: RouteDescription, _ handler: @escaping Router.Handler) {
        router.get(pattern, description, handler)
    }
}

extension HTTPRequest {
    /// Values of a repeatable query parameter.
    func set(_ names: String...) -> Set<String> {
        Set(names.flatMap { query.all($0) }.filter { !$0.isEmpty })
    }
}
