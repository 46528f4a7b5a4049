/// A request to another server.
public struct HTTPClientRequest: Sendable {
    /// The body.
    public enum Body: Sendable {
        /// None.
        case none
        /// Bytes in memory.
        case bytes([UInt8])
        /// Bytes as the closure writes them; chunked when the length is unknown. A closure that throws aborts the request.
        case stream(length: Int64?, @Sendable (HTTPBodyWriter) async throws -> Void)
    }

    /// A speed that is as good as none.
    public struct Slowness: Sendable, Equatable {
        /// Bytes a second on average.
        public var bytesPerSecond: Int
        /// Over so many seconds.
        public var seconds: Int

        /// A speed and how long it is borne.
        public init(bytesPerSecond: Int, seconds: Int) { (self.bytesPerSecond, self.seconds) = (bytesPerSecond, seconds) }
    }

    /// The method.
    public var method: HTTPMethod
    /// An absolute `http` or `https` URL.
    public var url: String
    /// The header fields; `Host` and `Content-Length` are added.
    public var headers: HTTPHeaders
    /// The body.
    public var body: Body
    /// The longest time to connect and agree on TLS.
    public var connectMs = 5_000
    /// The longest time for all of it, the response body included; nil for no limit.
    public var totalMs: Int? = 30_000
    /// Gives up when less than one byte a second came or went for so long; nil for no limit.
    public var idleSeconds: Int? = 30
    /// Gives up when less than so much came and went for so long, a reader's own pauses aside; nil for no limit.
    public var slow: Slowness?
    /// An answer of at most so many bytes is given when all of it has come, rather than when its header has: its reader need not wait again.
    public var wholeBytesMax = 0
    /// How many redirects are followed; none unless asked for.
    public var redirects = 0

    /// A request from its parts.
    public init(_ method: HTTPMethod = .get, _ url: String, headers: HTTPHeaders = [:], body: Body = .none) {
        (self.method, self.url, self.headers, self.body) = (method, url, headers, body)
    }
}

/// Why a request got no whole answer. The text never holds credentials.
public enum HTTPClientError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The URL is not absolute `http` or `https`.
    case badURL
    /// No connection: name not found, refused, unreachable.
    case cannotConnect(String)
    /// The TLS handshake or the certificate check failed.
    case tls(String)
    /// One of the time limits passed.
    case timedOut
    /// The connection broke, or the answer was not HTTP.
    case broken(String)
    /// The body is longer than the caller's limit, in bytes.
    case tooLong(limit: Int)
    /// The task was cancelled, or the client was shut down.
    case cancelled
    /// The closure that writes the request's body threw.
    case bodyFailed(String)
    /// An answer whose status the call can't use.
    case status(HTTPStatus)

    /// One line for logs.
    public var description: String {
        switch self {
        case .badURL: "not an absolute http or https URL"
        case .cannotConnect(let reason): "can't connect: \(reason)"
        case .tls(let reason): "TLS failed: \(reason)"
        case .timedOut: "timed out"
        case .broken(let reason): "the connection broke: \(reason)"
        case .tooLong(let limit): "the body is longer than \(limit) bytes"
        case .cancelled: "cancelled"
        case .bodyFailed(let reason): "the request body failed: \(reason)"
        case .status(let status): "unexpected status \(status)"
        }
    }
}
