import Cluster
import Nodes

/// What a client asked for beyond the stream's name.
public struct RoutePreference: Sendable, Equatable {
    /// Only these nodes may serve it (`?node=`, `?nodes=`); empty means any.
    public var nodes: Set<String>
    /// A node in this region is better than one elsewhere.
    public var region: String?
    /// A node with all of these labels is better than one without.
    public var labels: [String: String]

    /// No preference unless given.
    public init(nodes: Set<String> = [], region: String? = nil, labels: [String: String] = [:]) {
        self.nodes = nodes
        self.region = region
        self.labels = labels
    }
}

/// Where a request goes.
public enum RouteDecision: Sendable, Equatable {
    /// To the node of this alias.
    case node(String)
    /// To the node `onto`, once it has the stream from the node `from`.
    case cascade(onto: String, from: String)
    /// No node has the stream (404).
    case noSuchStream
    /// The nodes that could take it have no room (503, retry later).
    case full
    /// No node that may be used is up (503, retry later).
    case noNode
}

/// Picks nodes by what they say of themselves. Pure: the same arguments give the same answer, and a tie is broken by
/// `turn`, which the caller counts up.
public enum RoutePolicy {
    /// The node for a new publisher of `stream`.
    ///
    /// A stream that is already published goes to the node that has it, which answers 409 or takes the publisher
    /// over; everything else goes to the least loaded node with room.
    /// - Parameters:
    ///   - pending: sessions sent to a node that its record can't show yet, by alias.
    ///   - excluding: nodes that have just failed to answer.
    public static func publish(
        _ stream: String, in view: ClusterView, preference: RoutePreference = RoutePreference(),
        pending: [String: Int] = [:], excluding: Set<String> = [], turn: Int = 0
    ) -> RouteDecision {
        let reachable = view.reachable.filter { !excluding.contains($0.alias) }
        let owners = reachable.filter { $0.stream(stream)?.presence == .original }
        if let owner = owners.max(by: { $0.fence(of: stream) < $1.fence(of: stream) }) { return .node(owner.alias) }
        let running = reachable.filter { $0.status == .running && preference.allows($0) }
        // Where a copy still comes in, its source is the publisher; it would be 409 there.
        let free = running.filter { $0.stream(stream)?.presence != .copy }
        let allowed = free.isEmpty ? running : free
        guard !allowed.isEmpty else { return .noNode }
        let roomy = allowed.filter { $0.hasRoomForPublisher(pending: pending) }
        guard !roomy.isEmpty else { return .full }
        // Viewers, or a recording, may wait on a node for a publisher to come back: that is where it belongs.
        let waiting = roomy.compactMap { node in node.stream(stream).map { (alias: node.alias, record: $0) } }
            .filter { !$0.record.isPublished }
        if let place = waiting.first(where: \.record.recording) ?? waiting.first(where: { $0.record.viewerCount > 0 }) {
            return .node(place.alias)
        }
        return .node(leastLoaded(preference.best(of: roomy), pending: pending, turn: turn).alias)
    }

    /// The node for a new viewer of `stream`: one that has it live and has room. Where there is none, or none in the wished region, the
    /// stream is brought to a node that has. A draining node is used only when nothing else is left. A stream that nobody shows is asked for
    /// at the nodes that the client names, if it names any.
    ///
    /// - Parameters:
    ///   - busy: nodes that have just said that they take no more; the stream may still be taken from them.
    ///   - depthMax: nodes that a stream may go through after the publisher's; 0 for no cascades.
    public static func watch(
        _ stream: String, in view: ClusterView, preference: RoutePreference = RoutePreference(),
        pending: [String: Int] = [:], excluding: Set<String> = [], busy: Set<String> = [], depthMax: Int = 4, turn: Int = 0
    ) -> RouteDecision {
        let holders = view.holders(of: stream)
        let live = holders.filter { $0.stream(stream)?.isPublished == true }
        let candidates = (live.isEmpty ? holders : live).filter { preference.allows($0) }
        guard !candidates.isEmpty || !live.isEmpty else {
            return named(in: view, preference, pending: pending, excluding: excluding.union(busy), turn: turn)
        }
        let answering = candidates.filter { !excluding.contains($0.alias) && !busy.contains($0.alias) }
        let roomy = answering.filter { $0.hasRoomForViewer(pending: pending) }
        let running = roomy.filter { $0.status == .running }
        if !live.isEmpty, running.isEmpty || !preference.isNear(running),
            let move = cascade(
                stream, in: view, preference: preference, pending: pending, excluding: excluding, busy: busy, depthMax: depthMax,
                turn: turn),
            running.isEmpty || preference.isNear([view.node(move.onto)])
        {
            return .cascade(onto: move.onto, from: move.from)
        }
        let usable = running.isEmpty ? roomy : running
        guard usable.isEmpty else {
            return .node(leastLoaded(preference.best(of: usable), pending: pending, turn: turn).alias)
        }
        let isAnyUp = !answering.isEmpty || candidates.contains { busy.contains($0.alias) } || candidates.isEmpty
        return isAnyUp ? .full : .noNode
    }

