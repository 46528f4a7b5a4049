import Cluster
import Nodes
import Testing

@Suite("Merged streams")
struct MergedStreamTests {
    private func session(_ id: String, state: SessionState = .connected, leaveAt: Int64 = 0, from source: String? = nil)
        -> SessionRecord
    {
        SessionRecord(
            id: id, createdAt: 1, leaveAt: leaveAt, state: state, cascade: source.map { CascadeRecord(sourceURL: $0) })
    }

    private func node(_ alias: String, _ streams: [StreamRecord], status: NodeStatus = .running) -> NodeView {
        let marked = streams.map { stream in
            var stream = stream
            stream.node = alias
            return stream
        }
        return NodeView(
            record: NodeRecord(alias: alias, url: "http://x", startedAtMs: 1, updatedAtMs: 1), status: status, streams: marked)
    }

    private func origin() -> StreamRecord {
        StreamRecord(
            id: "demo", createdAt: 20, publish: StreamSide(sessions: [session("pub")]),
            subscribe: StreamSide(leaveAt: 55), codecs: [CodecRecord(kind: "video", codec: "H264")],
            stats: StreamStats(
                publish: TrafficStats(bytes: 100, packets: 10, bitrate: 8), subscribe: TrafficStats(bytes: 7, packets: 1)),
            recording: true)
    }

    private func copy() -> StreamRecord {
        StreamRecord(
            id: "demo", createdAt: 10, publish: StreamSide(sessions: [session("hop", from: "http://a/whep/demo")]),
            subscribe: StreamSide(sessions: [session("v1"), session("v2", state: .closed, leaveAt: 9)]),
            stats: StreamStats(publish: TrafficStats(bytes: 90, packets: 9, bitrate: 7), subscribe: TrafficStats(bytes: 5)))
    }

    @Test("origin and copy become one stream whose sessions carry their node")
    func originAndCopy() throws {
        let view = ClusterView(nodes: [node("a-copy", [copy()]), node("b-origin", [origin()])])
        let merged = try #require(view.mergedStreams().first)
        #expect(view.mergedStreams().count == 1)
        #expect(merged.nodes == ["b-origin", "a-copy"])
        #expect(merged.record.createdAt == 10)
        #expect(merged.record.node == "b-origin")
        #expect(merged.record.codecs.map(\.codec) == ["H264"])
        #expect(merged.record.publish.sessions.map(\.id) == ["b-origin~pub", "a-copy~hop"])
        #expect(merged.record.subscribe.sessions.map(\.id) == ["a-copy~v1", "a-copy~v2"])
        #expect(merged.record.subscribe.leaveAt == 0)
        #expect(merged.record.stats.publish.bytes == 100)
        #expect(merged.record.stats.subscribe.bytes == 12)
        #expect(merged.record.statsScope == "clusterNodeWork")
        #expect(merged.record.recording)
        #expect(!merged.isLost)
    }

    @Test("what a lost node last said does not colour a stream that lives elsewhere")
    func lostHolder() throws {
        let view = ClusterView(nodes: [node("a", [copy()], status: .lost), node("b", [origin()])])
        let merged = try #require(view.mergedStreams().first)
        #expect(merged.nodes == ["b"])
        #expect(merged.record.statsScope == "node")
        #expect(view.mergedStreams(of: ["a"]).first?.isLost == true)
    }

    @Test("the JSON is live777's with nodes and lost beside it")
    func json() throws {
        let view = ClusterView(nodes: [node("a", [origin()])])
        let text = String(decoding: try ClusterJSON.encode(view.mergedStreams()), as: UTF8.self)
        for part in [#""id":"demo""#, #""nodes":["a"]"#, #""lost":false"#, #""recording":true"#, #""a~pub""#] {
            #expect(text.contains(part), "\(part) is missing in \(text)")
        }
    }

    @Test(
        "session ids come apart at the first tilde",
        arguments: [
            ("a~s", "a", "s"), ("a~s~t", "a", "s~t"), ("edge-1.x~_-9", "edge-1.x", "_-9"), ("~s", nil, nil), ("a~", nil, nil),
            ("as", nil, nil), ("", nil, nil), ("../x~s", nil, nil), (".a~s", nil, nil),
        ] as [(String, String?, String?)])
    func sessionIDs(id: String, alias: String?, session: String?) {
        let parsed = ClusterSession.parse(id)
        #expect(parsed?.alias == alias)
        #expect(parsed?.session == session)
        if let parsed { #expect(ClusterSession.id(alias: parsed.alias, session: parsed.session) == id) }
    }
}
