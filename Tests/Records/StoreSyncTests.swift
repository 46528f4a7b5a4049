import Cluster
import EdgeFixtures
import Foundation
import HTTP
import Journal
import Nodes
import Presentation
import Store
import StoreFixtures
import Synchronization
import Testing

@testable import Records

/// An index and a shared store, looked at as often as a test likes, with nodes that are as it says.
private struct StoreBench {
    let folder: TemporaryFolder
    let store: FaultyStore
    let index: RecordingIndex
    let stored: StoredRecordings
    let sync: StoreSync
    let state = World()

    /// What the coordinator believes.
    final class World: Sendable {
        let nodes = Mutex(NodePresences(knowsAll: true))
        let read = Mutex<Set<String>>([])
        /// Microseconds that the coordinator's clock is ahead of the store's.
        let aheadUs = Mutex<Int64>(0)
    }

    static func run(_ body: (StoreBench) async throws -> Void) async throws {
        let bench = try StoreBench()
        try await bench.index.open()
        do { try await body(bench) } catch { Issue.record(error) }
        await bench.index.close()
    }

    private init() throws {
        folder = try TemporaryFolder()
        store = try FaultyStore(root: folder.file("store"))
        index = RecordingIndex(path: folder.file("index.db"))
        stored = StoredRecordings(store: store, index: index) { [state] in
            WallTime.nowUs() + state.aheadUs.withLock { $0 }
        }
        sync = StoreSync(
            stored, presences: { [state] in state.nodes.withLock { $0 } },
            hasRead: { [state] alias in state.read.withLock { $0.contains(alias) } })
    }

    func put(_ text: JournalText, withObjects: Bool = false) async throws {
        try await put(text.path, text.bytes)
        for object in withObjects ? text.objects : [] { try await put(object, [1, 2, 3]) }
    }

    func put(_ path: String, _ bytes: [UInt8]) async throws {
        try await store.files.put(try ObjectKey(path), bytes, condition: .none)
    }

    func setNodes(here: Set<String> = [], away: Set<String> = [], read: Set<String> = []) {
        state.nodes.withLock { $0 = NodePresences(here: here, away: away, knowsAll: true) }
        state.read.withLock { $0 = read }
    }

    func rows(_ stream: String = "demo") async throws -> [IndexedRecording] {
        try await index.recordings(RecordingQuery(stream: stream))
    }

    func segments(_ row: IndexedRecording) async throws -> Int {
        try await index.periods(of: row).first?.tracks.first?.segments.count ?? 0
    }

    /// Keys in the store, but for the directory's own bookkeeping.
    func objects(_ prefix: String = "") async throws -> [String] {
        try await store.files.list(prefix: prefix, after: nil, limit: 10_000).objects.map(\.key.path)
    }

    /// A row of a node, as its sync would store it.
    func tell(_ text: JournalText, by alias: String, status: RecordingStatus? = nil) async throws {
        let session = try #require(RecordedSession.read(text.bytes, directory: text.directory)).session
        let recording = try #require(IndexedRecording(session.row, node: alias))
        #expect(try await index.upsert(recording))
        try await index.setDetail(
            node: alias, session: text.id, periods: IndexedPeriod.periods(of: session.detail), updatedUs: session.updatedUs)
        try await index.setCursor(SyncCursor(sinceUs: session.updatedUs, incarnationMs: 1), node: alias)
    }
}

private enum WallTime {
    static func nowUs() -> Int64 { UpdateClock(now: { Int64(Date().timeIntervalSince1970 * 1e6) }).next() }
}

@Suite("Recordings that only the shared store tells of", .timeLimit(.minutes(2)))
struct StoreSyncTests {
    @Test("what a gone node closed is listed as it closed it, and what it left open as incomplete, up to its last segment")
    func indexes() async throws {
        try await StoreBench.run { bench in
            let closed = JournalText("closed", segments: 5)
            var open = JournalText("open", segments: 7, end: .none)
            open.startUs += 100_000_000
            try await bench.put(closed)
            try await bench.put(open)
            try await bench.put(JournalText("announced", segments: 0, end: .none))
            await bench.sync.look()
            let rows = try await bench.rows()
            #expect(rows.map(\.session) == ["open", "closed"])
            #expect(rows.map(\.status) == [.incomplete, .completed])
            #expect(rows.map(\.node) == ["edge-a", "edge-a"])
            #expect(rows.map { $0.shownStatus(liveNodes: []) } == [.incomplete, .completed])
            let last = try #require(RecordedSession.read(open.bytes, directory: open.directory)).session
            #expect(rows[0].endUs == last.endUs && rows[0].durationMs == last.row.durationMs)
            for (row, text) in zip(rows, [open, closed]) {
                let session = try #require(RecordedSession.read(text.bytes, directory: text.directory)).session
                #expect(try await bench.index.periods(of: row) == IndexedPeriod.periods(of: session.detail))
            }
            #expect(await bench.sync.status() == StoreSync.Status(rounds: 1, journals: 3, recordings: 2))
        }
    }

