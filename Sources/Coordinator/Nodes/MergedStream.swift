import Cluster

/// One stream over all nodes that have it: live777's Stream JSON, with the sessions named as in the coordinator's URLs.
public struct MergedStream: Sendable, Equatable, Encodable {
    /// The merged record.
    public var record: StreamRecord
    /// Aliases of the nodes that have it, the publisher's first.
    public var nodes: [String]
    /// Whether all of these nodes are lost; then the record is what was last heard.
    public var isLost: Bool

    private enum CodingKeys: String, CodingKey {
        case nodes
        case isLost = "lost"
    }

    /// The record's own fields with `nodes` and `lost` beside them.
    public func encode(to encoder: any Encoder) throws {
        try record.encode(to: encoder)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(nodes, forKey: .nodes)
        try container.encode(isLost, forKey: .isLost)
    }
}

/// What separates alias and session in the coordinator's session ids; no alias has it.
public enum ClusterSession {
    /// `{alias}~{session}`
    public static func id(alias: String, session: String) -> String { "\(alias)~\(session)" }

    /// Takes such an id apart; nil when there is no alias in it.
    public static func parse(_ id: String) -> (alias: String, session: String)? {
        guard let mark = id.firstIndex(of: "~") else { return nil }
        let alias = String(id[..<mark])
        let session = String(id[id.index(after: mark)...])
        guard NodeAlias.isValid(alias), !session.isEmpty else { return nil }
        return (alias, session)
    }
}

extension ClusterView {
    /// All streams by name. A stream that a reachable node has is shown without what lost nodes last said of it.
    /// - Parameter aliases: only these nodes; empty means all.
    public func mergedStreams(of aliases: Set<String> = []) -> [MergedStream] {
        let shown = nodes.filter { aliases.isEmpty || aliases.contains($0.alias) }
        var holders: [String: [NodeView]] = [:]
        for node in shown { for stream in node.streams { holders[stream.id, default: []].append(node) } }
        return holders.sorted { $0.key < $1.key }.map { name, holders in
            let reachable = holders.filter { $0.status != .lost }
            return Self.merge(name, reachable.isEmpty ? holders : reachable, isLost: reachable.isEmpty)
        }
    }

    private static func merge(_ name: String, _ holders: [NodeView], isLost: Bool) -> MergedStream {
        let parts = holders.compactMap { $0.stream(name) }
        // The origin first: a copy's publisher is another node, and its figures would count the media twice.
        let sorted = StreamPresence.allCases.flatMap { presence in parts.filter { $0.presence == presence } }
        var merged = StreamRecord(id: name, createdAt: parts.map(\.createdAt).min() ?? 0)
        merged.publish = side(sorted, \.publish)
        merged.subscribe = side(sorted, \.subscribe)
        merged.codecs = sorted.first { !$0.codecs.isEmpty }?.codecs ?? []
        merged.provisioned = parts.contains { $0.provisioned }
        merged.onDemand = parts.contains { $0.onDemand }
        merged.recording = !isLost && parts.contains { $0.recording }
        merged.recordingBaseDir = merged.recording ? parts.lazy.compactMap(\.recordingBaseDir).first : nil
        merged.recordingMaxSeconds = merged.recording ? parts.lazy.compactMap(\.recordingMaxSeconds).first : nil
        merged.statsScope = parts.count == 1 ? parts[0].statsScope : "clusterNodeWork"
        merged.node = sorted.first?.node
        merged.stats.publish = sorted.first?.stats.publish ?? TrafficStats()
        for part in parts {
            merged.stats.subscribe.bytes &+= part.stats.subscribe.bytes
            merged.stats.subscribe.packets &+= part.stats.subscribe.packets
            merged.stats.subscribe.bitrate &+= part.stats.subscribe.bitrate
        }
        return MergedStream(record: merged, nodes: sorted.compactMap(\.node), isLost: isLost)
    }

    private static func side(_ parts: [StreamRecord], _ key: KeyPath<StreamRecord, StreamSide>) -> StreamSide {
        let sides = parts.map { $0[keyPath: key] }
        let isSomeoneThere = sides.contains { side in side.leaveAt == 0 && side.sessions.contains { $0.isOpen } }
        let sessions = parts.flatMap { part in
            part[keyPath: key].sessions.map { session in
                var session = session
                session.id = ClusterSession.id(alias: part.node ?? "", session: session.id)
                return session
            }
        }
        return StreamSide(leaveAt: isSomeoneThere ? 0 : sides.map(\.leaveAt).max() ?? 0, sessions: sessions)
    }
}
