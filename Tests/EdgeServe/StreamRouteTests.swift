import Cluster
import EdgeFixtures
import Foundation
import HTTP
import MediaPlane
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
            let all = try await node.send(.get, "/api/streams/").body
            #expect(try ClusterJSON.streams(from: Array(all.utf8)).map(\.id) == ["one", "two"])
            let some = try await node.send(.get, "/api/streams?streams=two&streams=three").body
            #expect(try ClusterJSON.streams(from: Array(some.utf8)).map(\.id) == ["two"])
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

    @Test("names of streams stand in the metrics: where it is set they need a credential like the list of streams")
    func guardedMetrics() async throws {
        let toml = """
            [auth]
            tokens = ["all"]
            room_tokens = { demo = "room" }
            metrics = true
            """
        try await TestNode.with(toml) { node in
            for (token, status) in [("all", 200), ("room", 403), ("wrong", 401)] {
                let headers: HTTPHeaders = ["Authorization": "Bearer \(token)"]
                let statuses = [
                    try await node.send(.get, "/metrics", headers: headers).status,
                    try await node.send(.get, "/api/streams", headers: headers).status,
                ]
                #expect(statuses == [status, status])
            }
            #expect(try await node.send(.get, "/metrics").status == 401)
            #expect(try await node.send(.get, "/healthz").status == 200)
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
                    #expect(declared.insert(line.dropFirst(7).prefix { $0 != " " }).inserted, "\(line) stands twice")
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
            #expect(text.contains("tributary_edge_recorder_dropped_frames_total 0\n"))
        }
    }

    @Test("a datagram that goes no further is counted with its reason")
    func drops() async throws {
        try await TestNode.with { node in
            let port = try #require(node.services.plane.candidates(loop: 0).first?.port)
            try sendDatagram([0xFF, 0xFF, 0xFF, 0xFF], to: port)
            try await eventually("the drop is shown") {
                try await node.send(.get, "/metrics").body.contains(
                    #"tributary_edge_dropped_datagrams_total{loop="0",reason="unknownSession"} 1"#)
            }
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

/// Sends one datagram to a port of 127.0.0.1.
private func sendDatagram(_ bytes: [UInt8], to port: UInt16) throws {
    let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let sent = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
            sendto(descriptor, bytes, bytes.count, 0, address, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
    try #require(sent == bytes.count)
}
