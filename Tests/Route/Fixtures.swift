import Cluster
import Nodes

func node(
    _ alias: String, status: NodeStatus = .running, cpu: Double = 0, egress: Int64 = 0, publishers: Int = 0,
    viewers: Int = 0, pubMax: Int = 0, subMax: Int = 0, region: String = "", labels: [String: String] = [:],
    streams: [StreamRecord] = [], software: String? = nil, url: String = "http://127.0.0.1:1"
) -> NodeView {
    NodeView(
        record: NodeRecord(
            alias: alias, url: url, region: region, labels: labels, startedAtMs: 1, updatedAtMs: 1,
            load: NodeLoad(cpu: cpu, egressBitsPerSecond: egress, publishers: publishers, viewers: viewers),
            pubMax: pubMax, subMax: subMax),
        status: status, streams: streams, software: software)
}

func stream(
    _ name: String, isPublished: Bool = true, isCopy: Bool = false, from upstream: [String] = [], viewers: Int = 0,
    relays: Int = 0,
    fence: Int64 = 0, source: String? = nil, isRecording: Bool = false
) -> StreamRecord {
    let cascade = isCopy || !upstream.isEmpty || source != nil ? CascadeRecord(sourceURL: source) : nil
    let publisher = SessionRecord(id: "p", createdAt: 1, state: .connected, cascade: cascade)
    return StreamRecord(
        id: name, createdAt: 1, publish: StreamSide(sessions: isPublished ? [publisher] : []),
        subscribe: StreamSide(
            sessions: (0..<viewers).map { SessionRecord(id: "v\($0)", createdAt: 1, state: .connected) }
                + (0..<relays).map { SessionRecord(id: "r\($0)", createdAt: 1, state: .connected, cascade: CascadeRecord()) }),
        recording: isRecording, fence: fence, upstream: upstream)
}
