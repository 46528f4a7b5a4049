import Cluster
import EdgeFixtures
import HTTP
import Journal
import Nodes
import Presentation
import Synchronization
import Testing

@testable import Record
@testable import Records

/// A session that grows as a node's journal makes it grow.
private struct GrowingSession {
    private(set) var session: RecordedSession
    private(set) var ends: [LaneKind: (number: Int, time: Int64)] = [:]
    private var at: Int64

    init?(_ id: String) {
        var line = JournalLine(.session, at: tenOClockUs)
        (line.id, line.stream, line.node, line.startUs) = (id, "demo", "a", tenOClockUs)
        guard let session = RecordedSession(line, directory: "demo/2026/11/20") else { return nil }
        self.session = session
        at = tenOClockUs
    }

    private mutating func apply(_ event: JournalLine.Event, _ change: (inout JournalLine) -> Void) {
        at += 1
        var line = JournalLine(event, at: at)
        line.period = session.periods.last?.number
        change(&line)
        session.apply(line)
    }

    mutating func begin(startUs: Int64, codecs: String = "avc1.42e01f", kinds: [LaneKind] = LaneKind.allCases) {
        let number = (session.periods.last?.number ?? 0) + 1
        if number > 1 { apply(.periodEnd) { _ in } }
        apply(.period) { ($0.period, $0.startUs, $0.continues) = (number, startUs, number % 2 == 0 ? true : nil) }
        ends = [:]
        for kind in kinds { track(kind, codecs: codecs) }
    }

    mutating func track(_ kind: LaneKind, codecs: String = "avc1.42e01f") {
        let number = session.periods.last?.number ?? 0
        apply(.track) { line in
            (line.kind, line.timescale) = (kind, kind == .video ? 90_000 : 48_000)
            line.codecs = kind == .video ? codecs : "opus"
            (line.initialization, line.prefix) = ("\(kind)_p\(number).m4s", "\(kind)_p\(number)_")
            if kind == .video { (line.width, line.height) = (1_280, 720) } else { line.channels = 2 }
        }
    }

    mutating func segment(_ kind: LaneKind, duration: Int64, bytes: Int64, samples: Int, sync: Bool? = nil) {
        let (number, time) = ends[kind] ?? (0, 0)
        apply(.segment) { line in
            (line.kind, line.number, line.time, line.duration) = (kind, number + 1, time, duration)
            (line.bytes, line.samples, line.sync) = (bytes, samples, sync)
        }
        ends[kind] = (number + 1, time + duration)
    }

    mutating func end() { apply(.end) { _ in } }

    /// One step of a life: mostly segments, at times another period, other codecs, another rate of pictures, a track that comes late.
    mutating func step(_ generator: inout some RandomNumberGenerator) {
        let kinds = session.periods.last?.tracks.map(\.kind) ?? []
        switch Int.random(in: 0..<40, using: &generator) {
        case _ where kinds.isEmpty, 0:
            let late = Int.random(in: 0..<3, using: &generator) == 0
            begin(
                startUs: tenOClockUs + at % 1_000_000 * 1_000,
                codecs: Bool.random(using: &generator) ? "avc1.42e01f" : "avc1.640028",
                kinds: late ? [.audio] : LaneKind.allCases)
        case 1...4 where kinds.count == 1: track(kinds == [.audio] ? .video : .audio)
        default:
            for kind in kinds where Bool.random(using: &generator) {
                let ticks: Int64 = kind == .video ? 360_000 : 192_000
                segment(
                    kind,
                    duration: Bool.random(using: &generator) ? ticks : Int64.random(in: ticks - 90...ticks, using: &generator),
                    bytes: Int64.random(in: 900_000...1_300_000, using: &generator) / (kind == .video ? 1 : 30),
                    samples: [100, 120, 120, 240].randomElement(using: &generator) ?? 120,
                    sync: Int.random(in: 0..<9, using: &generator) == 0 ? false : nil)
            }
        }
    }
}

extension Records.RecordingIndex {
    /// All that is stored of recordings but the numbers of rows.
    fileprivate func dump() throws -> [String] {
        let tracks = try database().rows(
            """
            SELECT session, period, period_start_us, place, kind, codecs, timescale, time_at_start, initialization, segment_prefix,
                bandwidth, width, height, frame_rate, sample_rate, channels, continues, detail_us
            FROM tracks JOIN recordings ON recording = recordings.id ORDER BY session, period, place
            """
        ) { row in (0..<18).map { row.text(Int32($0)) }.joined(separator: "|") }
        let spans = try database().rows(
            """
            SELECT period, place, number, t, t_end, count, durations, unsynced FROM spans JOIN tracks ON track = tracks.id
            ORDER BY recording, period, place, number
            """
        ) { row in (0..<8).map { row.text(Int32($0)) }.joined(separator: "|") }
        return tracks + spans
    }
}

