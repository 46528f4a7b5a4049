import Cluster
import EdgeFixtures
import HTTP
import Journal
import Nodes
import Presentation
import Store
import StoreFixtures
import Synchronization
import Testing

@testable import Records

@Suite("Removing recordings from the shared store", .timeLimit(.minutes(5)))
struct StoredRemovalTests {
    @Test("a removal takes the recording's objects and no others, and leaves a notice that every index understands")
    func removes() async throws {
        try await StoreBench.run { bench in
            var first = JournalText("first", segments: 3)
            first.isPlain = true
            let second = JournalText("second", segments: 2)
            for text in [first, second] { try bench.put(text, withObjects: true) }
            try bench.put("demo/2026/11/20/other.m4s", [1])
            await bench.sync.look()
            let row = try #require(try await bench.index.recordings(session: "first").first)
            #expect(try await bench.stored.remove(row) == .removed)
            let left = try await bench.objects()
            #expect(
                Set(left)
                    == Set(
                        second.objects + [second.path, first.path, "demo/2026/11/20/manifest.mpd", "demo/2026/11/20/other.m4s"]))
            let manifest = try await bench.store.files.read(try ObjectKey("demo/2026/11/20/manifest.mpd"), limit: 1 << 20)
            #expect(
                String(decoding: manifest, as: UTF8.self).contains("second")
                    && !String(decoding: manifest, as: UTF8.self).contains("first"))
            await bench.sync.look()
            #expect(try await bench.rows().map(\.session) == ["second"])
            #expect(try await bench.stored.remove(row) == .removed, "once more is no error")
            // Another index, which had it, forgets it by the notice; also one whose node is back and lists it.
            try await bench.index.remove(node: "edge-a", session: "second")
            let other = try await IndexHome(.sqlite).open()
            #expect(try await other.upsert(row))
            let nodes = NodePresences(here: ["edge-a"], knowsAll: true)
            await StoreSync(
                StoredRecordings(store: bench.store, index: other, nowUs: WallTime.nowUs), presences: { nodes },
                hasRead: { _ in true }
            ).look()
            #expect(try await other.recordings(session: "first").isEmpty)
            #expect(try await other.isRemoved(directory: row.recordDir, session: "first"))
            await other.close()
        }
    }

    @Test("a recording without an end is removed when it is quiet", arguments: [0, 14, 16])
    func quiet(seconds: Int64) async throws {
        try await StoreBench.run { bench in
            let text = JournalText("one", segments: 3, end: .none)
            try bench.put(text, withObjects: true)
            await bench.sync.look()
            bench.state.aheadUs.withLock { $0 = seconds * 1_000_000 }
            let removal = try await bench.stored.remove(try await bench.rows()[0])
            if seconds > 15 {
                #expect(removal == .removed)
                #expect(try await bench.objects() == [text.path])
            } else {
                guard case .beingWritten(let wait) = removal else {
                    Issue.record("\(removal)")
                    return
                }
                #expect((1...16).contains(wait) && wait <= 16 - seconds)
                #expect(try await bench.objects().count == text.objects.count + 1)
                #expect(try await bench.rows().count == 1)
            }
        }
    }

    @Test("what the store has no journal of can't be removed from it")
    func notInStore() async throws {
        try await StoreBench.run { bench in
            let text = JournalText("one", segments: 3)
            try await bench.tell(text, by: "edge-a")
            #expect(try await bench.stored.remove(try await bench.rows()[0]) == .notInStore)
            #expect(try await bench.rows().count == 1)
        }
    }

    @Test("a removal that stops at any request is finished by the next look, and lists nothing meanwhile", arguments: 0..<9)
    func interrupted(request: Int) async throws {
        try await StoreBench.run { bench in
            let text = JournalText("one", segments: 3)
            let neighbour = JournalText("two", segments: 2)
            for each in [text, neighbour] { try bench.put(each, withObjects: true) }
            await bench.sync.look()
            let row = try #require(try await bench.index.recordings(session: "one").first)
            bench.store.set { $0.failsAfter = request }
            let removal = try? await bench.stored.remove(row)
            bench.store.set { $0.failsAfter = nil }
            let isMarked = try await !bench.index.isRemoved(directory: row.recordDir, session: "one")
            // Before the mark nothing has happened; behind it nothing is listed.
            #expect(try await bench.rows().count == (isMarked ? 2 : 1))
            if isMarked {
                #expect(try await bench.objects().filter { text.objects.contains($0) }.count == text.objects.count)
                return
            }
            if removal == nil {
                await bench.sync.look()
                #expect(try await bench.rows().count == 1)
            }
            bench.state.aheadUs.withLock { $0 = 61_000_000 }
            await bench.sync.look()
            let left = try await bench.objects()
            #expect(Set(left) == Set(neighbour.objects + [neighbour.path, text.path, "demo/2026/11/20/manifest.mpd"]))
            #expect(try await bench.rows().map(\.session) == ["two"])
        }
    }

    @Test(
        "a node that answers finishes its own removals, but not for ever: it may have lost its disk", arguments: [7_100, 7_300])
    func left(seconds: Int64) async throws {
        try await StoreBench.run { bench in
            let text = JournalText("one", segments: 3)
            try bench.put(text, withObjects: true)
            let session = try #require(RecordedSession.read(text.bytes, directory: text.directory)).session
            try await StoredRemoval(session, from: bench.store, clock: UpdateClock(now: WallTime.nowUs)).mark()
            bench.setNodes(here: ["edge-a"], read: ["edge-a"])
            bench.state.aheadUs.withLock { $0 = seconds * 1_000_000 }
            await bench.sync.look()
            let left = try await bench.objects()
            #expect(Set(left) == Set(seconds > 7_200 ? [text.path] : text.objects + [text.path]))
            #expect(try await bench.rows().isEmpty)
        }
    }

    @Test("a node that comes back with a recording that was removed is told to remove it, and it is not listed")
    func tombstone() async throws {
        try await StoreBench.run { bench in
            let edge = try TestEdge("edge-a")
            let recording = TestRecords.recording("one", node: "edge-a", segments: 3, updatedAt: 100)
            edge.add(recording)
            edge.add(TestRecords.recording("two", node: "edge-a", segments: 3, updatedAt: 101))
            try await bench.index.setRemoved(directory: recording.row.recordDir, session: "one", atUs: 1)
            let client = HTTPClient()
            let directory = NodeDirectory(nodes: [ConfiguredNode(alias: "edge-a", url: edge.url)], client: client)
            let sync = RecordingSync(directory: directory, index: bench.index, client: client)
            await directory.start()
            await sync.start()
            try await eventually("the other one is there") { try await bench.rows().count == 1 }
            #expect(try await bench.rows().map(\.session) == ["two"])
            #expect(edge.seen.filter { $0.method == "DELETE" }.map(\.path) == ["/api/recordings/one"])
            try await eventually("all was read") { await sync.hasRead("edge-a") }
            await sync.stop()
            await directory.stop()
            await client.shutdown()
            await edge.stop()
        }
    }
}
