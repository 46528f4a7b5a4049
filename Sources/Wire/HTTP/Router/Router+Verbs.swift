extension Router {
    /// Adds a `GET` route, which answers `HEAD` too.
    public mutating func get(
        _ pattern: String, _ description: RouteDescription, immediate: ImmediateHandler? = nil, _ handler: @escaping Handler
    ) {
        on(.get, pattern, description, immediate: immediate, handler)
    }

    /// Adds a `POST` route.
    public mutating func post(_ pattern: String, _ description: RouteDescription, _ handler: @escaping Handler) {
        on(.post, pattern, description, handler)
    }

    /// Adds a `PUT` route.
    public mutating func put(_ pattern: String, _ description: RouteDescription, _ handler: @escaping Handler) {
        on(.put, pattern, description, handler)
    }

    /// Adds a `PATCH` route.
    public mutating func patch(_ pattern: String, _ description: RouteDescription, _ handler: @escaping Handler) {
        on(.patch, pattern, description, handler)
    }

    /// Adds a `DELETE` route.
    public mutating func delete(_ pattern: String, _ description: RouteDescription, _ handler: @escaping Handler) {
        on(.delete, pattern, description, handler)
    }

    /// Adds an `OPTIONS` route, for answers beyond `Allow`.
    public mutating func options(_ pattern: String, _ description: RouteDescription, _ handler: @escaping Handler) {
        on(.options, pattern, description, handler)
    }
}