@Suite("Recordings that grow are told in pieces", .timeLimit(.minutes(5)))
struct RecordingGrowthTests {
    private static let life = "life"

    private func told(_ session: RecordedSession, after: String?, life: String = life) throws -> (RecordingDetail, Int) {
        let bytes = try ClusterJSON.encode(session.detail(after: after, life: life))
        return (try ClusterJSON.decode(RecordingDetail.self, from: bytes), bytes.count)
    }

    @Test(
        "what the index has after pieces is what it has after everything at once",
        arguments: (0..<6).map { (IndexKind.sqlite, $0) } + [(.postgresql, 6)])
    func sameRows(kind: IndexKind, seed: UInt64) async throws {
        var generator = SeededGenerator(state: seed)
        let pieces = try await IndexHome(kind).open()
        var life = Self.life
        var session = try #require(GrowingSession("s"))
        var counts = (pieces: 0, whole: 0)
        for round in 0..<150 {
            for _ in 0..<Int.random(in: 1...12, using: &generator) { session.step(&generator) }
            if round == 149 { session.end() }
            // Another process answers, and one that tells nothing new.
            if round == 60 { life = "next" }
            let row = try #require(IndexedRecording(session.session.row, node: "a"))
            guard try await pieces.upsert(row) else { continue }
            let after = try await pieces.detailNext(node: "a", session: "s")
            var (detail, _) = try told(session.session, after: after, life: life)
            var isExtended = false
            if detail.first != nil, let growth = RecordingGrowth(detail) {
                isExtended = try await pieces.extendDetail(
                    node: "a", session: "s", after: after, growth, updatedUs: detail.updatedAt, next: detail.next)
                #expect(isExtended, "a piece that was asked for fits")
                counts.pieces += 1
            }
            if !isExtended {
                (detail, _) = try told(session.session, after: nil, life: life)
                try await pieces.setDetail(
                    node: "a", session: "s", periods: IndexedPeriod.periods(of: detail), updatedUs: detail.updatedAt,
                    next: detail.next)
                counts.whole += 1
            }
            guard round % 10 == 9 else { continue }
            let whole = try await IndexHome(kind).open()
            _ = try await whole.upsert(row)
            (detail, _) = try told(session.session, after: nil)
            try await whole.setDetail(
                node: "a", session: "s", periods: IndexedPeriod.periods(of: detail), updatedUs: detail.updatedAt)
            #expect(try await pieces.dump() == whole.dump(), "round \(round)")
            await whole.close()
        }
        // At first, for the other process, and when a track came in front of one that had segments.
        #expect(counts.pieces > 8 * counts.whole, "\(counts)")
        await pieces.close()
    }

    @Test("tokens that are none are answered with everything", arguments: 0..<4 as Range<UInt64>)
    func hostileTokens(seed: UInt64) throws {
        var generator = SeededGenerator(state: seed)
        var session = try #require(GrowingSession("s"))
        for _ in 0..<300 { session.step(&generator) }
        let whole = session.session.detail(after: nil, life: Self.life)
        let token = try #require(whole.next)
        #expect(
            session.session.detail(after: token, life: Self.life).periods.allSatisfy { $0.tracks.allSatisfy(\.segments.isEmpty) })
        #expect(session.session.detail(after: token, life: "other").first == nil)
        let odd = [
            "", ".", "...", "life.0..0", "life.-1.0-0.0", "life.9999999.1.0", "life.0.99999999999999999999.1", "life.0.1-1-1-1.z",
        ]
        for text in odd { #expect(session.session.detail(after: text, life: Self.life) == whole) }
        for _ in 0..<200 {
            var bytes = Array(token.utf8)
            bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0x20...0x7E, using: &generator)
            let text = String(decoding: bytes, as: UTF8.self)
            if text != token { #expect(session.session.detail(after: text, life: Self.life) == whole) }
        }
    }

