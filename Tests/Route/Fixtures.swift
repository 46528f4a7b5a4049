import Cluster
import Nodes

func node(
    _ alias: String, status: NodeStatus = .running, cpu: Double = 0, egress: Int64 = 0, publishers: Int = 0,
    viewers: Int = 0, pubMax: Int = 0, subMax: Int = 0, region: String = "", labels: [String: String] = [:],
    streams: [StreamRecord] = []
) -> NodeView {
    NodeView(
        record: NodeRecord(
            alias: alias, url: "http://127.0.0.1:1", region: region, labels: labels, startedAtMs: 1, updatedAtMs: 1,
            load: NodeLoad(cpu: cpu, egressBitsPerSecond: egress, publishers: publishers, viewers: viewers),
            pubMax: pubMax, subMax: subMax),
        status: status, streams: streams)
}

func stream(_ name: String, isPublished: Bool = true, viewers: Int = 0) -> StreamRecord {
    let publisher = SessionRecord(id: "p", createdAt: 1, state: .connected)
    return StreamRecord(
        id: name, createdAt: 1, publish: StreamSide(sessions: isPublished ? [publisher] : []),
        subscribe: StreamSide(
            sessions: (0..<viewers).map { SessionRecord(id: "v\($0)", createdAt: 1, state: .connected) }))
}

/// A small reproducible generator (splitmix64).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
