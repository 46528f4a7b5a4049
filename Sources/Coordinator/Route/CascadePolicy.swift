import Cluster
import Nodes

/// A stream to be brought from one node to another.
public struct CascadeMove: Sendable, Hashable {
    /// The stream's name.
    public var stream: String
    /// Alias of the node that is to have it.
    public var onto: String
    /// Alias of the node that has it.
    public var from: String
    /// Whether the node has it from elsewhere already, or had.
    public var isReplacing: Bool
    /// Whether what the node has it from now is lost or leaving; else it may only look so for a moment.
    public var isUrgent: Bool

    /// All fields by name.
    public init(stream: String, onto: String, from: String, isReplacing: Bool = false, isUrgent: Bool = true) {
        (self.stream, self.onto, self.from) = (stream, onto, from)
        (self.isReplacing, self.isUrgent) = (isReplacing, isUrgent)
    }
}

/// How streams are spread over nodes that are not asked by publishers: a tree for each stream, its publisher's node at the root.
extension RoutePolicy {
    /// Copies whose source is lost, leaving or has nothing more, and viewers that wait where nothing comes, each with the best source
    /// there is now. Viewers stay connected meanwhile and go on with what comes.
    public static func moves(in view: ClusterView, depthMax: Int) -> [CascadeMove] {
        view.nodes.filter { $0.status == .running && $0.takesCascades }.flatMap { node in
            node.streams.compactMap { record -> CascadeMove? in
                // Of a hundred thousand streams nearly all are published where they are, which has to cost nothing.
                let newest = record.publish.sessions.last
                let isPlainOriginal = record.upstream.isEmpty && record.publish.leaveAt == 0 && newest != nil
                guard !isPlainOriginal || newest?.cascade != nil, let isUrgent = needsSource(record, in: view),
                    let source = source(of: record.id, for: node.alias, in: view, depthMax: depthMax),
                    isSound(source, record.id, in: view)
                else { return nil }
                return CascadeMove(
                    stream: record.id, onto: node.alias, from: source.alias, isReplacing: true, isUrgent: isUrgent)
            }
        }
    }

    /// Whether a stream of a running node wants for a source, and at once; nil when it has one.
    private static func needsSource(_ record: StreamRecord, in view: ClusterView) -> Bool? {
        switch record.presence {
        case .original: return nil
        case .waiting:
            // Other nodes that pull from here get a source of their own.
            return record.subscribe.sessions.contains { $0.isOpen && $0.cascade == nil } ? true : nil
        case .copy:
            // What comes from outside the cluster is not ours to move.
            guard let parent = parent(of: record, in: view) else { return nil }
            guard parent.status == .running, let known = parent.stream(record.id) else { return parent.status != .running }
            return known.isPublished ? nil : true
        }
    }

    /// The node that a copy comes from. One that runs other software says no alias, and has the address that was asked.
    private static func parent(of record: StreamRecord, in view: ClusterView) -> NodeView? {
        if let known = record.upstream.first.flatMap({ view.node($0) }) { return known }
        guard let url = record.publish.sessions.last(where: \.isOpen)?.cascade?.sourceURL else { return nil }
        return view.nodes.first { url == "\($0.record.url)/whep/\(record.id)" }
    }

    /// Where to take a stream for a node from: the publisher's node, then the copy with the fewest nodes before it. A node that is
    /// leaving, or has the stream from one, comes last.
    static func source(
        of stream: String, for target: String, in view: ClusterView, excluding: Set<String> = [], depthMax: Int
    ) -> NodeView? {
        let holders = view.reachable.filter { node in
            guard node.alias != target, !excluding.contains(node.alias), let record = node.stream(stream) else { return false }
            return record.isPublished && !record.upstream.contains(target) && record.depth < depthMax
        }
        func rank(_ node: NodeView) -> (Int, Int, Int64, Int) {
            let depth = node.stream(stream)?.depth ?? 0
            return (isSound(node, stream, in: view) ? 0 : 1, depth, -node.fence(of: stream), node.viewerCount)
        }
        return holders.min { rank($0) < rank($1) }
    }

    /// Whether a node has a stream and will have it: no node on its way is lost or leaving, and the publisher is where it begins.
    public static func isSound(_ node: NodeView, _ stream: String, in view: ClusterView) -> Bool {
        guard node.status == .running, let record = node.stream(stream), record.isPublished else { return false }
        // Nodes that we don't know are another cluster's, whose word has to do.
        var way = record.upstream.compactMap { view.node($0) }
        if let first = (way.last ?? node).stream(stream), first.upstream.isEmpty, let origin = parent(of: first, in: view) {
            way.append(origin)
        }
        guard way.allSatisfy({ $0.status == .running && $0.stream(stream)?.isPublished == true }) else { return false }
        guard let root = (way.last ?? node).stream(stream) else { return false }
        return root.presence == .original || parent(of: root, in: view) == nil
    }

    /// The node that is to take new viewers of a stream that it doesn't have, and where it gets it from.
    static func cascade(
        _ stream: String, in view: ClusterView, preference: RoutePreference, pending: [String: Int], excluding: Set<String>,
        busy: Set<String>, depthMax: Int, turn: Int
    ) -> CascadeMove? {
        let free = view.nodes.filter { node in
            node.status == .running && node.takesCascades && preference.allows(node) && !excluding.contains(node.alias)
                && !busy.contains(node.alias)
                && node.stream(stream)?.isPublished != true && node.hasRoomForViewer(pending: pending)
                && node.hasRoomForPublisher(pending: [:])
        }
        guard !free.isEmpty else { return nil }
        let target = leastLoaded(preference.best(of: free), pending: pending, turn: turn)
        let source = source(of: stream, for: target.alias, in: view, excluding: excluding, depthMax: depthMax)
        return source.map { CascadeMove(stream: stream, onto: target.alias, from: $0.alias) }
    }
}

extension StreamRecord {
    /// Nodes that the stream goes through before this one.
    var depth: Int { presence == .copy ? max(1, upstream.count) : 0 }
}

extension NodeView {
    /// Only an edge-node lets go a stream that nobody watches any more, and tells where it comes from.
    var takesCascades: Bool { software == nil }

    func hasRoomForViewer(pending: [String: Int]) -> Bool {
        record.subMax <= 0 || viewerCount + (pending[alias] ?? 0) < record.subMax
    }

    func hasRoomForPublisher(pending: [String: Int]) -> Bool {
        record.pubMax <= 0 || publisherCount + (pending[alias] ?? 0) < record.pubMax
    }
}