    @Test("pieces that do not fit change nothing", arguments: IndexKind.allCases)
    func misfits(kind: IndexKind) async throws {
        let index = try await IndexHome(kind).open()
        var session = try #require(GrowingSession("s"))
        session.begin(startUs: tenOClockUs)
        for _ in 0..<5 { for kind in LaneKind.allCases { session.segment(kind, duration: 90_000, bytes: 1_000, samples: 30) } }
        let row = try #require(IndexedRecording(session.session.row, node: "a"))
        _ = try await index.upsert(row)
        let (detail, _) = try told(session.session, after: nil)
        session.segment(.video, duration: 90_000, bytes: 1_000, samples: 30)
        let (piece, _) = try told(session.session, after: detail.next)
        let growth = try #require(RecordingGrowth(piece))
        func extend(_ growth: RecordingGrowth) async throws -> Bool {
            try await index.extendDetail(node: "a", session: "s", after: nil, growth, updatedUs: 1, next: "x")
        }
        #expect(try await !extend(growth), "nothing is stored yet")
        try await index.setDetail(node: "a", session: "s", periods: IndexedPeriod.periods(of: detail), updatedUs: 1)
        let before = try await index.dump()
        for change in 0..<5 {
            var other = growth
            switch change {
            case 0: other.known[0] += 1
            case 1: other.periods[0].ordinal = 1
            case 2: other.periods[0].tracks.swapAt(0, 1)
            case 3: other.known = []
            default: other.periods[0].tracks.removeLast()
            }
            #expect(try await !extend(other), "change \(change)")
            #expect(try await index.dump() == before)
        }
        #expect(try await extend(growth))
        #expect(try await index.detailNext(node: "a", session: "s") == "x")
        var odd = piece
        odd.periods[0].tracks[0].segments[0].object = "elsewhere.m4s"
        #expect(RecordingGrowth(odd) == nil)
        odd = piece
        odd.first = -1
        #expect(RecordingGrowth(odd) == nil)
        odd.first = nil
        #expect(RecordingGrowth(odd) == nil)
        await index.close()
    }

    /// What one round of sync takes beside the bodies: heads of two requests and their answers, generously.
    private static let headBytes = 1_600

    @Test("through a day of 2.5 Mb/s in periods of an hour, sync takes less than a hundredth of the media")
    func bytesOfADay() throws {
        var session = try #require(GrowingSession("s"))
        var generator = SeededGenerator(state: 3)
        func grow(_ kind: LaneKind, _ session: inout GrowingSession) {
            let bytes = Int64.random(in: 900_000...1_500_000, using: &generator)
            session.segment(
                kind, duration: (kind == .video ? 360_000 : 192_000) - Int64.random(in: 0..<90, using: &generator),
                bytes: kind == .video ? bytes : 32_000, samples: 120)
        }
        var parts: [(sync: Int, media: Int)] = []
        for hour in 0..<24 {
            session.begin(startUs: tenOClockUs + Int64(hour) * 3_600_000_000)
            for _ in 0..<890 { for kind in LaneKind.allCases { grow(kind, &session) } }
            // The first answer of the hour, then a round for each segment.
            var next = try told(session.session, after: nil).0.next
            var bytes = 0
            for round in 0..<20 {
                grow(round % 2 == 0 ? .video : .audio, &session)
                let (detail, size) = try told(session.session, after: next)
                #expect(detail.first == hour)
                next = detail.next
                bytes += size + (try ClusterJSON.encode(RecordingsPage(sessions: [session.session.row])).count) + Self.headBytes
            }
            parts.append((bytes, 10 * 1_250_000))
        }
        let share = Double(parts.reduce(0) { $0 + $1.sync }) / Double(parts.reduce(0) { $0 + $1.media })
        #expect(share < 0.01, "\(share)")
        #expect((parts.last?.sync ?? 0) < (parts.first?.sync ?? 0) * 11 / 10, "the last hour costs what the first does")
    }

    @Test("a growing recording is fetched whole once, then in pieces; a node that starts anew is asked for everything")
    func overHTTP() async throws {

        let edge = try TestEdge("a")
        let session = Mutex(try #require(GrowingSession("s")))
        let life = Mutex(Self.life)
        @Sendable func show() {
            let value = session.withLock { $0.session }
            let name = life.withLock { $0 }
            edge.setGrowing(value.row) { value.detail(after: $0, life: name) }
        }
        @Sendable func grow(_ count: Int) {
            session.withLock { session in
                for _ in 0..<count {
                    for kind in LaneKind.allCases { session.segment(kind, duration: 90_000, bytes: 1_000, samples: 30) }
                }
            }
            show()
        }
        session.withLock { $0.begin(startUs: tenOClockUs) }
        grow(700)
        let client = HTTPClient()
        let index = try await IndexHome(.sqlite).open()
        let directory = NodeDirectory(nodes: [ConfiguredNode(alias: "a", url: edge.url, token: nil)], client: client)
        let sync = RecordingSync(directory: directory, index: index, client: client)
        await directory.start()
        await sync.start()
        @Sendable func count() async throws -> Int {
            guard let recording = try await index.recording(node: "a", session: "s") else { return 0 }
            return try await index.periods(of: recording).first?.tracks.first?.segments.count ?? 0
        }
        try await eventually("the first segments") { try await count() == 700 }
        grow(3)
        try await eventually("three more") { try await count() == 703 }
        life.withLock { $0 = "next" }
        grow(1)
        try await eventually("one more of the next life") { try await count() == 704 }
        let asked = edge.seen.filter { $0.path == "/api/recordings/s" }.map { $0.query.hasPrefix("after=") }
        #expect(asked.first == false && asked.dropFirst().allSatisfy { $0 } && asked.count >= 3)
        await sync.stop()
        await directory.stop()
        await client.shutdown()
        await index.close()
        await edge.stop()
    }
}
