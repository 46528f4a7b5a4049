import SDP

/// Why a request about a stream is refused; each case is one HTTP status.
public enum StreamError: Error, Sendable, Equatable {
    /// The name is not a stream name.
    case invalidName
    /// The offer or fragment was not taken.
    case sdp(SDPError)
    /// There is no such stream.
    case streamNotFound
    /// There is no such session on this stream.
    case sessionNotFound
    /// Someone else publishes the stream.
    case publisherExists
    /// Another node of the cluster has the publisher.
    case publishedElsewhere(node: String)
    /// A stream of this name is there already.
    case streamExists
    /// The stream has as many viewers as it may.
    case subscriberLimit
    /// `If-Match` names another ETag than the session's.
    case preconditionFailed
    /// `If-Match` is missing and required.
    case preconditionRequired
    /// The node is full, draining or shutting down.
    case unavailable(retryAfterSeconds: Int)
    /// The media plane could not do it; the text is for the log.
    case failed(String)

    /// The HTTP status (RFC 9725 section 4, RFC 9110 section 15).
    public var status: Int {
        switch self {
        case .invalidName, .sdp(.malformed): 400
        case .subscriberLimit: 403
        case .streamNotFound, .sessionNotFound: 404
        case .publisherExists, .publishedElsewhere, .streamExists: 409
        case .preconditionFailed: 412
        case .sdp(.tooLarge): 413
        case .sdp(.unacceptable): 422
        case .preconditionRequired: 428
        case .failed: 500
        case .unavailable: 503
        }
    }
}

extension StreamError: CustomStringConvertible {
    /// One sentence for an error response; nothing a peer sent is in it.
    public var description: String {
        switch self {
        case .invalidName: "not a stream name: 1 to 64 of A-Z a-z 0-9 _ . ~ - and no dot first"
        case .sdp(let error): error.description
        case .streamNotFound: "no such stream"
        case .sessionNotFound: "no such session"
        case .publisherExists: "the stream has a publisher"
        case .publishedElsewhere(let node): "the stream is published on \(node)"
        case .streamExists: "the stream exists"
        case .subscriberLimit: "the stream has as many viewers as it may"
        case .preconditionFailed: "If-Match does not match the session"
        case .preconditionRequired: "If-Match is required"
        case .unavailable: "the node takes no more sessions now"
        case .failed: "the session could not be set up"
        }
    }
}
