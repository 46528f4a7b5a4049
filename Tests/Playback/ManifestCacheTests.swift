import EdgeFixtures
import Foundation
import Nodes
import Records
import Store
import StoreFixtures
import Synchronization
import Testing

@testable import HTTP
@testable import Playback

@Suite("Manifests from the coordinator's memory", .timeLimit(.minutes(2)))
struct ManifestCacheTests {
    private static let path = "demo/2026/11/20/manifest.mpd"

    /// An answer with all of its body, when it has one in memory.
    private struct Answer {
        let status: HTTPStatus
        let text: String?
        let etag: String?
    }

    /// A proxy before one node, with a clock that stands still, behind a router, which answers conditions.
    private struct Bench: Sendable {
        let edge: TestEdge
        let time: TestTime
        let proxy: ObjectProxy
        let router: Router

        init(_ edge: TestEdge, _ index: RecordingIndex, _ client: HTTPClient, _ store: (any ObjectStore)?) {
            let time = TestTime()
            let proxy = ObjectProxy(
                index: index,
                directory: NodeDirectory(nodes: [ConfiguredNode(alias: "edge-1", url: edge.url)], client: client),
                client: client, store: store,
                cache: ObjectCache(bytes: 4_000) { time.nowMs.load(ordering: .relaxed) })
            var router = Router()
            router.get("/{path*}", RouteDescription("object")) { request in
                let node = store == nil ? "edge-1" : nil
                return try await proxy.respond(to: request, path: request.parameter("path"), node: node)
            }
            (self.edge, self.time, self.proxy, self.router) = (edge, time, proxy, router)
        }

        /// What the node was asked for the manifest.
        var asked: [TestEdge.Seen] { edge.seen.filter { $0.path == "/api/record/object/\(ManifestCacheTests.path)" } }

        func set(_ text: String) { edge.setObject(ManifestCacheTests.path, Array(text.utf8)) }

        func send(_ method: HTTPMethod, _ query: String = "", _ headers: HTTPHeaders = [:]) async throws -> Answer {
            let target = "/\(ManifestCacheTests.path)\(query)"
            let response = await router.respond(to: try HTTPRequest(method: method, target: target, headers: headers))
            var text: String?
            if case .shared(let body, _) = response.body {
                try await eventually("all of it") { body.isComplete }
                text = String(decoding: body.bytes, as: UTF8.self)
            }
            return Answer(status: response.status, text: text, etag: response.headers["ETag"])
        }

        func get(_ query: String = "", _ headers: HTTPHeaders = [:]) async throws -> Answer {
            try await send(.get, query, headers)
        }
    }

    private func run(store: (any ObjectStore)? = nil, _ body: (Bench) async throws -> Void) async throws {
        let path = NSTemporaryDirectory() + "manifests-\(UUID().uuidString).db"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let (edge, index, client) = (try TestEdge("edge-1"), RecordingIndex(.sqlite(path: path)), HTTPClient())
        try await index.open()
        do {
            try await body(Bench(edge, index, client, store))
        } catch {
            Issue.record(error)
        }
        await index.close()
        await client.shutdown()
        await edge.stop()
    }

