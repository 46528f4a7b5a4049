import Cluster
import CoordinatorServe
import EdgeFixtures
import Foundation
import HTTP
import Testing

@Suite("Cluster over HTTP", .timeLimit(.minutes(5)))
struct ClusterRouteTests {
    private struct Listing: Decodable {
        let alias: String
        let url: String
        let status: String
        let load: NodeLoad
        let pub_max: Int
        let sub_max: Int
    }

    @Test("nodes with their state and load; a trailing slash makes no difference", arguments: ["/api/nodes", "/api/nodes/"])
    func nodes(path: String) async throws {
        let edges = [try TestEdge("edge-1", load: NodeLoad(cpu: 0.25, viewers: 3), pubMax: 5, subMax: 9), try TestEdge("edge-2")]
        try await Bench.run(edges) { bench in
            let nodes = try JSONDecoder().decode([Listing].self, from: Data(try await bench.get(path).body))
            #expect(nodes.map(\.alias) == ["edge-1", "edge-2"])
            #expect(nodes[0].url == edges[0].url)
            #expect(nodes[0].status == "running")
            #expect(nodes[0].load.cpu == 0.25)
            #expect(nodes[0].pub_max == 5 && nodes[0].sub_max == 9)
        }
    }

    @Test("streams merged over nodes, one by alias, filtered; sessions named as in our addresses")
    func streams() async throws {
        let edges = [try TestEdge("edge-1"), try TestEdge("edge-2")]
        edges[0].setStreams([TestRecords.stream("demo", viewers: 2), TestRecords.stream("solo")])
        edges[1].setStreams([TestRecords.stream("demo", isPublished: false, viewers: 1)])
        try await Bench.run(edges) { bench in
            try await eventually("both streams show with all sessions") {
                let text = try await bench.get("/api/streams").text
                return text.contains("edge-2~v0") && text.contains("solo")
            }
            let all = try await bench.get("/api/streams/").text
            #expect(all.contains("\"nodes\":[\"edge-1\",\"edge-2\"]"))
            #expect(all.contains("\"id\":\"edge-1~p\""))
            let one = try await bench.get("/api/streams?streams=solo").text
            #expect(one.contains("solo") && !one.contains("demo"))
            let byAlias = try await bench.get("/api/streams/demo")
            let found = try JSONSerialization.jsonObject(with: Data(byAlias.body)) as? [String: [String: Any]]
            #expect(found?.keys.sorted() == ["edge-1", "edge-2"])
            #expect(found?.values.allSatisfy { $0["id"] as? String == "demo" } == true)
            #expect(try await bench.get("/api/streams/nothing").status == 404)
        }
    }

    @Test("streams are created on a node and ended on all; recordings go to the stream's node")
    func passesOn() async throws {
        let edges = [try TestEdge("edge-1"), try TestEdge("edge-2")]
        edges[1].setStreams([TestRecords.stream("demo")])
        try await Bench.run(edges) { bench in
            try await eventually("demo shows") { try await bench.get("/api/streams/demo").status == 200 }
            #expect(try await bench.send(.post, "/api/streams/demo").status == 409)
            #expect(try await bench.send(.post, "/api/streams/new").status == 204)
            #expect(try await bench.send(.delete, "/api/streams/demo").status == 204)
            #expect(edges[1].seen("/api/streams/demo").map(\.method) == ["DELETE"])
            #expect(try await bench.send(.delete, "/api/streams/nothing").status == 404)
            for method in [HTTPMethod.post, .get, .delete] {
                let answer = try await bench.send(method, "/api/record/demo")
                #expect(answer.text == "{\"alias\":\"edge-2\"}")
                #expect(try await bench.send(method, "/api/record/nothing").status == 404)
            }
            #expect(edges[1].seen("/api/record/demo").map(\.method) == ["POST", "GET", "DELETE"])
        }
    }

    @Test("a stream that two nodes record is stopped on both, on one of them when that is named")
    func stopsAll() async throws {
        let edges = try ["edge-1", "edge-2", "edge-3"].map { try TestEdge($0) }
        for edge in edges[..<2] { edge.setStreams([TestRecords.stream("demo", isRecording: true)]) }
        edges[2].setStreams([TestRecords.stream("demo")])
        try await Bench.run(edges) { bench in
            try await eventually("all show") { try await bench.get("/api/streams/demo").text.contains("edge-3") }
            #expect(try await bench.send(.delete, "/api/record/demo?node=edge-2").status == 200)
            #expect(edges.map { $0.seen("/api/record/demo").count } == [0, 1, 0])
            #expect(try await bench.send(.delete, "/api/record/demo").status == 200)
            #expect(edges.map { $0.seen("/api/record/demo").count } == [1, 2, 0])
        }
    }

