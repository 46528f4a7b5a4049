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

    @Test(
        "streams that match and are published are recorded on their node, in a directory and for a time of their own",
        arguments: [0, 600])
    func records(maxSeconds: Int) async throws {
        let edges = [try TestEdge("a"), try TestEdge("b", token: "secret")]
        edges[0].setStreams([TestRecords.stream("other"), TestRecords.stream("cam-idle", isPublished: false)])
        let other = TestRecords.stream("cam-2", isRecording: true, recordingMaxSeconds: maxSeconds > 0 ? maxSeconds : nil)
        edges[1].setStreams([TestRecords.stream("cam-1"), other])
        let limit = maxSeconds > 0 ? ",\"max_recording_seconds\":\(maxSeconds)" : ""
        try await running(edges, rules("cam-*", prefix: "archive", maxSeconds: maxSeconds)) {
            try await eventually("cam-1 is asked for") { !requests(edges[1], "/api/record/cam-1").isEmpty }
            let seen = edges[1].seen.first { $0.path == "/api/record/cam-1" }
            #expect(seen?.method == "POST")
            #expect(seen.map { String(decoding: $0.body, as: UTF8.self) } == "{\"base_dir\":\"archive/cam-1/%Y/%m/%d\"\(limit)}")
            edges[1].setStreams([TestRecords.stream("cam-1", isRecording: true), other])
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

    @Test("of a node that knows no limits a recording that is too old is ended, and another begins; a younger one goes on")
    func endsOld() async throws {
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
            try await eventually("the old one is ended") { requests(edge, "/api/record/old").suffix(2) == ["DELETE", "POST"] }
            try await Task.sleep(for: .milliseconds(300))
            // Each was asked for once with a limit, at most: the node's first answer told that it keeps none.
            #expect([["DELETE", "POST"], ["POST", "DELETE", "POST"]].contains(requests(edge, "/api/record/old")))
            for name in ["due", "young"] { #expect([[], ["POST"]].contains(requests(edge, "/api/record/\(name)"))) }
        }
    }

    @Test("a node that keeps the limit is told it once, and what is longer; it ends its recordings itself")
    func limits() async throws {
        let edge = try TestEdge("a")
        edge.keepLimits()
        let limits: [(name: String, seconds: Int?)] = [("none", nil), ("longer", 90), ("same", 60), ("shorter", 30)]
        edge.setStreams(
            limits.map {
                TestRecords.stream(
                    $0.name, isRecording: true, recordingBaseDir: $0.name == "longer" ? "shows" : nil,
                    recordingMaxSeconds: $0.seconds)
            })
        let nowUs = TestRecords.tenOClockUs
        try await running(
            [edge], rules("*", maxSeconds: 60), wallUs: nowUs,
            prepare: { index in
                for (name, _) in limits {
                    let row = TestRecords.recording(
                        name, stream: name, node: "a", startUs: nowUs - 300_000_000, segments: 1, status: .active
                    ).row
                    _ = try await index.upsert(try #require(IndexedRecording(row, node: "a")))
                }
            }
        ) {
            try await eventually("two are told") {
                ["none", "longer"].allSatisfy { !requests(edge, "/api/record/\($0)").isEmpty }
            }
            let kept = limits.map {
                TestRecords.stream($0.name, isRecording: true, recordingMaxSeconds: min($0.seconds ?? 60, 60))
            }
            edge.setStreams(kept + [TestRecords.stream("late")])
            // By then it has looked at the others again.
            try await eventually("another one is asked for") { !requests(edge, "/api/record/late").isEmpty }
            for name in ["none", "longer"] {
                let asked = edge.seen.filter { $0.path == "/api/record/\(name)" }
                let orders = asked.map { "\($0.method) \(String(decoding: $0.body, as: UTF8.self))" }
                // One that has ended meanwhile begins again where it was.
                let place = name == "longer" ? #""base_dir":"shows","# : ""
                #expect(orders == ["POST {\(place)\"max_recording_seconds\":60}"])
            }
            for name in ["same", "shorter"] { #expect(requests(edge, "/api/record/\(name)").isEmpty) }
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
