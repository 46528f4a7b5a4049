import Cluster
import EdgeFixtures
import HTTP
import Nodes
import Presentation
import Records
import Synchronization
import Testing

@Suite("Automatic recording", .timeLimit(.minutes(5)))
struct AutoRecorderTests {
    private func running(
        _ edges: [TestEdge], _ rules: AutoRecordRules, wallUs: Int64 = TestRecords.tenOClockUs,
        prepare: (RecordingIndex) async throws -> Void = { _ in }, _ body: () async throws -> Void
    ) async throws {
        let folder = try TemporaryFolder()
        let client = HTTPClient()
        let index = RecordingIndex(.sqlite(path: folder.file("index.db")))
        try await index.open()
        try await prepare(index)
        let directory = NodeDirectory(
            nodes: edges.map { ConfiguredNode(alias: $0.alias, url: $0.url, token: $0.token) }, client: client)
        let recorder = AutoRecorder(rules, directory: directory, index: index, client: client) { wallUs }
        await directory.start()
        await recorder.start()
        do {
            try await body()
        } catch {
            Issue.record(error)
        }
        await recorder.stop()
        await directory.stop()
        for edge in edges { await edge.stop() }
        await client.shutdown()
        await index.close()
    }

    private func rules(_ patterns: String..., prefix: String = "", maxSeconds: Int = 0) -> AutoRecordRules {
        AutoRecordRules(
            patterns: patterns.compactMap { StreamPattern($0) }, basePrefix: prefix, tickMs: 50, maxSeconds: maxSeconds)
    }

    private func requests(_ edge: TestEdge, _ path: String) -> [String] {
        edge.seen.filter { $0.path == path }.map(\.method)
    }

    @Test("streams that match and are published are recorded on their node, in a directory of their own")
    func records() async throws {
        let edges = [try TestEdge("a"), try TestEdge("b", token: "secret")]
        edges[0].setStreams([TestRecords.stream("other"), TestRecords.stream("cam-idle", isPublished: false)])
        edges[1].setStreams([TestRecords.stream("cam-1"), TestRecords.stream("cam-2", isRecording: true)])
        try await running(edges, rules("cam-*", prefix: "archive")) {
            try await eventually("cam-1 is asked for") { !requests(edges[1], "/api/record/cam-1").isEmpty }
            let seen = edges[1].seen.first { $0.path == "/api/record/cam-1" }
            #expect(seen?.method == "POST")
            #expect(seen.map { String(decoding: $0.body, as: UTF8.self) } == "{\"base_dir\":\"archive/cam-1/%Y/%m/%d\"}")
            edges[1].setStreams([TestRecords.stream("cam-1", isRecording: true), TestRecords.stream("cam-2", isRecording: true)])
            #expect(requests(edges[0], "/api/record/other").isEmpty)
            #expect(requests(edges[0], "/api/record/cam-idle").isEmpty)
            #expect(requests(edges[1], "/api/record/cam-2").isEmpty)
        }
    }

    @Test("a stream that comes from another node is recorded there, not where the copy is")
    func originals() async throws {
        let edges = [try TestEdge("a"), try TestEdge("b")]
        edges[0].setStreams([TestRecords.stream("cam", isCopy: true), TestRecords.stream("orphan", isCopy: true)])
        edges[1].setStreams([TestRecords.stream("cam"), TestRecords.stream("last")])
        try await running(edges, rules("*")) {
            try await eventually("the originals are asked for") {
                !requests(edges[1], "/api/record/cam").isEmpty && !requests(edges[1], "/api/record/last").isEmpty
            }
            #expect(edges[0].seen.allSatisfy { !$0.path.hasPrefix("/api/record/") })
        }
    }

    @Test("a recording that waits where the publisher was is ended, and another begins where it is")
    func publisherMoved() async throws {
        let edges = [try TestEdge("a"), try TestEdge("b")]
        edges[0].setStreams([TestRecords.stream("cam", isPublished: false, isRecording: true)])
        try await running(edges, rules("*")) {
            edges[1].setStreams([TestRecords.stream("cam")])
            try await eventually("ended") { requests(edges[0], "/api/record/cam").contains("DELETE") }
            #expect(requests(edges[1], "/api/record/cam").first == "POST")
            #expect(!requests(edges[0], "/api/record/cam").contains("POST"))
        }
    }

    @Test("a recording older than the limit ends and another begins; a younger one goes on, and one its node may end itself")
    func rotates() async throws {
        let edge = try TestEdge("a")
        let ages: [(name: String, seconds: Int64)] = [("old", 60 + 61), ("due", 60 + 3), ("young", 10)]
        edge.setStreams(ages.map { TestRecords.stream($0.name, isRecording: true) })
        let nowUs = TestRecords.tenOClockUs
        try await running(
            [edge], rules("*", maxSeconds: 60), wallUs: nowUs,
            prepare: { index in
                for (name, seconds) in ages {
                    let startUs = nowUs - seconds * 1_000_000
                    let row = TestRecords.recording(name, stream: name, node: "a", startUs: startUs, segments: 1, status: .active)
                        .row
                    _ = try await index.upsert(try #require(IndexedRecording(row, node: "a")))
                }
            }
        ) {
            try await eventually("the old one is rotated") { requests(edge, "/api/record/old").count >= 2 }
            try await Task.sleep(for: .milliseconds(300))
            #expect(requests(edge, "/api/record/old") == ["DELETE", "POST"])
            #expect(requests(edge, "/api/record/due").isEmpty)
            #expect(requests(edge, "/api/record/young").isEmpty)
        }
    }

    @Test("a node that doesn't answer is asked again after a while, and keeps no other waiting")
    func backsOff() async throws {
        let edges = [try TestEdge("a"), try TestEdge("b")]
        edges[1].setStreams([TestRecords.stream("fine")])
        edges[0].setStreams([TestRecords.stream("stuck")])
        edges[0].setRecordStatus(.insufficientStorage)
        try await running(edges, rules("*")) {
            try await eventually("both were asked") {
                !requests(edges[0], "/api/record/stuck").isEmpty && !requests(edges[1], "/api/record/fine").isEmpty
            }
            try await Task.sleep(for: .milliseconds(500))
            #expect(requests(edges[0], "/api/record/stuck").count == 1)
        }
    }
}
