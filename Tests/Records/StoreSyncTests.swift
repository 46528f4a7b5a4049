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

extension RecordedSession.Segment {
    /// Microseconds of the Period, of sound at 48 kHz.
    fileprivate var endUs: Int64 { ((time + duration) * 1_000_000 + 47_999) / 48_000 }
}

@Suite("Recordings that only the shared store tells of", .timeLimit(.minutes(5)))
struct StoreSyncTests {
    @Test(
        "what a gone node closed is listed as it closed it, and what it left open as incomplete, up to its last segment",
        arguments: IndexKind.allCases)
    func indexes(kind: IndexKind) async throws {
        try await StoreBench.run(kind) { bench in
            let closed = JournalText("closed", segments: 5)
            var open = JournalText("open", segments: 7, end: .none)
            open.startUs += 100_000_000
            try bench.put(closed)
            try bench.put(open)
            try bench.put(JournalText("announced", segments: 0, end: .none))
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

    @Test(
        "a journal is read again when it has changed, and not before; one that is gone takes its recording along",
        arguments: IndexKind.allCases)
    func incremental(kind: IndexKind) async throws {
        try await StoreBench.run(kind) { bench in
            var text = JournalText("one", segments: 3, end: .none)
            try bench.put(text)
            try bench.put("demo/2026/11/20/session_bad.jsonl", Array("no journal\n".utf8))
            for _ in 0..<3 { await bench.sync.look() }
            #expect(bench.journalsRead.sorted() == ["demo/2026/11/20/session_bad.jsonl", text.path])
            (text.segments, text.end) = (9, .row)
            try bench.put(text)
            await bench.sync.look()
            let rows = try await bench.rows()
            #expect(rows.map(\.status) == [.completed] && bench.journalsRead.count == 3)
            #expect(try await bench.segments(rows[0]) == 9)
            try await bench.store.files.delete(try ObjectKey(text.path))
            await bench.sync.look()
            #expect(try await bench.rows().isEmpty)
            #expect(await bench.sync.status().failures == 0)
        }
    }

    @Test(
        "a segment that is taken back leaves a hole in the index, be it the journal's word or a node's",
        arguments: IndexKind.allCases)
    func hole(kind: IndexKind) async throws {
        try await StoreBench.run(kind) { bench in
            for (id, isTold) in [("stored", false), ("told", true)] {
                var text = JournalText(id, segments: 5)
                text.directory = "demo/2026/11/20/\(id)"
                if isTold { try await bench.tell(text, by: "edge-b") } else { try bench.put(text) }
                await bench.sync.look()
                let whole = try #require(RecordedSession.read(text.bytes, directory: text.directory)).session
                var gone = JournalLine(.gone, at: whole.updatedUs + 1)
                (gone.period, gone.kind, gone.number) = (1, .video, 2)
                let bytes = text.bytes + gone.encoded()
                let session = try #require(RecordedSession.read(bytes, directory: text.directory)).session
                let periods = IndexedPeriod.periods(of: session.detail)
                if isTold {
                    #expect(try await bench.index.upsert(try #require(IndexedRecording(session.row, node: "edge-b"))))
                    try await bench.index.setDetail(node: "edge-b", session: id, periods: periods, updatedUs: session.updatedUs)
                } else {
                    try bench.put(text.path, bytes)
                    await bench.sync.look()
                }
                let row = try #require(try await bench.index.recordings(session: id).first)
                #expect(try await bench.index.periods(of: row) == periods)
                #expect(try await bench.index.periods(of: row).first?.tracks.first?.segments.map(\.number) == [1, 3, 4, 5])
            }
        }
    }

    @Test("what an index has read is not read again after a restart")
    func restart() async throws {
        try await StoreBench.run { bench in
            try bench.put(JournalText("one", segments: 3))
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
            try bench.put(JournalText("one", segments: 3))
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

    // MARK: what came after the journal

    /// Three segments by the journal, and more sound in the store: the fourth to the sixth and the eighth.
    private func putTail(_ bench: StoreBench, gapTicks: Int64 = 0) throws -> (text: JournalText, whole: JournalText) {
        let text = JournalText("one", segments: 3, end: .none)
        var whole = text
        whole.segments = 8
        try bench.put(text)
        let silence = try #require(Silence(codecs: "opus", sampleRate: 48_000, channels: 2))
        let session = try #require(RecordedSession.read(whole.bytes, directory: whole.directory)).session
        let sound = try #require(session.periods[0].tracks.last)
        for segment in sound.segments where [4, 5, 6, 8].contains(segment.number) {
            let time = segment.time + (segment.number == 6 ? gapTicks : 0)
            let bytes = try silence.segment(time: time, duration: segment.duration)
            try bench.put("\(text.directory)/\(sound.objectName(segment.number))", bytes)
        }
        try bench.put("\(text.directory)/seg_one_0004.m4s", [1, 2, 3])
        return (text, whole)
    }

    @Test(
        "segments that arrived after their journal did last are listed, as far as they go on, and the journal then tells of them")
    func tail() async throws {
        try await StoreBench.run { bench in
            let (text, whole) = try putTail(bench)
            await bench.sync.look()
            let expected = try #require(RecordedSession.read(whole.bytes, directory: whole.directory)).session.periods[0].tracks
            let row = try await bench.rows()[0]
            let tracks = try await bench.index.periods(of: row)[0].tracks
            #expect(tracks.map(\.segments.count) == [3, 6])
            #expect(tracks[1].segments.map(\.duration) == expected[1].segments.prefix(6).map(\.duration))
            #expect(row.status == .incomplete && row.endUs == row.startUs + expected[1].segments[5].endUs)
            let bytes = try await bench.store.files.read(try ObjectKey(text.path), limit: 1 << 20)
            #expect(bytes.starts(with: text.bytes))
            #expect(
                RecordedSession.read(bytes, directory: text.directory)?.session.periods[0].tracks.map(\.segments.count) == [3, 6])
            let asked = bench.store.gets.count
            await bench.sync.look()
            #expect(bench.store.gets.count == asked && bench.store.puts.map(\.key) == [text.path])
        }
    }

    @Test("a segment that does not go on where the one before it ended is not listed, nor one that a closed journal leaves out")
    func noTail() async throws {
        try await StoreBench.run { bench in
            var (text, _) = try putTail(bench, gapTicks: 480)
            await bench.sync.look()
            #expect(try await bench.index.periods(of: try await bench.rows()[0])[0].tracks.map(\.segments.count) == [3, 5])
            text.end = .row
            try bench.put(text)
            await bench.sync.look()
            #expect(try await bench.index.periods(of: try await bench.rows()[0])[0].tracks.map(\.segments.count) == [3, 3])
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
            try bench.put("demo/2026/11/20/session_x.jsonl", bytes)
            try bench.put(JournalText("zebra", segments: 2))
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
                try bench.put("demo/2026/11/20/session_x.jsonl", bytes)
                await bench.sync.look()
                for stream in try await bench.index.streams() {
                    for row in try await bench.rows(stream) {
                        #expect(row.session == "x" && row.recordDir == "demo/2026/11/20")
                        #expect(try await bench.segments(row) <= 6)
                    }
                }
            }
            #expect(await bench.sync.status().failures == 0)
            try bench.put("demo/2026/11/20/session_x.jsonl", good)
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
            try bench.put(text)
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
            try bench.put(JournalText("one", segments: 4))
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
        arguments: ["edge-a", "other"], IndexKind.allCases)
    func comesBack(alias: String, kind: IndexKind) async throws {
        try await StoreBench.run(kind) { bench in
            var text = JournalText("one", segments: 4, end: .none)
            try bench.put(text)
            await bench.sync.look()
            #expect(try await bench.rows().map(\.status) == [.incomplete])
            (text.segments, text.end) = (6, .row)
            bench.setNodes(here: [alias], read: [alias])
            try await bench.tell(text, by: alias)
            let rows = try await bench.rows()
            #expect(rows.map(\.node) == [alias] && rows.map(\.status) == [.completed])
            #expect(try await bench.segments(rows[0]) == 6)
            // Nor does the journal that it ships by and by change that.
            try bench.put(text)
            bench.state.aheadUs.withLock { $0 = 100_000_000 }
            await bench.sync.look()
            #expect(try await bench.rows() == rows)
        }
    }

    @Test("a row that a node told in the meantime is not replaced")
    func toldMeanwhile() async throws {
        try await StoreBench.run { bench in
            let text = JournalText("one", segments: 4)
            let session = try #require(RecordedSession.read(text.bytes, directory: text.directory)).session
            let recording = try #require(IndexedRecording(fromStore: session))
            try await bench.tell(text, by: "other")
            let told = try await bench.rows()
            try await bench.index.put(fromStore: recording, [], takesOver: false)
            #expect(try await bench.rows() == told)
            #expect(try await bench.index.cursor(node: "other") != nil)
        }
    }

    @Test("what a node tells wins also when the journal in the store is newer")
    func nodeWins() async throws {
        try await StoreBench.run { bench in
            var text = JournalText("one", segments: 9)
            try bench.put(text)
            await bench.sync.look()
            (text.segments, text.end) = (2, .none)
            bench.setNodes(here: ["edge-a"])
            try await bench.tell(text, by: "edge-a")
            let rows = try await bench.rows()
            #expect(rows.map(\.status) == [.active] && rows[0].endUs == nil)
            #expect(try await bench.segments(rows[0]) == 2)
        }
    }

    @Test("what a node told and took along is cut down to what the store has, until it is back", arguments: IndexKind.allCases)
    func takenAlong(kind: IndexKind) async throws {
        try await StoreBench.run(kind) { bench in
            var text = JournalText("one", segments: 3, end: .none)
            try bench.put(text)
            text.segments = 8
            try await bench.tell(text, by: "edge-a")
            bench.setNodes(away: ["edge-a"])
            await bench.sync.look()
            #expect(try await bench.segments(try await bench.rows()[0]) == 8)
            bench.setNodes()
            for _ in 0..<2 { await bench.sync.look() }
            let rows = try await bench.rows()
            // Once because it might be a notice, and once for what is in it.
            #expect(rows.map(\.status) == [.incomplete] && bench.journalsRead.count == 2)
            #expect(try await bench.segments(rows[0]) == 3)
            #expect(try await bench.index.cursor(node: "edge-a") == nil, "it is asked for everything")
            try await bench.tell(text, by: "edge-a")
            #expect(try await bench.segments(try await bench.rows()[0]) == 8)
        }
    }
}
