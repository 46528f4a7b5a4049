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
    /// The stream comes in one layer only.
    case notSimulcast
    /// The publisher has no layer of this name.
    case layerNotFound
    /// A stream of this name is there already.
    case streamExists
    /// The stream has as many viewers as it may.
    case subscriberLimit
    /// `If-Match` names another ETag than the session's.
    case preconditionFailed
    /// `If-Match` is missing and required.
    case preconditionRequired
    /// The other node's answer was not taken.
    case badAnswer(SDPError)
    /// Nothing is published that could be sent on.
    case nothingPublished
    /// The stream would come back to a node that it has been through, or go through too many.
    case loop(String)
    /// The client has as many sessions as one address or one credential may.
    case tooManySessions(retryAfterSeconds: Int)
    /// The node is full, draining or shutting down.
    case unavailable(retryAfterSeconds: Int)
    /// The media plane could not do it; the text is for the log.
    case failed(String)

    /// The HTTP status (RFC 9725 section 4, RFC 9110 section 15).
    public var status: Int {
        switch self {
        case .invalidName, .sdp(.malformed): 400
        case .subscriberLimit: 403
        case .streamNotFound, .sessionNotFound, .layerNotFound: 404
        case .publisherExists, .publishedElsewhere, .streamExists, .nothingPublished, .notSimulcast: 409
        case .preconditionFailed: 412
        case .sdp(.tooLarge): 413
        case .sdp(.unacceptable): 422
        case .preconditionRequired: 428
        case .tooManySessions: 429
        case .failed: 500
        case .badAnswer: 502
        case .unavailable: 503
        case .loop: 508
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
        case .notSimulcast: "the stream has no layers"
        case .layerNotFound: "the publisher has no such layer"
        case .streamExists: "the stream exists"
        case .subscriberLimit: "the stream has as many viewers as it may"
        case .preconditionFailed: "If-Match does not match the session"
        case .preconditionRequired: "If-Match is required"
        case .badAnswer(let error): "the other node answered with \(error)"
        case .nothingPublished: "nothing is published on the stream"
        case .loop(let reason): reason
        case .tooManySessions: "one address, or one credential, may have no more sessions"
        case .unavailable: "the node takes no more sessions now"
        case .failed: "the session could not be set up"
        }
    }
}
