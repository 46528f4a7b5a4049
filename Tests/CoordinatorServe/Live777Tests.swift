import EdgeFixtures
import Foundation
import HTTP
import Testing

@testable import CoordinatorServe

@Suite("live777 as a node, by its HTTP API", .timeLimit(.minutes(5)))
struct Live777Tests {
    private static let token = "a-live777-token"

    /// A coordinator before a live777 node called `foreign`, which runs by then.
    private func before(
        _ node: Live777Node, _ edges: [TestEdge] = [], settings: String = "", _ body: (Bench) async throws -> Void
    ) async throws {
        let nodes = settings + "[[nodes]]\nalias = \"foreign\"\nurl = \"\(node.url)\"\ntoken = \"\(Self.token)\""
        try await Bench.run(edges, extra: nodes, foreign: 1, body)
        await node.stop()
    }

    private func json(_ answer: Answer) throws -> Any { try JSONSerialization.jsonObject(with: Data(answer.body)) }

    @Test(
        "its streams show, by their names and by node, with what it says of itself; one with a name we don't take hides no other")
    func views() async throws {
        let node = try Live777Node(token: Self.token)
        node.publish("théâtre/1")
        node.publish("demo")
        try await before(node) { bench in
            try await eventually("the stream shows") { try await bench.get("/api/streams/").text.contains("\"demo\"") }
            let nodes = try #require(try json(await bench.get("/api/nodes/")) as? [[String: Any]])
            #expect(nodes.first?["software"] as? String == "live777 0.9.0")
            let load = try #require(nodes.first?["load"] as? [String: Any])
            #expect(load["publishers"] as? Int == 1)
            #expect(load["ingressBitsPerSecond"] as? Int == 1_000_000)
            let byNode = try #require(try json(await bench.get("/api/streams/demo")) as? [String: [String: Any]])
            let stream = try #require(byNode["foreign"])
            #expect(stream["id"] as? String == "demo")
            let publish = try #require(stream["publish"] as? [String: Any])
            #expect((publish["sessions"] as? [[String: Any]])?.first?["state"] as? String == "connected")
            #expect(try await bench.get("/api/streams/nobody").status == 404)
        }
    }

    @Test("it says nothing while nothing happens, and is running all the same; stuck, it is lost, and comes back")
    func liveness() async throws {
        let node = try Live777Node(token: Self.token)
        try await before(node) { bench in
            // Longer than an edge may be silent.
            for _ in 0..<20 {
                try await Task.sleep(for: .milliseconds(250))
                #expect(try await bench.get("/api/nodes").text.contains("\"status\":\"running\""))
            }
            node.setStuck(true)
            try await eventually("it is lost") { try await bench.get("/api/nodes").text.contains("\"status\":\"lost\"") }
            node.setStuck(false)
            try await eventually("it is back") { try await bench.get("/api/nodes").text.contains("\"status\":\"running\"") }
        }
    }

    @Test("WHIP, trickle, WHEP and the ends of both go through, with addresses that lead here")
    func sessions() async throws {
        let node = try Live777Node(token: Self.token)
        try await before(node) { bench in
            let offer: HTTPHeaders = ["Content-Type": "application/sdp; charset=utf-8"]
            let published = try await bench.send(.post, "/whip/demo", offer, body: "v=0 offer")
            #expect(published.status == 201)
            let publisher = try #require(published.headers["Location"])
            #expect(publisher.hasPrefix("/session/demo/foreign~"))
            #expect(published.headers.all("Link") == ["<stun:stun.l.google.com:19302>; rel=\"ice-server\""])
            #expect(node.seen.last?.contentType == "application/sdp")
            let fragment: HTTPHeaders = ["Content-Type": "application/trickle-ice-sdpfrag;charset=utf-8"]
            #expect(try await bench.send(.patch, publisher, fragment, body: "a=ice-ufrag:x\r\n").status == 204)
            let second = try await bench.send(.post, "/whip/demo", offer, body: "v=0 offer")
            #expect(second.status == 409)
            #expect(second.text == "{\"error\":\"A connection has already been established\"}")
            #expect(second.headers["Content-Type"] == "application/json")
            try await eventually("the stream shows") { try await bench.get("/api/streams").text.contains("\"demo\"") }
            let watched = try await bench.offer("/whep/demo")
            let viewer = try #require(watched.headers["Location"])
            try await eventually("both show") {
                let streams = try await bench.get("/api/streams").text
                return streams.contains(publisher.dropFirst("/session/demo/".count))
                    && streams.contains(viewer.dropFirst("/session/demo/".count))
            }
            #expect(try await bench.send(.delete, viewer).status == 204)
            #expect(try await bench.send(.delete, publisher).status == 204)
            try await eventually("the stream is gone") { try await bench.get("/api/streams").text == "[]" }
            #expect(try await bench.offer("/whep/demo").status == 404)
        }
    }

    @Test("it knows no grants, so that in redirect mode its sessions come through here")
    func redirectMode() async throws {
        let node = try Live777Node(token: Self.token)
        try await before(node, settings: "routing.mode = \"redirect\"\n") { bench in
            let published = try await bench.offer("/whip/demo")
            let watched = try await bench.offer("/api/whep/foreign/demo")
            #expect(published.status == 201 && watched.status == 201)
            // Once the stream is there, it is asked whether it is recorded, too.
            #expect(node.seen.map(\.path).filter { $0.hasPrefix("/wh") } == ["/whip/demo", "/whep/demo"])
        }
    }