    @Test("nodes are added and removed by hand, and a restart knows of them and of drains")
    func membership() async throws {
        let edges = try ["edge-1", "edge-2"].map { try TestEdge($0) }
        let added = try TestEdge("added", token: "secret")
        let folder = try TemporaryFolder()
        let database = "database.url = \"sqlite:\(folder.file("kept.db"))\""
        let node = #"{"alias":"added","url":"\#(added.url)","token":"secret"}"#
        try await Bench.run([edges[0]], database: database) { bench in
            #expect(try await bench.send(.post, "/api/nodes", body: node).status == 201)
            #expect(try await bench.send(.post, "/api/nodes", body: node).status == 200)
            try await eventually("it runs") { try await bench.get("/api/nodes").text.occurrences(of: "\"running\"") == 2 }
            #expect(!(try await bench.get("/api/nodes").text.contains("secret")))
            #expect(try await bench.send(.post, "/api/nodes/added/drain").status == 200)
            let own = #"{"alias":"edge-1","url":"http://127.0.0.1:1"}"#
            #expect(try await bench.send(.post, "/api/nodes", body: own).status == 409)
            #expect(try await bench.send(.delete, "/api/nodes/edge-1").status == 409)
            #expect(try await bench.send(.delete, "/api/nodes/nobody").status == 404)
            for bad in [
                "", "{}", #"{"alias":"a/b","url":"http://x"}"#, #"{"alias":"b","url":"ftp://x"}"#,
                #"{"alias":"b","url":"http://u:p@x"}"#,
            ] {
                #expect(try await bench.send(.post, "/api/nodes", body: bad).status == 400)
            }
        }
        try await Bench.run([edges[1]], database: database) { bench in
            try await eventually("it is drained still") { try await bench.get("/api/nodes").text.contains("\"draining\"") }
            #expect(try await bench.send(.delete, "/api/nodes/added").status == 204)
            #expect(!(try await bench.get("/api/nodes").text.contains("added")))
        }
        await added.stop()
    }

    @Test("the event stream shows nodes and streams at once and each change after")
    func events() async throws {
        let edge = try TestEdge("edge-1")
        try await Bench.run([edge]) { bench in
            var seen: [String] = []
            for try await event in bench.client.events("\(bench.coordinator.url)/api/sse/cluster") {
                seen.append(event.event)
                if seen.count == 2 { edge.setStreams([TestRecords.stream("later")]) }
                if event.event == "streams", event.data.contains("later") { break }
                if seen.count > 200 { break }
            }
            #expect(Set(seen.prefix(2)) == ["nodes", "streams"])
            #expect(seen.last == "streams")
            for try await event in bench.client.events("\(bench.coordinator.url)/api/sse/streams") {
                #expect(event.event == "message")
                #expect(event.data.contains("later"))
                break
            }
        }
    }

    @Test("health, version, metrics and the description of all this")
    func system() async throws {
        let edge = try TestEdge("edge-1")
        try await Bench.run([edge]) { bench in
            #expect(try await bench.get("/healthz").text == "ok")
            #expect(try await bench.get("/api/info").text.contains("\"version\":"))
            let metrics = try await bench.get("/metrics")
            #expect(metrics.text.contains("tributary_coordinator_nodes{status=\"running\"} 1\n"))
            #expect(metrics.text.contains("tributary_coordinator_node_cpu_ratio{node=\"edge-1\"}"))
            #expect(metrics.headers["Content-Type"]?.hasPrefix("text/plain; version=0.0.4") == true)
            let document = try JSONSerialization.jsonObject(with: Data(try await bench.get("/api/openapi.json").body))
            let paths = try #require((document as? [String: Any])?["paths"] as? [String: Any])
            for path in ["/whip/{stream}", "/api/playback/{stream}/manifest.mpd", "/api/nodes/{alias}/drain"] {
                #expect(paths[path] != nil)
            }
            #expect(paths["/index.html"] == nil)
            let wrong = try await bench.send(.delete, "/api/nodes")
            #expect(wrong.status == 405)
            #expect(wrong.headers["Allow"] == "GET, HEAD, OPTIONS, POST")
            #expect(try await bench.get("/no/such/path").status == 404)
        }
    }

    @Test("the web page is served with its types and tags, and nothing beside it")
    func web() async throws {
        let folder = try TemporaryFolder()
        try FileManager.default.createDirectory(atPath: folder.file("Web/views"), withIntermediateDirectories: true)
        for name in ["Web/index.html", "Web/app.js", "Web/views/a.js", "Web/app.css", "secret.txt"] {
            try Data("content of \(name)".utf8).write(to: URL(fileURLWithPath: folder.file(name)))
        }
        try await Bench.run([], web: folder.file("Web")) { bench in
            let page = try await bench.get("/")
            #expect(page.text == "content of Web/index.html")
            #expect(page.headers["Content-Type"] == "text/html; charset=utf-8")
            let tag = try #require(page.headers["ETag"])
            #expect(try await bench.get("/", ["If-None-Match": tag]).status == 304)
            #expect(try await bench.get("/views/a.js").headers["Content-Type"] == "text/javascript; charset=utf-8")
            #expect(try await bench.get("/app.css").headers["Content-Type"] == "text/css; charset=utf-8")
            for path in ["/secret.txt", "/../secret.txt", "/%2e%2e/secret.txt", "/views", "/views%2fa.js"] {
                let answer = try await bench.get(path)
                #expect(answer.status == 404 || answer.status == 400, "\(path) is \(answer.status)")
            }
        }
    }

    @Test("the page of this product is found beside the program")
    func ownPage() async throws {
        try await Bench.run([]) { bench in
            let page = try await bench.get("/index.html")
            #expect(page.status == 200)
            #expect(page.text.contains("<html"))
        }
    }
}
