import EdgeFixtures
import Presentation
import Testing

@testable import Records

@Suite("Recording index")
struct RecordingIndexTests {
    @Test("a record delivered twice is one row, and the newer version wins whatever the order", arguments: IndexKind.allCases)
    func upsertIsIdempotent(kind: IndexKind) async throws {
        let index = try await IndexHome(kind).open()
        #expect(try await index.upsert(recording("a")))
        let done = recording(
            "a", endUs: tenOClockUs + 5_000_000, status: .completed, updatedUs: tenOClockUs + 9)
        #expect(try await index.upsert(done))
        #expect(try await index.upsert(recording("a")))
        let rows = try await index.recordings(RecordingQuery(stream: "demo"))
        #expect(rows.count == 1)
        #expect(rows.first?.status == .completed)
        #expect(rows.first?.endUs == tenOClockUs + 5_000_000)
    }

    @Test("the same session name on two nodes, streams or days makes three rows more", arguments: IndexKind.allCases)
    func keyHasFourParts(kind: IndexKind) async throws {
        let index = try await IndexHome(kind).open()
        _ = try await index.upsert(recording("a"))
        _ = try await index.upsert(recording("a", node: "edge-2"))
        _ = try await index.upsert(recording("a", stream: "other"))
        _ = try await index.upsert(recording("a", startUs: tenOClockUs + 86_400_000_000))
        #expect(try await index.counts() == (all: 4, active: 4))
        #expect(try await index.first(stream: "other", session: nil)?.startUs == tenOClockUs)
        #expect(try await index.first(stream: "demo", session: "b")?.startUs == nil)
        #expect(try await index.recordings(session: "a").map(\.node).contains("edge-2"))
        #expect(try await index.streams() == ["demo", "other"])
    }

    @Test("detail is wanted once for each version of a record", arguments: IndexKind.allCases)
    func detailFollowsVersions(kind: IndexKind) async throws {
        let index = try await IndexHome(kind).open()
        _ = try await index.upsert(recording("a"))
        try await index.setDetail(node: "edge-1", session: "a", periods: [period(segments: 3)], updatedUs: tenOClockUs)
        #expect(try await !index.upsert(recording("a")))
        #expect(try await index.upsert(recording("a", updatedUs: tenOClockUs + 1)))
    }

    @Test("a growing recording keeps its old segments, a repaired one loses what is gone", arguments: IndexKind.allCases)
    func detailGrowsAndShrinks(kind: IndexKind) async throws {
        let index = try await IndexHome(kind).open()
        _ = try await index.upsert(recording("a"))
        let stored = try #require(try await index.recording(node: "edge-1", session: "a"))
        for count in [3, 5, 5, 4] {
            try await index.setDetail(
                node: "edge-1", session: "a", periods: [period(segments: count)], updatedUs: tenOClockUs)
            #expect(try await index.periods(of: stored) == [period(segments: count)])
        }
    }

    @Test(
        "a growing recording is the same as one stored at once, also past a row's end and over breaks",
        arguments: IndexKind.allCases)
    func grows(kind: IndexKind) async throws {
        let index = try await IndexHome(kind).open()
        _ = try await index.upsert(recording("a"))
        let stored = try #require(try await index.recording(node: "edge-1", session: "a"))
        var all: [IndexedSegment] = []
        var (number, time) = (Int64(1), Int64(90_000))
        for step in 0..<1_300 {
            if step % 400 == 399 { (number, time) = (number + 3, time + 17) }
            let duration: Int64 = step % 7 == 0 ? 180_001 : 180_000
            let isForced = step % 100 == 37 || step == 512
            all.append(IndexedSegment(number: number, time: time, duration: duration, startsWithSync: !isForced))
            (number, time) = (number + 1, time + duration)
        }
        for end in [1, 2, 510, 511, 512, 513, 1_023, 1_024, 1_300, 900] {
            var grown = period(segments: 0, timeAtStart: 90_000)
            grown.tracks[0].segments = SegmentRuns(all.prefix(end))
            try await index.setDetail(node: "edge-1", session: "a", periods: [grown], updatedUs: tenOClockUs)
            #expect(try await index.periods(of: stored) == [grown])
        }
    }

