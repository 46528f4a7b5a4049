import Cluster

/// What a node tells the cluster of itself at one moment.
public struct NodeState: Sendable, Equatable {
    /// The node; its `alias` names the keys.
    public var node: NodeRecord
    /// Its streams.
    public var streams: [StreamRecord]

    /// - Parameters:
    ///   - node: the node.
    ///   - streams: its streams.
    public init(node: NodeRecord, streams: [StreamRecord]) {
        self.node = node
        self.streams = streams
    }

    /// What it tells apart from what changes all the time.
    var withoutFigures: NodeState { NodeState(node: node.withoutFigures, streams: streams.map(\.withoutFigures)) }
}

/// Whether the cluster hears of this node through Redis.
public enum StateStatus: Sendable, Hashable {
    /// Not tried yet.
    case connecting
    /// The last heartbeat was written.
    case connected
    /// It was not, and why; the node serves on, coordinators that follow Redis alone call it lost.
    case degraded(reason: String, sinceMs: Int64)
}
