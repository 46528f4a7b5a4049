import Cluster
import EdgeFixtures
import Foundation
import HTTP
import Nodes
import Testing

@testable import CoordinatorServe

@Suite("What a coordinator has nodes do: cascades, another source, drain")
struct CascadeOrderTests {
    /// An order as the node gets it.
    private struct Order: Decodable, Equatable {
        var sourceUrl: String?
        var targetUrl: String?
        var token: String?
        var idleSeconds: Int
        var replace: Bool
    }

    private static func orders(_ edge: TestEdge) throws -> [Order] {
        try edge.seen("/api/cascade/demo").map { try JSONDecoder().decode(Order.self, from: Data($0.body)) }
    }

    /// The first has the stream and no room, the others have room.
    private static func edges(_ count: Int = 2, token: Bool = true) throws -> [TestEdge] {
        let edges = try (1...count).map { number in
            try TestEdge("edge-\(number)", token: token ? "token-\(number)" : nil, subMax: number == 1 ? 1 : 0)
        }
        edges[0].setStreams([TestRecords.stream("demo", viewers: 1)])
        return edges
    }

    private static func showsStream(_ bench: Bench) async throws {
        try await eventually("the stream shows") { try await bench.get("/api/streams").text.contains("demo") }
    }

    @Test("a viewer of a full node: who connects shows the other's token", arguments: ["pull", "push"])
    func orders(mode: String) async throws {
        let edges = try Self.edges()
        try await Bench.run(edges, extra: "cascade.mode = \"\(mode)\"\ncascade.idle_seconds = 7") { bench in
            try await Self.showsStream(bench)
            let answer = try await bench.offer("/whep/demo")
            #expect(answer.headers["Location"]?.contains("/edge-2~") == true, "\(answer.text)")
            let asked = mode == "pull" ? edges[1] : edges[0]
            let expected =
                mode == "pull"
                ? Order(sourceUrl: "\(edges[0].url)/whep/demo", token: "Bearer token-1", idleSeconds: 7, replace: false)
                : Order(targetUrl: "\(edges[1].url)/whip/demo", token: "Bearer token-2", idleSeconds: 7, replace: false)
            #expect(try Self.orders(asked) == [expected])
            #expect(asked.seen("/api/cascade/demo").allSatisfy { $0.headers["Authorization"] == "Bearer \(asked.token ?? "")" })
            #expect(try await bench.get("/metrics").text.contains("cascades_total{result=\"started\"} 1"))
        }
    }

    @Test("a node that can't get the stream is passed over once; then the viewer hears why")
    func failures() async throws {
        let edges = try Self.edges(4)
        try await Bench.run(edges) { bench in
            try await Self.showsStream(bench)
            for edge in edges[1...] { edge.setCascadeStatus(.badGateway) }
            let refused = try await bench.offer("/whep/demo")
            #expect(refused.status == 503 && refused.headers["Retry-After"] != nil && refused.text.contains("502"))
            #expect(try edges[1...].map { try Self.orders($0).count }.reduce(0, +) == 2)
        }
    }

    @Test("a node that has got the stream meanwhile by somebody else's order takes the viewer")
    func alreadyThere() async throws {
        let edges = try Self.edges()
        edges[1].setCascadeStatus(.conflict)
        try await Bench.run(edges) { bench in
            try await Self.showsStream(bench)
            #expect(try await bench.offer("/whep/demo").headers["Location"]?.contains("/edge-2~") == true)
        }
    }

    @Test("a node that says itself that the stream has enough viewers there is full; where we are nobody, it may mean the client")
    func streamLimit() async throws {
        for token in [true, false] {
            let edges = try Self.edges(token: token)
            edges[0].setStreams([TestRecords.stream("demo")])
            edges[0].setAnswer(.forbidden)
            try await Bench.run(edges) { bench in
                try await Self.showsStream(bench)
                let answer = try await bench.offer("/whep/demo")
                #expect(answer.status == (token ? 201 : 403))
                #expect(try Self.orders(edges[1]).count == (token ? 1 : 0))
            }
        }
    }

    @Test("a stream that has just gone from a node may still be on another")
    func justGone() async throws {
        let edges = [try TestEdge("edge-1"), try TestEdge("edge-2")]
        edges[0].setAnswer(.notFound)
        for edge in edges { edge.setStreams([TestRecords.stream("demo")]) }
        try await Bench.run(edges) { bench in
            try await Self.showsStream(bench)
            for _ in 0..<4 {
                let answer = try await bench.offer("/whep/demo")
                #expect(answer.headers["Location"]?.contains("/edge-2~") == true)
            }
            edges[1].setAnswer(.notFound)
            #expect(try await bench.offer("/whep/demo").status == 404)
        }
    }