    /// Who names nodes may know of a stream that no record shows yet: one of them is asked, which says itself if it hasn't got it.
    private static func named(
        in view: ClusterView, _ preference: RoutePreference, pending: [String: Int], excluding: Set<String>, turn: Int
    ) -> RouteDecision {
        guard !preference.nodes.isEmpty else { return .noSuchStream }
        // Other software may make the stream instead of saying so.
        let running = view.nodes.filter {
            $0.status == .running && $0.software == nil && preference.allows($0) && !excluding.contains($0.alias)
        }
        guard !running.isEmpty else { return .noSuchStream }
        return .node(leastLoaded(preference.best(of: running), pending: pending, turn: turn).alias)
    }

    /// How busy a node is, about 1 when one of its limits is reached.
    ///
    /// The worst of CPU, link (taken as 1 Gbit/s) and session limits decides, for any of them alone makes a node
    /// unfit; sessions add a little, so that idle nodes fill evenly and a burst spreads before any load shows.
    static func cost(_ node: NodeView, pending: Int) -> Double {
        let load = node.record.load
        let publishers = Double(max(0, node.publisherCount) + pending)
        let viewers = Double(max(0, node.viewerCount))
        let link = Double(max(load.egressBitsPerSecond, load.ingressBitsPerSecond, 0)) / 1e9
        let publisherShare = node.record.pubMax > 0 ? publishers / Double(node.record.pubMax) : 0
        let viewerShare = node.record.subMax > 0 ? viewers / Double(node.record.subMax) : 0
        return max(load.cpu, link, publisherShare, viewerShare) + 0.01 * publishers + 0.001 * viewers
    }

    static func leastLoaded(_ nodes: [NodeView], pending: [String: Int], turn: Int) -> NodeView {
        let costs = nodes.map { cost($0, pending: pending[$0.alias] ?? 0) }
        let least = costs.min() ?? 0
        // Within a hundredth, the difference is measurement noise; the session count is not.
        let near = zip(nodes, costs).filter { $0.1 <= least + 0.01 }.map(\.0)
        func sessions(_ node: NodeView) -> Int {
            node.record.load.publishers + node.viewerCount + (pending[node.alias] ?? 0)
        }
        let fewest = near.map(sessions).min() ?? 0
        let tied = near.filter { sessions($0) == fewest }
        let start = turn % tied.count
        return tied[start < 0 ? start + tied.count : start]
    }
}

extension RoutePreference {
    func allows(_ node: NodeView) -> Bool { nodes.isEmpty || nodes.contains(node.alias) }

    /// Whether one of these nodes is in the region asked for; true when none is.
    func isNear(_ candidates: [NodeView?]) -> Bool {
        guard let region else { return true }
        return candidates.contains { $0?.record.region == region }
    }

    /// The nodes that meet most of the wishes; all of them when none does.
    func best(of candidates: [NodeView]) -> [NodeView] {
        var left = candidates
        if let region {
            let near = left.filter { $0.record.region == region }
            if !near.isEmpty { left = near }
        }
        if !labels.isEmpty {
            let labelled = left.filter { node in labels.allSatisfy { node.record.labels[$0.key] == $0.value } }
            if !labelled.isEmpty { left = labelled }
        }
        return left
    }
}
