import Cluster

/// One node as the coordinator sees it at an instant.
public struct NodeView: Sendable, Equatable {
    /// What the node said of itself last; for a node that was never reached, alias and URL from the configuration.
    public var record: NodeRecord
    /// Whether it can be used: the node's own word, an operator's drain, or `lost` when it is silent.
    public var status: NodeStatus
    /// The node's streams; of a lost node, those it had when it was last heard of.
    public var streams: [StreamRecord]
    /// What it runs when that is no edge-node, such as `live777 0.9.0`: then it knows live777's API and nothing beyond.
    public var software: String?
    /// The bearer token the node wants of us; never shown.
    public var token: String?
    /// What to add to the node's times to get ours, milliseconds; nil before it was heard.
    public var clockOffsetMs: Int64?
    /// When the node was last heard of, nanoseconds of `Monotonic`; nil when it never was. While Redis is away this is what tells how old
    /// the view is.
    public var lastHeardNs: UInt64?

    /// A view of a node.
    public init(
        record: NodeRecord, status: NodeStatus, streams: [StreamRecord] = [], software: String? = nil, token: String? = nil,
        clockOffsetMs: Int64? = nil, lastHeardNs: UInt64? = nil
    ) {
        self.record = record
        self.status = status
        self.streams = streams
        self.software = software
        self.token = token
        self.clockOffsetMs = clockOffsetMs
        self.lastHeardNs = lastHeardNs
    }

    /// The node's name in the cluster.
    public var alias: String { record.alias }

    /// How old what is known of the node is, milliseconds; nil when nothing is.
    public func ageMs(nowNs: UInt64) -> UInt64? { lastHeardNs.map { nowNs > $0 ? (nowNs - $0) / 1_000_000 : 0 } }

    /// The node's record of a stream.
    public func stream(_ name: String) -> StreamRecord? { streams.first { $0.id == name } }

    /// How new the node's hold on a stream is; see `StreamRecord.fence`.
    public func fence(of name: String) -> Int64 { stream(name)?.fence ?? 0 }

    /// Publishers now: streams come the moment they change, the load once a second, so the larger is the truer.
    public var publisherCount: Int { max(record.load.publishers, streams.count { $0.isPublished }) }

    /// Viewers now, by the same rule.
    public var viewerCount: Int { max(record.load.viewers, streams.reduce(0) { $0 + $1.viewerCount }) }
}

/// All nodes at an instant, sorted by alias.
public struct ClusterView: Sendable, Equatable {
    /// Every node that is configured or was seen, lost ones included, sorted by alias.
    public var nodes: [NodeView]

    /// A view of these nodes.
    public init(nodes: [NodeView] = []) { self.nodes = nodes.sorted { $0.alias < $1.alias } }

    /// A view of nodes that are in order.
    init(sorted nodes: [NodeView]) { self.nodes = nodes }

    /// The node called `alias`.
    public func node(_ alias: String) -> NodeView? {
        var (low, high) = (0, nodes.count)
        while low < high {
            let middle = (low + high) / 2
            if nodes[middle].alias < alias { low = middle + 1 } else { high = middle }
        }
        return low < nodes.count && nodes[low].alias == alias ? nodes[low] : nil
    }

    /// Nodes that answer: running or draining.
    public var reachable: [NodeView] { nodes.filter { $0.status != .lost } }

    /// Aliases of the nodes that answer.
    public var liveAliases: Set<String> { Set(reachable.map(\.alias)) }

    /// The reachable nodes that list a stream; first the one it is published on, then those with a copy, then the rest.
    public func holders(of stream: String) -> [NodeView] {
        let holders = reachable.filter { $0.stream(stream) != nil }
        return StreamPresence.allCases.flatMap { presence in holders.filter { $0.stream(stream)?.presence == presence } }
    }

    /// Adds a publishing session that a node has not told of yet; nothing when there is no such node.
    /// - Parameter upstream: the nodes that the stream comes through; nil: as the node says.
    public mutating func add(_ session: SessionRecord, to stream: String, at alias: String, upstream: [String]? = nil) {
        guard let index = nodes.firstIndex(where: { $0.alias == alias }) else { return }
        var record = nodes[index].stream(stream) ?? StreamRecord(id: stream, createdAt: 0)
        record.publish.sessions.append(session)
        record.upstream = upstream ?? record.upstream
        nodes[index].streams.removeAll { $0.id == stream }
        nodes[index].streams.append(record)
    }
}

extension StreamRecord {
    /// Whether it is live here: a publishing session that was not ended, of a publisher or of another node.
    public var isPublished: Bool { presence != .waiting }

    /// How the stream is on its node.
    public var presence: StreamPresence {
        let sessions = publish.sessions.filter(\.isOpen)
        return sessions.contains { $0.cascade == nil } ? .original : sessions.isEmpty ? .waiting : .copy
    }

    /// Viewers now; just ended sessions stay listed a while and don't count.
    public var viewerCount: Int { subscribe.sessions.count { $0.isOpen } }
}

extension SessionRecord {
    /// Whether the session was neither ended nor given up.
    public var isOpen: Bool { leaveAt == 0 && state != .closed && state != .failed }
}

/// How a stream is on a node, the truest first.
public enum StreamPresence: Sendable, CaseIterable {
    /// Somebody publishes it there.
    case original
    /// It comes from another node.
    case copy
    /// Nothing comes; viewers or a recording may wait.
    case waiting
}
