import Streams

/// Why a cascade could not be set up.
public enum CascadeError: Error, Sendable, Equatable, CustomStringConvertible {
    /// This node would not: name, place, publisher, loop.
    case local(StreamError)
    /// No answer came: name not found, refused, timed out.
    case unreachable(String)
    /// The other node said no, with this status and its own words.
    case refused(status: Int, message: String)
    /// The answer is none that RFC 9725 knows: no `Location`, too many redirects, too long.
    case protocolError(String)

    /// The HTTP status for whoever asked for the cascade.
    public var status: Int {
        switch self {
        case .local(let error): error.status
        case .unreachable, .refused, .protocolError: 502
        }
    }

    /// One sentence.
    public var description: String {
        switch self {
        case .local(let error): error.description
        case .unreachable(let reason): "the other node cannot be reached: \(reason)"
        case .refused(let status, let message):
            message.isEmpty ? "the other node refused: \(status)" : "the other node refused: \(status) \(message)"
        case .protocolError(let reason): "the other node's answer cannot be used: \(reason)"
        }
    }

    /// Whether asking again later may help.
    var isTransient: Bool {
        switch self {
        case .local(.publisherExists), .local(.unavailable), .local(.nothingPublished), .local(.subscriberLimit): true
        case .local: false
        case .unreachable: true
        case .refused(let status, _): [404, 408, 409, 425, 429].contains(status) || (500...507).contains(status)
        case .protocolError: false
        }
    }
}