    @Test("a copy whose source is lost gets it from where the publisher is now")
    func anotherSource() async throws {
        let edges = try (1...3).map { try TestEdge("edge-\($0)", token: "token-\($0)") }
        edges[0].setStreams([TestRecords.stream("demo")])
        edges[1].setStreams([TestRecords.stream("demo", isCopy: true, upstream: ["edge-1"], viewers: 1)])
        try await Bench.run(edges) { bench in
            try await Self.showsStream(bench)
            #expect(try Self.orders(edges[1]).isEmpty)
            await edges[0].stop()
            edges[2].setStreams([TestRecords.stream("demo")])
            try await eventually("it is told so") { try !Self.orders(edges[1]).isEmpty }
            let expected = Order(sourceUrl: "\(edges[2].url)/whep/demo", token: "Bearer token-3", idleSeconds: 60, replace: true)
            #expect(try Self.orders(edges[1]).first == expected)
        }
    }

    @Test("a publisher that has to go to a copy's node finds the copy ended, if nothing comes to it any more")
    func makesWay() async throws {
        for isSound in [false, true] {
            let edges = [try TestEdge("edge-1"), try TestEdge("edge-2")]
            if isSound { edges[0].setStreams([TestRecords.stream("demo")]) }
            edges[1].setStreams([TestRecords.stream("demo", isCopy: true, upstream: ["edge-1"])])
            try await Bench.run(edges) { bench in
                try await Self.showsStream(bench)
                #expect(try await bench.offer("/api/whip/edge-2/demo").status == 201)
                let asked = edges[1].seen.filter { $0.path.contains("demo") && $0.method != "GET" }.map {
                    "\($0.method) \($0.path)"
                }
                #expect(asked == (isSound ? [] : ["DELETE /session/demo/p"]) + ["POST /whip/demo"])
            }
        }
    }

    @Test("a drained node is told, also after it was started again, and told when it is taken back")
    func drain() async throws {
        let edge = try TestEdge("edge-1", token: "token")
        try await Bench.run([edge]) { bench in
            func asked() -> [String] { edge.seen("/api/drain").map { "\($0.method) \($0.headers["Authorization"] ?? "")" } }
            _ = try await bench.send(.post, "/api/nodes/edge-1/drain")
            try await eventually("told") { asked() == ["POST Bearer token"] }
            edge.restart()
            try await eventually("told again") { asked().count == 2 }
            edge.setStatus(.draining, drained: true)
            try await eventually("empty") { try await bench.get("/api/nodes").text.contains("\"drained\":true") }
            _ = try await bench.send(.post, "/api/nodes/edge-1/undrain")
            #expect(asked().last == "DELETE Bearer token")
            try await eventually("in service") { try await bench.get("/api/nodes").text.contains("\"status\":\"running\"") }
            await edge.stop()
            #expect(try await bench.send(.post, "/api/nodes/edge-1/undrain").status == 503)
        }
    }

    @Test("a drain and its end are known to every coordinator by the node's own word, and none undoes what another was told")
    func drainOfOthers() async throws {
        let edge = try TestEdge("edge-1")
        let other = try await Bench([edge])
        try await Bench.run([edge]) { bench in
            func status(_ bench: Bench, _ status: String) async throws {
                try await eventually(status) { try await bench.get("/api/nodes").text.contains("\"status\":\"\(status)\"") }
            }
            func orders() -> [String] { edge.seen("/api/drain").map(\.method) }
            try await status(other, "running")
            _ = try await bench.send(.post, "/api/nodes/edge-1/drain")
            try await status(other, "draining")
            // Whoever has heard of it sees to it, also when the one that was asked is gone.
            await bench.coordinator.stop()
            edge.restart()
            try await eventually("told again") { orders() == ["POST", "POST"] }
            try await status(other, "draining")
            #expect(try await other.send(.post, "/api/nodes/edge-1/undrain").status == 200)
            try await status(other, "running")
            #expect(orders() == ["POST", "POST", "DELETE"])
        }
        await other.coordinator.stop()
        await other.client.shutdown()
    }

    @Test(
        "a recording of a node that died, or is drained, is asked for where the publisher is: once, and in the directory it was asked for with",
        arguments: zip([NodeStatus.lost, .draining], [nil, "shows/%Y/%m/%d"]))
    func handover(of status: NodeStatus, baseDir: String?) async throws {
        let edges = [try TestEdge("edge-1"), try TestEdge("edge-2")]
        edges[0].setStreams([
            TestRecords.stream("demo", isRecording: true, recordingBaseDir: baseDir),
            TestRecords.stream("auto", isRecording: true),
        ])
        let rules = "[auto_record]\nenabled = true\nauto_streams = [\"auto\"]\ntick_ms = 3600000"
        try await Bench.run(edges, extra: rules) { bench in
            try await Self.showsStream(bench)
            if status == .lost { await edges[0].stop() } else { edges[0].setStatus(status, drained: false) }
            try await eventually("it is leaving") { try await bench.get("/api/nodes").text.contains("\"\(status.rawValue)\"") }
            edges[1].setStreams([TestRecords.stream("demo"), TestRecords.stream("auto")])
            try await eventually("asked for") { !edges[1].seen("/api/record/demo").isEmpty }
            edges[1].setStreams([TestRecords.stream("demo", isRecording: true)])
            try await eventually("shown") { try await bench.get("/api/streams/demo").text.contains("\"recording\":true") }
            edges[1].setStreams([TestRecords.stream("demo")])
            try await eventually("stopped") {
                !(try await bench.get("/api/streams?node=edge-2").text.contains("\"recording\":true"))
            }
            let orders = edges[1].seen("/api/record/demo").map { "\($0.method) \(String(decoding: $0.body, as: UTF8.self))" }
            #expect(orders == ["POST " + (baseDir.map { "{\"base_dir\":\"\($0)\"}" } ?? "{}")])
            #expect(edges[1].seen("/api/record/auto").isEmpty)
        }
    }