    @Test("a recording is started, seen, and stopped; none of its requests lacks what live777 insists on")
    func records() async throws {
        let node = try Live777Node(token: Self.token)
        node.publish("demo")
        try await before(node) { bench in
            try await eventually("the stream shows") { try await bench.get("/api/streams").text.contains("\"demo\"") }
            let started = try await bench.send(.post, "/api/record/demo")
            #expect(started.status == 200)
            #expect(started.headers["Content-Type"] == "application/json")
            #expect(started.text.contains("demo/1795168800/manifest.mpd"))
            #expect(try await bench.get("/api/record/demo").text == "{\"recording\":true}")
            try await eventually("the view knows") { try await bench.get("/api/streams").text.contains("\"recording\":true") }
            #expect(try await bench.send(.delete, "/api/record/demo").status == 200)
            #expect(try await bench.get("/api/record/demo").text == "{\"recording\":false}")
            try await eventually("the view knows that, too") {
                try await !bench.get("/api/streams").text.contains("\"recording\":true")
            }
        }
    }

    @Test("one built without recorder says so in JSON, and is not asked for ever")
    func withoutRecorder() async throws {
        let node = try Live777Node(token: Self.token, hasRecorder: false)
        node.publish("demo")
        try await before(node) { bench in
            try await eventually("it was asked once") { node.seen.contains { $0.path == "/api/record/demo" } }
            let asked = node.seen.count
            try await Task.sleep(for: .seconds(4))
            #expect(node.seen.count == asked)
            let answer = try await bench.send(.post, "/api/record/demo")
            #expect(answer.status == 501)
            #expect(answer.text == "{\"error\":\"recorder feature not enabled\"}")
        }
    }

    @Test("streams are created, and ended with all who are in them; publishers spread over it and an edge")
    func administers() async throws {
        let node = try Live777Node(token: Self.token)
        let edge = try TestEdge("edge-1")
        try await before(node, [edge]) { bench in
            #expect(try await bench.send(.post, "/api/streams/talk?node=foreign").status == 204)
            try await eventually("it shows") { try await bench.get("/api/streams").text.contains("\"talk\"") }
            #expect(try await bench.send(.post, "/api/streams/talk").status == 409)
            #expect(try await bench.send(.delete, "/api/streams/talk").status == 204)
            #expect(node.seen.map(\.path).contains("/api/streams/talk"))
            for number in 0..<6 { #expect(try await bench.offer("/whip/s\(number)").status == 201) }
            #expect(node.seen.contains { $0.path.hasPrefix("/whip/") })
            #expect(edge.seen.contains { $0.path.hasPrefix("/whip/") })
        }
    }

    @Test("when it dies, an edge that has a stream from it gets it from another holder, and is left alone where there is none")
    func dies() async throws {
        let node = try Live777Node(token: Self.token)
        for stream in ["demo", "only"] { node.publish(stream) }
        let edges = [try TestEdge("edge-1"), try TestEdge("edge-2")]
        // An edge tells nothing of a way, since live777 told it of none.
        edges[0].setStreams(
            ["demo", "only"].map {
                TestRecords.stream($0, isCopy: true, viewers: 1, sourceURL: "\(node.url)/whep/\($0)")
            })
        try await before(node, edges) { bench in
            try await eventually("both show") {
                try await bench.get("/api/streams").text.occurrences(of: "\"foreign\",\"edge-1\"") == 2
            }
            #expect(edges[0].seen("/api/cascade/demo").isEmpty)
            await node.stop()
            edges[1].setStreams([TestRecords.stream("demo")])
            try await eventually("another source") { !edges[0].seen("/api/cascade/demo").isEmpty }
            let order = String(decoding: edges[0].seen("/api/cascade/demo")[0].body, as: UTF8.self)
            #expect(order.contains("\(edges[1].url)/whep/demo") && order.contains("\"replace\":true"))
            #expect(edges[0].seen("/api/cascade/only").isEmpty)
        }
    }

    @Test("a stream that has to get from it to an edge is pulled, whatever the mode, for it never lets go what it pushes")
    func pulledFrom() async throws {
        let node = try Live777Node(token: Self.token)
        node.publish("demo")
        let edge = try TestEdge("edge-1", region: "here")
        let settings = "cascade.mode = \"push\"\nrouting.policy = \"nearest\"\n"
        try await before(node, [edge], settings: settings) { bench in
            try await eventually("it shows") { try await bench.get("/api/streams").text.contains("\"demo\"") }
            #expect(try await bench.offer("/whep/demo?region=here").headers["Location"]?.contains("/edge-1~") == true)
            let order = try #require(edge.seen("/api/cascade/demo").first)
            #expect(String(decoding: order.body, as: UTF8.self).contains("\"sourceUrl\":\"\(node.url)/whep/demo\""))
            #expect(!node.seen.contains { $0.path.contains("cascade") })
        }
    }
}
