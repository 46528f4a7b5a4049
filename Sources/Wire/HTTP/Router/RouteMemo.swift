/// Which route a path has, for paths that are asked for often: players ask for the same few objects again and again. Any thread.
final class RouteMemo: Sendable {
    struct Key: Hashable {
        let method: HTTPMethod
        let rawPath: String
    }

    /// Full, it forgets everything; what is asked for often is soon back.
    private static let countMax = 1_024
    private static let pathBytesMax = 256
    private let known = Locked<[Key: Router.Found]>([:])

    /// What is known, or what `find` says.
    func found(_ request: HTTPRequest, _ find: (HTTPRequest) -> Router.Found) -> Router.Found {
        guard request.rawPath.utf8.count <= Self.pathBytesMax else { return find(request) }
        let key = Key(method: request.method, rawPath: request.rawPath)
        if let found = known.withLock({ $0[key] }) { return found }
        let found = find(request)
        // Only what has a route: strangers can make up any number of other paths.
        if found.isRoute {
            known.withLock { known in
                if known.count >= Self.countMax { known.removeAll(keepingCapacity: true) }
                known[key] = found
            }
        }
        return found
    }
}
