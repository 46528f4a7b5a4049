/// An HTTP/1.1 server on libmicrohttpd. Handlers run on Swift concurrency, never on the server's threads.
public final class HTTPServer: Sendable {
    private let settings: HTTPServerSettings
    private let router: Router

    /// Binds and listens, so that a port in use is known at once; nothing is answered before ``start()``.
    public init(_ settings: HTTPServerSettings, router: Router) throws(HTTPServerError) {
        self.settings = settings
        self.router = router
    }

    /// The port it listens on.
    public var port: UInt16 { 0 }

    /// `http://host:port` or `https://host:port`, for logs and tests.
    public var url: String { "" }

    /// Starts answering.
    public func start() throws(HTTPServerError) {}

    /// Stops accepting, lets running handlers finish for at most `stopSeconds`, then cancels them. Safe to call twice.
    public func stop() async {}
}