    @Test("a journal is read again when it has changed, and not before; one that is gone takes its recording along")
    func incremental() async throws {
        try await StoreBench.run { bench in
            var text = JournalText("one", segments: 3, end: .none)
            try await bench.put(text)
            try await bench.put("demo/2026/11/20/session_bad.jsonl", Array("no journal\n".utf8))
            for _ in 0..<3 { await bench.sync.look() }
            #expect(bench.store.gets.sorted() == ["demo/2026/11/20/session_bad.jsonl", text.path])
            (text.segments, text.end) = (9, .row)
            try await bench.put(text)
            await bench.sync.look()
            let rows = try await bench.rows()
            #expect(rows.map(\.status) == [.completed] && bench.store.gets.count == 3)
            #expect(try await bench.segments(rows[0]) == 9)
            try await bench.store.files.delete(try ObjectKey(text.path))
            await bench.sync.look()
            #expect(try await bench.rows().isEmpty)
            #expect(await bench.sync.status().failures == 0)
        }
    }

    @Test("what an index has read is not read again after a restart")
    func restart() async throws {
        try await StoreBench.run { bench in
            try await bench.put(JournalText("one", segments: 3))
            await bench.sync.look()
            await bench.index.close()
            try await bench.index.open()
            await bench.sync.look()
            #expect(bench.store.gets.count == 1)
            #expect(try await bench.rows().count == 1)
        }
    }

    @Test("a store that is away is told once, and read from the start when it is back")
    func away() async throws {
        try await StoreBench.run { bench in
            try await bench.put(JournalText("one", segments: 3))
            bench.store.set { $0.fault = .unavailable(reason: "away") }
            await bench.sync.look()
            await bench.sync.look()
            #expect(await bench.sync.status().failures == 2)
            #expect(await bench.sync.status().lastFailure?.contains("away") == true)
            bench.store.set { $0.fault = nil }
            await bench.sync.look()
            #expect(try await bench.rows().count == 1)
            #expect(await bench.sync.status().lastFailure == nil)
        }
    }

    // MARK: hostile journals

    private static let hostileBytes: [(name: String, bytes: [UInt8])] = {
        func line(_ change: (inout JournalText) -> Void) -> [UInt8] {
            var text = JournalText("x", segments: 2)
            change(&text)
            return text.bytes
        }
        let good = line { _ in }
        let half = Array(good.prefix(40))
        return [
            ("empty", []), ("no lines", Array("hello".utf8)), ("half a first line", half),
            ("not text", [0xFF, 0x00, 0x0A, 0x0A]),
            ("another's name", line { $0.id = "y" }), ("no stream name", line { $0.stream = "../etc" }),
            ("no alias", line { $0.node = "a~b" }), ("a node without a name", line { $0.node = "" }),
            ("another time", line { $0.startUs = .max / 2 }),
            ("names elsewhere", Array(String(decoding: good, as: UTF8.self).replacing("init_x", with: "../../init_x").utf8)),
            ("nested", Array(repeating: 0x5B, count: 100_000) + [0x0A]),
        ]
    }()

    @Test("what is no journal makes no recording and harms no other", arguments: hostileBytes.map(\.name))
    func hostile(name: String) async throws {
        let bytes = try #require(Self.hostileBytes.first { $0.name == name }).bytes
        try await StoreBench.run { bench in
            try await bench.put("demo/2026/11/20/session_x.jsonl", bytes)
            try await bench.put(JournalText("zebra", segments: 2))
            await bench.sync.look()
            let rows = try await bench.rows()
            // One track of "names elsewhere" is sound.
            #expect(rows.map(\.session).filter { $0 != "x" } == ["zebra"])
            for row in rows where row.session == "x" {
                let keys = try await bench.index.periods(of: row).flatMap(\.tracks).map(\.initialization)
                #expect(keys == ["demo/2026/11/20/audio_init_x.m4s"])
            }
            #expect(await bench.sync.status().rounds == 1)
        }
    }

    @Test("torn and changed journals give what is whole in them, of their own session and directory", arguments: 0..<4)
    func mutated(seed: Int) async throws {
        var random = SeededGenerator(state: UInt64(seed))
        let good = JournalText("x", segments: 6).bytes
        try await StoreBench.run { bench in
            for _ in 0..<40 {
                var bytes = Array(good.prefix(Int.random(in: 0...good.count, using: &random)))
                for _ in 0..<Int.random(in: 0...4, using: &random) where !bytes.isEmpty {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                }
                try await bench.put("demo/2026/11/20/session_x.jsonl", bytes)
                await bench.sync.look()
                for stream in try await bench.index.streams() {
                    for row in try await bench.rows(stream) {
                        #expect(row.session == "x" && row.recordDir == "demo/2026/11/20")
                        #expect(try await bench.segments(row) <= 6)
                    }
                }
            }
            #expect(await bench.sync.status().failures == 0)
            try await bench.put("demo/2026/11/20/session_x.jsonl", good)
            await bench.sync.look()
            let rows = try await bench.rows()
            #expect(rows.count == 1 && rows[0].status == .completed)
        }
    }

