import Cluster
import MediaPlane
import SDP

/// What a session that carries a stream between nodes knows of the other node.
struct Relay {
    /// Nodes on the other side, the nearest first: those that the media came through, or those that it goes to.
    var nodes: [String]
    /// The other node's end, when it is us who dialed; empty when the other node did.
    var record = CascadeRecord()
    /// Whether we dialed.
    var isDialed = false
    /// How long a copy that was pushed here stays without use; 0 for as long as it is pushed.
    var idleNs: UInt64 = 0
}

/// A session that we dialed is over.
public struct RelayEnd: Sendable, Equatable {
    /// Why it ended.
    public enum Reason: Sendable, Equatable {
        /// Somebody here ended the session or the stream.
        case stopped
        /// The connection broke or the other side ended it; the text is a `CloseReason` or says what changed.
        case lost(String)
    }

    /// The stream's name.
    public let stream: String
    /// The session here.
    public let session: String
    /// Why it ended.
    public let reason: Reason
}

/// A session that waits for the other node's answer to our offer. It keeps its place in the stream meanwhile.
public struct RelayOffer: Sendable {
    enum Kind {
        case pull(SubscribeOffer)
        case push(PublishOffer)
    }

    /// The stream's name.
    public let stream: String
    /// The session here.
    public let session: String
    /// The SDP offer for the other node.
    public let sdp: String
    /// What to tell the other node of the stream's way: ourselves, and when we push also the nodes before us.
    public let path: [String]
    let key: StreamKey
    let kind: Kind
}

/// The other node's answer to a `RelayOffer`.
public struct RelayAnswer: Sendable {
    /// The SDP answer.
    public var sdp: [UInt8]
    /// The other node's end: where it was asked and the session it made.
    public var record: CascadeRecord
    /// When we pull, the nodes that the stream comes through, the asked one first; empty when it is no node of ours.
    public var path: [String]

    /// All fields by name.
    public init(sdp: [UInt8], record: CascadeRecord, path: [String]) {
        (self.sdp, self.record, self.path) = (sdp, record, path)
    }
}