    @Test("however many poll one, its node is asked once in a quarter of a second, and what is new is seen after that")
    func polled() async throws {
        try await run { (bench) async throws in
            bench.set("<MPD/>")
            try await withThrowingTaskGroup(of: String?.self) { group in
                for _ in 0..<50 { group.addTask { try await bench.get().text } }
                for try await text in group { #expect(text == "<MPD/>") }
            }
            #expect(bench.asked.count == 1)
            bench.set("<MPD>new</MPD>")
            bench.time.nowMs.store(249, ordering: .relaxed)
            #expect(try await bench.get().text == "<MPD/>")
            bench.time.nowMs.store(250, ordering: .relaxed)
            #expect(try await bench.get().text == "<MPD>new</MPD>")
            #expect(bench.asked.count == 2)
        }
    }

    @Test("another version of one is another object; what the node is not told makes no difference")
    func queries() async throws {
        try await run { (bench) async throws in
            bench.set("<MPD/>")
            let queries = [
                "", "?gaps=keep", "?gaps=keep&origin=5", "?token=x&_HLS_msn=7", "?origin=5&gaps=keep&x=1", "?gaps=keep&origin=6",
            ]
            for query in queries { #expect(try await bench.get(query).status == .ok) }
            #expect(bench.asked.map(\.query) == ["", "gaps=keep", "gaps=keep&origin=5", "gaps=keep&origin=6"])
        }
    }

    @Test("who has it already is told so, and who wants a part gets it, without asking the node")
    func conditions() async throws {
        try await run { (bench) async throws in
            bench.set("<MPD/>")
            let tag = try #require(try await bench.get().etag)
            #expect(try await bench.get("", ["If-None-Match": tag]).status == .notModified)
            #expect(try await bench.get("", ["Range": "bytes=1-3"]).status == .partialContent)
            #expect(try await bench.send(.head).status == .ok)
            #expect(bench.asked.count == 1)
            bench.time.nowMs.store(250, ordering: .relaxed)
            // Fetched whole, for others have none.
            #expect(try await bench.get("", ["If-None-Match": tag]).status == .notModified)
            #expect(bench.asked.count == 2)
            #expect(bench.asked.last?.headers["If-None-Match"] == nil)
            bench.set("<MPD>new</MPD>")
            bench.time.nowMs.store(500, ordering: .relaxed)
            let fresh = try await bench.get("", ["If-None-Match": tag])
            #expect(fresh.status == .ok && fresh.text == "<MPD>new</MPD>")
        }
    }

    @Test("HEAD alone fetches nothing into memory")
    func head() async throws {
        try await run { (bench) async throws in
            bench.set("<MPD/>")
            #expect(try await bench.send(.head).status == .ok)
            #expect(try await bench.get().text == "<MPD/>")
            #expect(bench.asked.map(\.method) == ["HEAD", "GET"])
        }
    }

    @Test("what another credential got is not theirs, where the node goes by it")
    func credentials() async throws {
        try await run { (bench) async throws in
            bench.set("<MPD/>")
            for credential in ["a", "b", "a"] {
                #expect(try await bench.get("", ["Authorization": "Bearer \(credential)"]).status == .ok)
            }
            #expect(bench.asked.map { $0.headers["Authorization"] } == ["Bearer a", "Bearer b"])
        }
    }

    @Test("that there is none is believed for a quarter of a second")
    func absent() async throws {
        try await run { (bench) async throws in
            for _ in 0..<2 { #expect(try await bench.get().status == .notFound) }
            #expect(bench.asked.count == 1)
            bench.set("<MPD/>")
            bench.time.nowMs.store(250, ordering: .relaxed)
            #expect(try await bench.get().text == "<MPD/>")
        }
    }

    @Test("once they were to be forgotten nobody is given what was there before")
    func forgotten() async throws {
        try await run { (bench) async throws in
            bench.set("<MPD/>")
            #expect(try await bench.get().text == "<MPD/>")
            bench.set("<MPD>new</MPD>")
            bench.proxy.forgetManifests()
            #expect(try await bench.get().text == "<MPD>new</MPD>")
        }
    }

    @Test("from a bucket, too")
    func bucket() async throws {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        let store = try FaultyStore(root: folder.path)
        let key = try ObjectKey(Self.path)
        try await run(store: store) { (bench) async throws in
            try await store.files.put(key, Array("<MPD/>".utf8), ifAbsent: true)
            let first = try await bench.get()
            #expect(first.text == "<MPD/>")
            let tag = try #require(first.etag)
            #expect(try await bench.get("", ["If-None-Match": tag]).status == .notModified)
            #expect(store.gets == [Self.path])
            try await store.files.put(key, Array("<MPD>new</MPD>".utf8), ifAbsent: false)
            bench.time.nowMs.store(250, ordering: .relaxed)
            #expect(try await bench.get("", ["If-None-Match": tag]).text == "<MPD>new</MPD>")
            #expect(store.gets.count == 2)
        }
    }
}
