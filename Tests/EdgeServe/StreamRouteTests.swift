import Cluster
import HTTP
import SDP
import Streams
import Testing

@testable import EdgeServe

@Suite("Streams, events, metrics and identity over HTTP")
struct StreamRouteTests {
    @Test("streams are made, listed, filtered and deleted; with and without a trailing slash")
    func streams() async throws {
        try await TestNode.with { node in
            #expect(try await node.send(.post, "/api/streams/one").status == 204)
            #expect(try await node.send(.post, "/api/streams/one").status == 409)
            #expect(try await node.send(.post, "/api/streams/two/").status == 204)
            #expect(try await node.send(.post, "/api/streams/a%20b").status == 400)
            let all = try ClusterJSON.decode(
                [StreamRecord].self, from: Array(try await node.send(.get, "/api/streams/").body.utf8))
            #expect(all.map(\.id) == ["one", "two"])
            let some = try await node.send(.get, "/api/streams?streams=two&streams=three").body
            #expect(try ClusterJSON.decode([StreamRecord].self, from: Array(some.utf8)).map(\.id) == ["two"])
            #expect(try await node.send(.get, "/api/streams/one").status == 200)
            #expect(try await node.send(.delete, "/api/streams/one").status == 204)
            #expect(try await node.send(.delete, "/api/streams/one").status == 404)
            #expect(try await node.send(.get, "/api/streams/one").status == 404)
        }
    }

    @Test("events: the whole list at once, then what changes, and the node's record")
    func events() async throws {
        try await TestNode.with { node in
            try await node.services.registry.create(stream: "first")
            var request = HTTPClientRequest(.get, node.services.url + "/api/sse/streams")
            request.totalMs = 10_000
            let response = try await node.client.send(request)
            #expect(response.headers["Content-Type"] == "text/event-stream")
            var text = ""
            func read(until marker: String) async throws {
                while !text.contains(marker), let chunk = try await response.body.next() {
                    text += String(decoding: chunk, as: UTF8.self)
                }
                #expect(text.contains(marker))
            }
            try await read(until: #""id":"first""#)
            try await read(until: "event: node")
            #expect(text.contains(#""alias":"test""#))
            #expect(!text.contains(#""id":"second""#))
            try await node.services.registry.create(stream: "second")
            try await read(until: #""id":"second""#)
            response.body.cancel()
        }
    }

    @Test("metrics are Prometheus text: every sample has its HELP and TYPE, every name the prefix")
    func metrics() async throws {
        try await TestNode.with { node in
            #expect(try await node.post("/whip/demo", sdp: TestOffer.publish()).status == 201)
            let text = try await node.send(.get, "/metrics").body
            var declared: Set<Substring> = []
            for line in text.split(separator: "\n") {
                if line.hasPrefix("# TYPE ") {
                    declared.insert(line.dropFirst(7).prefix { $0 != " " })
                } else if !line.hasPrefix("#") {
                    let name = line.prefix { $0 != "{" && $0 != " " }
                    let family =
                        ["_bucket", "_sum", "_count"].first { name.hasSuffix($0) }.map { name.dropLast($0.count) } ?? name
                    #expect(declared.contains(family) || declared.contains(name), "\(name) is not declared")
                    #expect(name.hasPrefix("tributary_edge_"))
                    #expect(line.split(separator: " ").last.flatMap { Double($0) } != nil, "\(line)")
                }
            }
            #expect(text.contains("tributary_edge_publishers 1\n"))
            #expect(text.contains(#"tributary_edge_stream_viewers{stream="demo"} 0"#))
        }
    }

    @Test("identity and the document of all routes")
    func identity() async throws {
        try await TestNode.with("[node]\nregion = \"eu\"\n") { node in
            let info = try await node.send(.get, "/api/info").body
            #expect(info.contains(#""alias":"test""#) && info.contains(#""region":"eu""#) && info.contains(node.services.url))
            #expect(try await node.send(.get, "/healthz").body == "ok")
            let document = try await node.send(.get, "/api/openapi.json")
            #expect(document.headers["Content-Type"] == "application/json")
            for path in ["/whip/{stream}", "/whep/{stream}", "/session/{stream}/{session}", "/api/streams/{stream}", "/metrics"] {
                #expect(document.body.contains("\"\(path)\""))
            }
        }
    }
}