    // MARK: nodes that live

    @Test("a journal whose recording a node tells of isn't even read")
    func livingNode() async throws {
        try await StoreBench.run { bench in
            let text = JournalText("one", segments: 40)
            try await bench.put(text)
            try await bench.tell(text, by: "edge-a")
            for nodes in [(here: Set(["edge-a"]), away: Set<String>()), (here: [], away: ["edge-a"])] {
                bench.setNodes(here: nodes.here, away: nodes.away, read: ["edge-a"])
                await bench.sync.look()
            }
            #expect(bench.store.gets.isEmpty)
            #expect(try await bench.rows().count == 1)
        }
    }

    @Test("a node that answers is given time to tell; what it has not is then taken from the store", arguments: [false, true])
    func unsettled(hasRead: Bool) async throws {
        try await StoreBench.run { bench in
            try await bench.put(JournalText("one", segments: 4))
            bench.setNodes(here: ["edge-a"], read: hasRead ? ["edge-a"] : [])
            await bench.sync.look()
            #expect(try await bench.rows().isEmpty)
            bench.state.aheadUs.withLock { $0 = 61_000_000 }
            await bench.sync.look()
            #expect(try await bench.rows().count == (hasRead ? 1 : 0))
        }
    }

    @Test(
        "a node that comes back with its journals has its own row, one, whatever it is called here",
        arguments: ["edge-a", "other"])
    func comesBack(alias: String) async throws {
        try await StoreBench.run { bench in
            var text = JournalText("one", segments: 4, end: .none)
            try await bench.put(text)
            await bench.sync.look()
            #expect(try await bench.rows().map(\.status) == [.incomplete])
            (text.segments, text.end) = (6, .row)
            bench.setNodes(here: [alias], read: [alias])
            try await bench.tell(text, by: alias)
            let rows = try await bench.rows()
            #expect(rows.map(\.node) == [alias] && rows.map(\.status) == [.completed])
            #expect(try await bench.segments(rows[0]) == 6)
            // Nor does the journal that it ships by and by change that.
            try await bench.put(text)
            bench.state.aheadUs.withLock { $0 = 100_000_000 }
            await bench.sync.look()
            #expect(try await bench.rows() == rows)
        }
    }

    @Test("what a node tells wins also when the journal in the store is newer")
    func nodeWins() async throws {
        try await StoreBench.run { bench in
            var text = JournalText("one", segments: 9)
            try await bench.put(text)
            await bench.sync.look()
            (text.segments, text.end) = (2, .none)
            bench.setNodes(here: ["edge-a"])
            try await bench.tell(text, by: "edge-a")
            let rows = try await bench.rows()
            #expect(rows.map(\.status) == [.active] && rows[0].endUs == nil)
            #expect(try await bench.segments(rows[0]) == 2)
        }
    }

    @Test("what a node told and took along is cut down to what the store has, until it is back")
    func takenAlong() async throws {
        try await StoreBench.run { bench in
            var text = JournalText("one", segments: 3, end: .none)
            try await bench.put(text)
            text.segments = 8
            try await bench.tell(text, by: "edge-a")
            bench.setNodes(away: ["edge-a"])
            await bench.sync.look()
            #expect(try await bench.segments(try await bench.rows()[0]) == 8)
            bench.setNodes()
            for _ in 0..<2 { await bench.sync.look() }
            let rows = try await bench.rows()
            // Once because it might be a notice, and once for what is in it.
            #expect(rows.map(\.status) == [.incomplete] && bench.store.gets.count == 2)
            #expect(try await bench.segments(rows[0]) == 3)
            #expect(try await bench.index.cursor(node: "edge-a") == nil, "it is asked for everything")
            try await bench.tell(text, by: "edge-a")
            #expect(try await bench.segments(try await bench.rows()[0]) == 8)
        }
    }

    // MARK: removal

    @Test("a removal takes the recording's objects and no others, and leaves a notice that every index understands")
    func removes() async throws {
        try await StoreBench.run { bench in
            var first = JournalText("first", segments: 3)
            first.isPlain = true
            let second = JournalText("second", segments: 2)
            for text in [first, second] { try await bench.put(text, withObjects: true) }
            try await bench.put("demo/2026/11/20/other.m4s", [1])
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
            let other = RecordingIndex(path: bench.folder.file("other.db"))
            try await other.open()
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
            try await bench.put(text, withObjects: true)
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
            for each in [text, neighbour] { try await bench.put(each, withObjects: true) }
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
