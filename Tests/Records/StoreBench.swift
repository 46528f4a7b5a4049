import Cluster
import EdgeFixtures
import Foundation
import Journal
import Nodes
import Presentation
import Store
import StoreFixtures
import Synchronization
import Testing

@testable import Records

/// An index and a shared store, looked at as often as a test likes, with nodes that are as it says.
struct StoreBench {
    let folder: TemporaryFolder
    let store: FaultyStore
    private let home: IndexHome
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

    static func run(_ kind: IndexKind = .sqlite, _ body: (StoreBench) async throws -> Void) async throws {
        let bench = try StoreBench(kind)
        try await bench.index.open()
        do { try await body(bench) } catch { Issue.record(error) }
        await bench.index.close()
    }

    private init(_ kind: IndexKind) throws {
        folder = try TemporaryFolder()
        store = try FaultyStore(root: folder.file("store"))
        home = try IndexHome(kind)
        index = RecordingIndex(home.location)
        stored = StoredRecordings(store: store, index: index) { [state] in
            WallTime.nowUs() + state.aheadUs.withLock { $0 }
        }
        sync = StoreSync(
            stored, presences: { [state] in state.nodes.withLock { $0 } },
            hasRead: { [state] alias in state.read.withLock { $0.contains(alias) } })
    }

    func put(_ text: JournalText, withObjects: Bool = false) throws {
        try put(text.path, text.bytes)
        for object in withObjects ? text.objects : [] { try put(object, [1, 2, 3]) }
    }

    func put(_ path: String, _ bytes: [UInt8]) throws {
        try store.files.putUnflushedNow(try ObjectKey(path), bytes)
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

    /// The journals that were read.
    var journalsRead: [String] { store.gets.filter { $0.hasSuffix(".jsonl") } }

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

enum WallTime {
    static func nowUs() -> Int64 { UpdateClock(now: { Int64(Date().timeIntervalSince1970 * 1e6) }).next() }
}
