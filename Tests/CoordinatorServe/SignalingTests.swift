import Auth
import Cluster
import EdgeFixtures
import Foundation
import HTTP
import Testing

@testable import CoordinatorServe

@Suite("WHIP, WHEP and sessions through the coordinator (RFC 9725)", .timeLimit(.minutes(5)))
struct SignalingTests {
    @Test("an offer reaches the node as it was, and the answer leads back here")
    func proxies() async throws {
        let edge = try TestEdge("edge-1", token: "node-secret")
        try await Bench.run([edge]) { bench in
            let answer = try await bench.offer("/whip/demo", token: "mine")
            #expect(answer.status == 201)
            #expect(answer.text == "v=0 answer of edge-1")
            #expect(answer.headers["Location"] == "/session/demo/edge-1~s1")
            #expect(answer.headers["ETag"] == "\"e1\"")
            #expect(answer.headers["Accept-Patch"] == "application/trickle-ice-sdpfrag")
            #expect(answer.headers["Content-Type"] == "application/sdp")
            #expect(
                answer.headers.all("Link") == [
                    "<stun:stun.example.net>; rel=\"ice-server\"",
                    "</session/demo/edge-1~s1/layer>; rel=\"urn:ietf:params:whep:ext:core:layer\"",
                ])
            let seen = try #require(edge.seen("/whip/demo").first)
            #expect(seen.body == Array("v=0 offer".utf8))
            #expect(seen.headers["Content-Type"] == "application/sdp")
            #expect(seen.headers["Authorization"] == "Bearer node-secret")
            #expect(seen.headers["X-Credential-Fingerprint"]?.isEmpty == false)
            #expect(seen.headers["X-Credential-Fingerprint"]?.contains("mine") == false)
        }
    }

    @Test("a node without a token gets the client's own credential")
    func passesCredential() async throws {
        let edge = try TestEdge("edge-1")
        try await Bench.run([edge]) { bench in
            _ = try await bench.offer("/whip/demo", token: "mine")
            let seen = try #require(edge.seen("/whip/demo").first)
            #expect(seen.headers["Authorization"] == "Bearer mine")
            #expect(seen.headers["X-Credential-Fingerprint"] == nil)
        }
    }

    @Test("a node that refuses the coordinator's own token is a bad gateway, not the client's fault")
    func wrongToken() async throws {
        let edge = try TestEdge("edge-1", token: "node-secret")
        try await Bench.run([edge]) { bench in
            edge.setToken("changed since")
            let answer = try await bench.offer("/api/whip/edge-1/demo")
            #expect(answer.status == 502)
            #expect(answer.text.contains("token"))
            #expect(answer.headers["WWW-Authenticate"] == nil)
        }
    }

    @Test("a session's requests find its node, through any coordinator", arguments: ["PATCH", "DELETE", "GET"])
    func sessions(method: String) async throws {
        let edges = [try TestEdge("edge-1"), try TestEdge("edge-2")]
        try await Bench.run(edges) { bench in
            // This coordinator never saw the session begin.
            let headers: HTTPHeaders = ["Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "\"e1\""]
            let answer = try await bench.send(
                HTTPMethod(rawValue: method), "/session/demo/edge-2~abc", headers, body: method == "GET" ? "" : "fragment")
            #expect(answer.status == 204)
            let seen = try #require(edges[1].seen("/session/demo/abc").first)
            #expect(seen.method == method)
            #expect(seen.headers["If-Match"] == "\"e1\"")
            #expect(edges[0].seen("/session/demo/abc").isEmpty)
        }
    }

    @Test("layers, and a session of a node given by name")
    func layersAndNamedNodes() async throws {
        let edges = [try TestEdge("edge-1"), try TestEdge("edge-2")]
        try await Bench.run(edges) { bench in
            let answer = try await bench.offer("/api/whep/edge-2/demo")
            #expect(answer.headers["Location"] == "/session/demo/edge-2~s1")
            #expect(try await bench.get("/session/demo/edge-2~s1/layer").status == 200)
            #expect(edges[1].seen("/session/demo/s1/layer").count == 1)
            #expect(try await bench.offer("/api/whip/nobody/demo").status == 404)
        }
    }

    @Test(
        "sessions of nobody are 404, names that are none 400",
        arguments: [
            ("/session/demo/nobody~abc", 404), ("/session/demo/abc", 404), ("/session/demo/~abc", 404),
            ("/session/demo/edge-1~", 404), ("/session/.demo/edge-1~abc", 400), ("/session/a%2fb/edge-1~abc", 400),
            ("/session/demo/edge-1~..%2f..%2fwhip", 400), ("/session/demo/edge-1%00~abc", 400),
        ])
    func badSessions(path: String, status: Int) async throws {
        let edge = try TestEdge("edge-1")
        try await Bench.run([edge]) { bench in
            let answer = try await bench.send(.delete, path)
            #expect(answer.status == status)
            #expect(answer.text.hasPrefix("{\"error\":"))
            #expect(edge.seen.filter { $0.method == "DELETE" }.isEmpty)
        }
    }

    @Test("publishers spread over nodes; a second one of a name goes to the first's node, which refuses it")
    func spreadsAndRefuses() async throws {
        let edges = [try TestEdge("edge-1"), try TestEdge("edge-2"), try TestEdge("edge-3")]
        try await Bench.run(edges) { bench in
            for number in 0..<12 { #expect(try await bench.offer("/whip/s\(number)").status == 201) }
            // How evenly is the policy's to say: what nodes tell of their load meanwhile shifts one or two.
            for edge in edges { #expect(edge.seen.contains { $0.path.hasPrefix("/whip/") }) }
            edges[1].setStreams([TestRecords.stream("taken")])
            edges[1].setAnswer(.conflict)
            try await eventually("the stream shows") { try await bench.get("/api/streams").text.contains("taken") }
            let second = try await bench.offer("/whip/taken")
            #expect(second.status == 409)
            #expect(second.text == "{\"error\":\"as told\"}")
            #expect(edges[1].seen("/whip/taken").count == 1)
        }
    }

    @Test("a node that died a moment ago costs a publisher nothing, and viewers of another node nothing")
    func survivesDeath() async throws {
        let edges = [try TestEdge("edge-1"), try TestEdge("edge-2")]
        edges[1].setStreams([TestRecords.stream("alive")])
        try await Bench.run(edges) { bench in
            try await eventually("the stream shows") { try await bench.get("/api/streams").text.contains("alive") }
            await edges[0].stop()
            for number in 0..<4 {
                let answer = try await bench.offer("/whip/s\(number)")
                #expect(answer.headers["Location"]?.contains("/edge-2~") == true)
                #expect(try await bench.offer("/whep/alive").status == 201)
            }
            try await eventually("edge-1 is lost") {
                try await bench.get("/api/nodes").text.contains("\"status\":\"lost\"")
            }
            #expect(try await bench.send(.delete, "/session/s0/edge-1~s1").status == 503)
        }
    }

    @Test("no node at all is 503 with a time to come back; a stream nobody has is 404")
    func nobody() async throws {
        let edge = try TestEdge("edge-1")
        try await Bench.run([edge]) { bench in
            #expect(try await bench.offer("/whep/nothing").status == 404)
            await edge.stop()
            try await eventually("the node is lost") {
                try await bench.get("/api/nodes").text.contains("\"status\":\"lost\"")
            }
            let answer = try await bench.offer("/whip/demo")
            #expect(answer.status == 503)
            #expect(answer.headers["Retry-After"] != nil)
        }
    }

    @Test("a node that a viewer names is asked also for what it has not told of yet; nobody else is")
    func named() async throws {
        let edges = [try TestEdge("edge-1"), try TestEdge("edge-2")]
        try await Bench.run(edges) { bench in
            let answer = try await bench.offer("/whep/fresh?node=edge-2")
            #expect(answer.status == 201 && answer.headers["Location"]?.contains("/edge-2~") == true, "\(answer.text)")
            edges[1].setAnswer(.notFound)
            #expect(try await bench.offer("/whep/nothing?node=edge-2").status == 404)
            #expect(edges[1].seen("/whep/nothing").count == 1 && edges[0].seen("/whep/nothing").isEmpty)
            #expect(try await bench.offer("/whep/nothing?node=nobody").status == 404)
        }
    }

    @Test("full nodes are 503; a node that says so itself is passed over for another")
    func full() async throws {
        let edges = [try TestEdge("edge-1", pubMax: 1), try TestEdge("edge-2", pubMax: 1)]
        try await Bench.run(edges) { bench in
            edges[0].setAnswer(.serviceUnavailable)
            #expect(try await bench.offer("/whip/a").headers["Location"]?.contains("edge-2~") == true)
            let answer = try await bench.offer("/whip/b")
            #expect(answer.status == 503)
            #expect(answer.headers["Retry-After"] != nil)
        }
    }

    @Test("a drained node gets no publisher until it is put back")
    func drained() async throws {
        let edges = [try TestEdge("edge-1"), try TestEdge("edge-2")]
        try await Bench.run(edges) { bench in
            let drained = try await bench.send(.post, "/api/nodes/edge-1/drain")
            #expect(drained.status == 200)
            #expect(drained.text.contains("\"status\":\"draining\""))
            for number in 0..<4 { _ = try await bench.offer("/whip/s\(number)") }
            #expect(!edges[0].seen.contains { $0.path.hasPrefix("/whip/") })
            #expect(try await bench.send(.post, "/api/nodes/edge-1/undrain").text.contains("\"status\":\"running\""))
            #expect(try await bench.send(.post, "/api/nodes/nobody/drain").status == 404)
        }
    }

    @Test("an offer over a mebibyte is 413, one of exactly that is passed on")
    func bodyLimit() async throws {
        let edge = try TestEdge("edge-1")
        try await Bench.run([edge]) { bench in
            let limit = 1 << 20
            let headers: HTTPHeaders = ["Content-Type": "application/sdp"]
            let fits = String(repeating: "v", count: limit)
            let taken = try await bench.send(.post, "/whip/demo", headers, body: fits)
            #expect(taken.status == 201)
            let refused = try await bench.send(.post, "/whip/demo", headers, body: fits + "v")
            #expect(refused.status == 413)
            #expect(edge.seen("/whip/demo").count == 1)
        }
    }

    @Test("in redirect mode the client is sent to the node")
    func redirects() async throws {
        let edge = try TestEdge("edge-1")
        try await Bench.run([edge], extra: "routing.mode = \"redirect\"") { bench in
            let answer = try await bench.offer("/whip/demo")
            #expect(answer.status == 307)
            #expect(answer.headers["Location"] == "\(edge.url)/whip/demo?via=1")
        }
    }

    @Test("with a grant where we have a token for the node: only the node can make use of it")
    func redirectsWithGrant() async throws {
        let edge = try TestEdge("edge-1", token: "node-token", startedAtMs: 77)
        try await Bench.run([edge], extra: "routing.mode = \"redirect\"") { bench in
            let answer = try await bench.offer("/whip/demo")
            let parts = try #require(answer.headers["Location"]).split(separator: "&grant=")
            #expect(parts.first.map(String.init) == "\(edge.url)/whip/demo?via=1")
            #expect(answer.headers["Cache-Control"] == "no-store")
            let node = Authorizer(AuthSettings(tokens: ["node-token"]))
            let now = Int64(Date().timeIntervalSince1970)
            let text = String(try #require(parts.last))
            let principal = try node.redeem(text, for: .publish(stream: "demo"), node: "edge-1", startedAtMs: 77, now: now)
            #expect(principal.rights == .publish && principal.id == "demo")
        }
    }

    @Test(
        "a publisher's region counts under any policy, a viewer's under the nearest one", arguments: ["least_loaded", "nearest"])
    func regions(policy: String) async throws {
        let edges = [try TestEdge("edge-1"), try TestEdge("edge-2", region: "eu", load: NodeLoad(cpu: 0.5))]
        for edge in edges { edge.setStreams([TestRecords.stream("demo")]) }
        try await Bench.run(edges, extra: "routing.policy = \"\(policy)\"") { bench in
            try await eventually("both have it") { try await bench.get("/api/streams").text.contains("\"edge-1\",\"edge-2\"") }
            #expect(try await bench.offer("/whip/new?region=eu").headers["Location"]?.contains("/edge-2~") == true)
            let watched = policy == "nearest" ? "/edge-2~" : "/edge-1~"
            #expect(try await bench.offer("/whep/demo?region=eu").headers["Location"]?.contains(watched) == true)
        }
    }

    @Test("a node must be named by a preference to be held to it; a label must have a value")
    func preferences() async throws {
        let edges = [try TestEdge("edge-1"), try TestEdge("edge-2")]
        try await Bench.run(edges) { bench in
            for number in 0..<3 {
                let answer = try await bench.offer("/whip/s\(number)?node=edge-2")
                #expect(answer.headers["Location"]?.contains("edge-2~") == true)
            }
            #expect(try await bench.offer("/whip/x?label=nonsense").status == 400)
            #expect(try await bench.offer("/whip/x?node=nobody").status == 503)
        }
    }
}

@Suite("Session addresses")
struct SessionAddressTests {
    @Test(
        "a node's Location in any form",
        arguments: [
            ("/session/demo/abc", "/session/demo/edge-1~abc"),
            ("http://10.0.0.1:7777/session/demo/abc", "/session/demo/edge-1~abc"),
            ("/session/demo/abc?x=1", "/session/demo/edge-1~abc"), ("/session/demo/a%7Eb", "/session/demo/edge-1~a~b"),
            ("/session/other/abc", nil), ("/session/demo", nil), ("/session/demo/abc/layer", nil), ("", nil), ("http://x", nil),
            ("/session/demo/a%2fb", nil), ("/session/demo/%zz", nil), ("/session/demo/..", nil), ("/session/demo/%2E", nil),
        ] as [(String, String?)])
    func locations(location: String, path: String?) {
        #expect(SessionAddress(location: location, stream: "demo", alias: "edge-1")?.path == path)
    }

    @Test("an address survives the way out and back, whatever the session is called", arguments: 1...10 as ClosedRange<UInt64>)
    func roundTrip(seed: UInt64) throws {
        var generator = SeededGenerator(state: seed)
        let alphabet = Array("abz09-_.~% /?#&é~".unicodeScalars)
        for _ in 0..<500 {
            var text = String.UnicodeScalarView()
            for _ in 0..<Int.random(in: 0...12, using: &generator) {
                text.append(alphabet[Int.random(in: 0..<alphabet.count, using: &generator)])
            }
            let session = String(text)
            let location = "/session/demo/\(PercentCoding.encode(session))"
            guard let address = SessionAddress(location: location, stream: "demo", alias: "edge-1") else {
                #expect(session.isEmpty || session.contains("/") || session == "." || session == "..")
                continue
            }
            #expect(address.session == session)
            let id = try #require(PercentCoding.decode(address.path.dropFirst("/session/demo/".count)))
            #expect(SessionAddress(stream: "demo", id: id) == address)
            // Whatever a client makes of it, nothing traps.
            _ = SessionAddress(location: session, stream: "demo", alias: "edge-1")
            _ = SessionAddress(stream: "demo", id: session)
        }
    }
}
