import Cluster
import EdgeFixtures
import HTTP
import Nodes
import Presentation
import Testing

@testable import Records

@Suite("Recording sync", .timeLimit(.minutes(5)))
struct RecordingSyncTests {
    private struct Bench {
        let index: RecordingIndex
        let directory: NodeDirectory
        let sync: RecordingSync
        let client: HTTPClient

        init(_ edges: [TestEdge], _ home: IndexHome) async throws {
            client = HTTPClient()
            index = try await home.open()
            directory = NodeDirectory(
                nodes: edges.map { ConfiguredNode(alias: $0.alias, url: $0.url, token: $0.token) }, client: client)
            sync = RecordingSync(directory: directory, index: index, client: client)
            await directory.start()
            await sync.start()
        }

        func stop() async {
            await sync.stop()
            await directory.stop()
            await client.shutdown()
            await index.close()
        }

        func count() async throws -> Int { try await index.counts().all }

        func segments(_ node: String, _ session: String) async throws -> Int {
            guard let recording = try await index.recording(node: node, session: session) else { return -1 }
            return try await index.periods(of: recording).first?.tracks.first?.segments.count ?? 0
        }
    }

    @Test("recordings of several nodes arrive with their segments, and growth follows", arguments: IndexKind.allCases)
    func arrivesAndGrows(kind: IndexKind) async throws {
        let home = try IndexHome(kind)
        let edges = [try TestEdge("a"), try TestEdge("b", token: "secret")]
        edges[0].add(TestRecords.recording("one", node: "a", segments: 3, status: .active, updatedAt: 100))
        edges[1].add(TestRecords.recording("two", node: "b", segments: 5, updatedAt: 100))
        let bench = try await Bench(edges, home)
        try await eventually("both are there with their segments") {
            let counts = (try await bench.segments("a", "one"), try await bench.segments("b", "two"))
            return counts == (3, 5)
        }
        edges[0].add(TestRecords.recording("one", node: "a", segments: 9, status: .completed, updatedAt: 200))
        try await eventually("the first has grown and ended") {
            let recording = try await bench.index.recording(node: "a", session: "one")
            let count = try await bench.segments("a", "one")
            return count == 9 && recording?.status == .completed
        }
        await bench.stop()
        for edge in edges { await edge.stop() }
    }

    @Test("many rows come in pages, also when they all changed in one microsecond", arguments: IndexKind.allCases, [false, true])
    func pages(kind: IndexKind, sameTime: Bool) async throws {
        let home = try IndexHome(kind)
        let edge = try TestEdge("a")
        for number in 0..<450 {
            edge.add(
                TestRecords.recording(
                    "r\(number)", stream: "s\(number % 7)", node: "a", segments: 1, updatedAt: sameTime ? 77 : 100 + Int64(number)
                ))
        }
        let bench = try await Bench([edge], home)
        try await eventually("all rows are there") { try await bench.count() == 450 }
        #expect(try await bench.index.streams().count == 7)
        await bench.stop()
        await edge.stop()
    }

    @Test(
        "after a restart of the coordinator only what changed is read; after one of the node, all of it",
        arguments: IndexKind.allCases)
    func cursors(kind: IndexKind) async throws {
        let home = try IndexHome(kind)
        let edge = try TestEdge("a")
        for number in 0..<5 {
            edge.add(TestRecords.recording("r\(number)", node: "a", segments: 1, updatedAt: 100 + Int64(number)))
        }
        var bench = try await Bench([edge], home)
        try await eventually("five rows") { try await bench.count() == 5 }
        try await eventually("the cursor is stored") { try await bench.index.cursor(node: "a")?.sinceUs == 103 }
        await bench.stop()
        let before = edge.seen.count
        edge.add(TestRecords.recording("new", node: "a", segments: 1, updatedAt: 200))
        bench = try await Bench([edge], home)
        try await eventually("the sixth row") { try await bench.count() == 6 }
        // A row stands in the index before its segments are asked for.
        try await eventually("its segments") { edge.seen.contains { $0.path == "/api/recordings/new" } }
        let asked = edge.seen.dropFirst(before)
        #expect(asked.first?.query.contains("since_ts=103") == true)
        #expect(asked.filter { $0.path.hasPrefix("/api/recordings/") }.map(\.path) == ["/api/recordings/new"])
        await bench.stop()
        let port = edge.port
        await edge.stop()
        // The clock of the node's next life is behind: by the cursor alone its row would never be seen.
        let reborn = try TestEdge("a", listen: "127.0.0.1:\(port)", startedAtMs: 2)
        reborn.add(TestRecords.recording("late", node: "a", segments: 1, updatedAt: 50))
        bench = try await Bench([reborn], home)
        try await eventually("the row of the node's next life") { try await bench.count() == 7 }
        await bench.stop()
        await reborn.stop()
    }

    @Test("a node's death leaves its recording in the index, to be shown as lost", arguments: IndexKind.allCases)
    func lost(kind: IndexKind) async throws {
        let home = try IndexHome(kind)
        let edge = try TestEdge("a")
        edge.add(TestRecords.recording("one", node: "a", segments: 3, status: .active, updatedAt: 100))
        let bench = try await Bench([edge], home)
        try await eventually("the segments are there") { try await bench.segments("a", "one") == 3 }
        await edge.stop()
        try await eventually("the node is lost") { await bench.directory.view().reachable.isEmpty }
        let recording = try #require(try await bench.index.recording(node: "a", session: "one"))
        #expect(recording.shownStatus(liveNodes: await bench.directory.view().liveAliases) == .lost)
        #expect(try await bench.segments("a", "one") == 3)
        await bench.stop()
    }
}

extension TestEdge {
    func add(_ recording: (row: RecordingRecord, detail: RecordingDetail)) { setRecording(recording.row, recording.detail) }
}