    @Test("a range begins with what is needed to decode it, however far before it stands", arguments: IndexKind.allCases)
    func rangeSyncs(kind: IndexKind) async throws {
        let index = try await IndexHome(kind).open()
        _ = try await index.upsert(recording("a"))
        let stored = try #require(try await index.recording(node: "edge-1", session: "a"))
        var whole = period(segments: 1_500)
        whole.tracks[0].segments = SegmentRuns(
            whole.tracks[0].segments.map { segment in
                var segment = segment
                segment.startsWithSync = segment.number == 400 || segment.number >= 1_100
                return segment
            })
        try await index.setDetail(node: "edge-1", session: "a", periods: [whole], updatedUs: tenOClockUs)
        func first(_ second: Int64) async throws -> Int64? {
            try await index.periods(of: stored, fromUs: tenOClockUs + second * 1_000_000).first?.tracks.first?.segments.first?
                .number
        }
        #expect(try await first(2_100) == 400)
        #expect(try await first(2_198) == 1_100)
        #expect(try await first(2_201) == 1_101)
        #expect(try await first(100) == 51)
    }

    @Test(
        "a file from before it was known which segments begin with key frames is told, without losing what nobody can tell again")
    func olderFile() async throws {
        let home = try IndexHome(.sqlite)
        let index = try await home.open()
        for session in ["a", "b"] {
            _ = try await index.upsert(recording(session))
            try await index.setDetail(node: "edge-1", session: session, periods: [period(segments: 600)], updatedUs: tenOClockUs)
        }
        try await index.setCursor(SyncCursor(sinceUs: 7, incarnationMs: 8), node: "edge-1")
        await index.close()
        try home.connect().run(
            """
            DROP TABLE journals; DROP TABLE removed; DROP INDEX recordings_by_place;
            ALTER TABLE recordings DROP COLUMN from_store; ALTER TABLE spans DROP COLUMN unsynced; PRAGMA user_version = 5
            """)
        let again = try await home.open()
        #expect(try await again.cursor(node: "edge-1") == nil)
        #expect(try await again.upsert(recording("a")))
        var forced = period(segments: 600)
        forced.tracks[0].segments = SegmentRuns(
            forced.tracks[0].segments.map { segment in
                var segment = segment
                segment.startsWithSync = segment.number != 30 && segment.number != 513
                return segment
            })
        try await again.setDetail(node: "edge-1", session: "a", periods: [forced], updatedUs: tenOClockUs)
        let first = try #require(try await again.recording(node: "edge-1", session: "a"))
        let other = try #require(try await again.recording(node: "edge-1", session: "b"))
        #expect(try await again.periods(of: first) == [forced])
        #expect(try await again.periods(of: other) == [period(segments: 600)])
    }

    @Test("periods that a repair removed are gone with their segments", arguments: IndexKind.allCases)
    func periodsShrink(kind: IndexKind) async throws {
        let index = try await IndexHome(kind).open()
        _ = try await index.upsert(recording("a"))
        let stored = try #require(try await index.recording(node: "edge-1", session: "a"))
        let second = period(1, startUs: tenOClockUs + 60_000_000, continues: true, segments: 2)
        try await index.setDetail(
            node: "edge-1", session: "a", periods: [period(segments: 3), second], updatedUs: tenOClockUs)
        #expect(try await index.periods(of: stored) == [period(segments: 3), second])
        try await index.setDetail(node: "edge-1", session: "a", periods: [period(segments: 3)], updatedUs: tenOClockUs)
        #expect(try await index.periods(of: stored) == [period(segments: 3)])
    }

    @Test(
        "a range of wall clock selects the segments that touch it", arguments: IndexKind.allCases,
        [
            (from: 0.0, to: 2.0, numbers: [1]), (from: 2.0, to: 4.0, numbers: [2]),
            (from: 1.999, to: 4.001, numbers: [1, 2, 3]), (from: 5.0, to: 5.0, numbers: []),
            (from: -10.0, to: 0.0, numbers: []), (from: 9.9, to: 100.0, numbers: [5]),
        ] as [(from: Double, to: Double, numbers: [Int64])])
    func rangeSelects(kind: IndexKind, range: (from: Double, to: Double, numbers: [Int64])) async throws {
        let index = try await IndexHome(kind).open()
        _ = try await index.upsert(recording("a"))
        // Media time that does not begin at 0, as after a publisher came back.
        let whole = period(segments: 5, timeAtStart: 123_456_789)
        try await index.setDetail(node: "edge-1", session: "a", periods: [whole], updatedUs: tenOClockUs)
        let stored = try #require(try await index.recording(node: "edge-1", session: "a"))
        let found = try await index.periods(
            of: stored, fromUs: tenOClockUs + Int64(range.from * 1e6), toUs: tenOClockUs + Int64(range.to * 1e6))
        #expect(found.first?.tracks.first?.segments.map(\.number) == range.numbers)
    }