    /// What a coordinator does that sees two nodes in these states, the last of them again and again.
    private func handover(
        _ looks: [(status: NodeStatus, first: StreamRecord, second: StreamRecord)], isRestarted: Bool = false,
        until isDone: (_ edges: [TestEdge]) -> Bool
    ) async throws {
        let edges = [try TestEdge("edge-1"), try TestEdge("edge-2")]
        let client = HTTPClient()
        let handover = RecordingHandover(caller: NodeCaller(client: client, bodyBytesMax: 1 << 20), graceNs: 0) { _ in false }
        func node(_ edge: TestEdge, _ status: NodeStatus, _ stream: StreamRecord, start: Int = 0) -> NodeView {
            let record = NodeRecord(alias: edge.alias, url: edge.url, startedAtMs: 1 + Int64(start), updatedAtMs: 1)
            return NodeView(record: record, status: status, streams: [stream])
        }
        let views = looks.enumerated().map { number, look in
            let first = node(edges[0], look.status, look.first, start: isRestarted ? number : 0)
            return ClusterView(nodes: [first, node(edges[1], .running, look.second)])
        }
        for view in views.dropLast() { await handover.look(view) }
        let last = try #require(views.last)
        try await eventually("handed over") {
            await handover.look(last)
            return isDone(edges)
        }
        await client.shutdown()
        for edge in edges { await edge.stop() }
    }

    private static func orders(to edge: TestEdge) -> [String] {
        edge.seen("/api/record/demo").map { "\($0.method) \(String(decoding: $0.body, as: UTF8.self))" }
    }

    @Test("a drained node may have ended its recording before anybody sees it leave")
    func handoverOfEnded() async throws {
        let recorded = TestRecords.stream("demo", isRecording: true, recordingBaseDir: "shows", recordingMaxSeconds: 600)
        let gone = TestRecords.stream("demo", isPublished: false)
        try await handover([(.running, recorded, gone), (.draining, gone, TestRecords.stream("demo"))]) { edges in
            Self.orders(to: edges[1]) == [#"POST {"base_dir":"shows","max_recording_seconds":600}"#]
        }
        // Another limit was asked for while it went on.
        var again = recorded
        again.recordingMaxSeconds = 1200
        let looks: [(NodeStatus, StreamRecord, StreamRecord)] = [
            (.running, recorded, gone), (.running, again, gone), (.draining, gone, TestRecords.stream("demo")),
        ]
        try await handover(looks) { edges in
            Self.orders(to: edges[1]) == [#"POST {"base_dir":"shows","max_recording_seconds":1200}"#]
        }
    }

    @Test("a node that was started again too soon to be missed goes on with the recording, wherever its publisher comes")
    func handoverOfRestarted() async throws {
        let recorded = TestRecords.stream("demo", isRecording: true, recordingBaseDir: "shows")
        let (here, gone) = (TestRecords.stream("demo"), TestRecords.stream("demo", isPublished: false))
        for isBack in [true, false] {
            let looks: [(NodeStatus, StreamRecord, StreamRecord)] = [
                (.running, recorded, gone), (.running, isBack ? here : gone, isBack ? gone : here),
            ]
            try await handover(looks, isRestarted: true) { edges in
                Self.orders(to: edges[isBack ? 0 : 1]) == [#"POST {"base_dir":"shows"}"#]
            }
        }
    }

    @Test("a recording goes on where its publisher came back, and the node that waits for him ends what it has")
    func handoverOfWaiting() async throws {
        let waiting = TestRecords.stream("demo", isPublished: false, isRecording: true, recordingBaseDir: "shows")
        try await handover([(.running, waiting, TestRecords.stream("demo"))]) { edges in
            Self.orders(to: edges[1]) == [#"POST {"base_dir":"shows"}"#] && Self.orders(to: edges[0]) == ["DELETE "]
        }
        // Another coordinator was faster, and the process that had it is no more: what was started again is left alone.
        let recorded = TestRecords.stream("demo", isRecording: true)
        let looks: [(NodeStatus, StreamRecord, StreamRecord)] = [
            (.running, recorded, TestRecords.stream("gone")), (.running, recorded, TestRecords.stream("gone")),
        ]
        var count = 0
        try await handover(looks, isRestarted: true) { edges in
            count += 1
            #expect(Self.orders(to: edges[0]).isEmpty)
            return count > 10
        }
        // Recorded there anyhow, by that node's own rules.
        try await handover([(.running, waiting, TestRecords.stream("demo", isRecording: true))]) { edges in
            Self.orders(to: edges[1]).isEmpty && Self.orders(to: edges[0]) == ["DELETE "]
        }
    }
}
