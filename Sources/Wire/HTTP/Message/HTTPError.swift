/// An error that knows what a client is to see of it.
public protocol HTTPErrorConvertible: Error {
    /// Nil: 500, and a line in the log.
    var httpError: HTTPError? { get }
}

/// A failure that a handler wants the client to see: the answer is `{"error": message}` with this status and these headers.
/// Any other error a handler throws becomes 500 `{"error":"internal error"}` and a line in the log.
public struct HTTPError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The status of the answer.
    public let status: HTTPStatus
    /// What went wrong, in words for the person who sent the request.
    public let message: String
    /// More headers of the answer, such as `Retry-After`.
    public let headers: HTTPHeaders

    /// - Parameters:
    ///   - status: 4xx or 5xx.
    ///   - message: never holds a secret.
    ///   - headers: added to the answer.
    public init(_ status: HTTPStatus, _ message: String, headers: HTTPHeaders = [:]) {
        self.status = status
        self.message = message
        self.headers = headers
    }

    /// Status and message.
    public var description: String { "\(status) \(message)" }
}