    @Test("pages meet without a hole or a double, also where starts are equal", arguments: IndexKind.allCases)
    func pages(kind: IndexKind) async throws {
        let index = try await IndexHome(kind).open()
        for number in 0..<25 {
            _ = try await index.upsert(recording("s\(number)", startUs: tenOClockUs + Int64(number / 4) * 1_000_000))
        }
        var seen: [String] = []
        var cursor: RecordingCursor?
        repeat {
            let page = try await index.recordings(RecordingQuery(stream: "demo", limit: 4, after: cursor))
            seen += page.map(\.session)
            cursor = page.count == 4 ? page.last.map { RecordingCursor(after: $0) } : nil
            if let made = cursor { #expect(RecordingCursor(made.description) == made) }
        } while cursor != nil
        #expect(seen.count == 25)
        #expect(Set(seen).count == 25)
        #expect(seen.first == "s24")
    }

    @Test("a listing is cut to from and to; an open end reaches every later from", arguments: IndexKind.allCases)
    func listingRange(kind: IndexKind) async throws {
        let index = try await IndexHome(kind).open()
        _ = try await index.upsert(recording("old", endUs: tenOClockUs + 10_000_000, status: .completed))
        _ = try await index.upsert(recording("open", startUs: tenOClockUs + 20_000_000))
        func sessions(_ from: Int64?, _ to: Int64?) async throws -> [String] {
            try await index.recordings(
                RecordingQuery(stream: "demo", fromUs: from.map { tenOClockUs + $0 }, toUs: to.map { tenOClockUs + $0 })
            ).map(\.session)
        }
        #expect(try await sessions(nil, nil) == ["open", "old"])
        #expect(try await sessions(10_000_000, nil) == ["open"])
        #expect(try await sessions(nil, 20_000_000) == ["old"])
        #expect(try await sessions(900_000_000, nil) == ["open"])
    }

    @Test("everything is still there after the file is closed and opened again", arguments: IndexKind.allCases)
    func survivesReopening(kind: IndexKind) async throws {
        let home = try IndexHome(kind)
        let index = try await home.open()
        _ = try await index.upsert(recording("a"))
        try await index.setDetail(node: "edge-1", session: "a", periods: [period(segments: 3)], updatedUs: tenOClockUs)
        try await index.setCursor(SyncCursor(sinceUs: 7, incarnationMs: 8), node: "edge-1")
        await index.close()
        let again = try await home.open()
        #expect(try await again.cursor(node: "edge-1") == SyncCursor(sinceUs: 7, incarnationMs: 8))
        let stored = try #require(try await again.recording(inDirectory: "demo/2026/11/20"))
        #expect(try await again.periods(of: stored) == [period(segments: 3)])
    }

    @Test("a later schema is refused in words", arguments: IndexKind.allCases)
    func laterSchema(kind: IndexKind) async throws {
        let home = try IndexHome(kind)
        try await home.open().close()
        try home.connect().run(kind == .sqlite ? "PRAGMA user_version = 99" : "UPDATE index_schema SET version = 99")
        await #expect { _ = try await home.open() } throws: { "\($0)".contains("schema version 99") }
    }

    @Test("a file that cannot be opened, and an index that is not open, are refused")
    func refusals() async throws {
        let folder = try TemporaryFolder()
        let missing = RecordingIndex(.sqlite(path: folder.file("no/such/dir/index.db")))
        await #expect(throws: IndexError.self) { try await missing.open() }
        let closed = RecordingIndex(.sqlite(path: folder.file("index.db")))
        await #expect(throws: IndexError.self) { try await closed.streams() }
    }

    @Test("an active recording of a node that is gone shows as lost, a completed one does not")
    func lostStatus() {
        #expect(recording("a").shownStatus(liveNodes: ["edge-1"]) == .active)
        #expect(recording("a").shownStatus(liveNodes: ["edge-2"]) == .lost)
        #expect(recording("a", status: .completed).shownStatus(liveNodes: []) == .completed)
    }

    @Test("cursors from outside never trap", arguments: ["", "-", "a", "a-b-c", "zzzzzzzzzzzzzzzzzzz-1", "\u{0}-1"])
    func hostileCursors(text: String) {
        #expect(RecordingCursor(text) == nil)
    }
}
