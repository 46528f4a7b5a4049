import Cluster
import Foundation
import Journal
import MediaFixtures
import Presentation
import StoreFixtures
import Synchronization
import TestThreads
import Testing

@testable import Record
@testable import Store

@Suite("Journals that are read at their ends, and what is kept of them", .offThePool)
struct OutlineTests {
    let place: RecordingDirectory

    init() throws { place = try RecordingDirectory() }

    private static let startUs: Int64 = 1_795_190_400_000_000

    /// A closed session of two tracks, as lines.
    private func lines(
        _ id: String, segments: Int, directory: String = "demo/2026/11/20", hasRow: Bool = true
    ) throws -> (lines: [JournalLine], session: RecordedSession) {
        var text = JournalText(id, segments: segments, end: hasRow ? .row : .plain)
        text.directory = directory
        return (text.lines, try #require(RecordedSession.read(text.bytes, directory: directory)).session)
    }

    private func write(_ bytes: [UInt8], _ id: String, directory: String = "demo/2026/11/20") throws -> ObjectKey {
        let key = try ObjectKey("\(directory)/\(JournalName.of(id))")
        try place.store.putNow(key, bytes, ifAbsent: false)
        return key
    }

    private func recorder() throws -> Recorder {
        try place.recorder([:], settings: RecordSettings(freeBytesMin: 0, threads: 1))
    }

    // MARK: Lines

    @Test("a segment's line is read as the decoder reads it, whatever is in it", arguments: 0..<4 as Range<UInt64>)
    func segmentLines(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let decoder = JSONDecoder()
        var fast = 0
        for round in 0..<600 {
            var line = JournalLine(.segment, at: Int64.random(in: 0...2_000_000_000_000_000, using: &generator))
            line.kind = Bool.random(using: &generator) ? .video : .audio
            line.period = Int.random(in: 0...3, using: &generator)
            line.number = Int.random(in: 0...100_000, using: &generator)
            line.time = Int64.random(in: 0...(1 << 48), using: &generator)
            line.duration = Int64.random(in: 0...400_000, using: &generator)
            line.bytes = Int64.random(in: 0...1_100_000_000_000, using: &generator)
            line.samples = Int.random(in: 0...300, using: &generator)
            if round % 5 == 0 { line.sync = round % 10 == 0 }
            var bytes = Array(line.encoded().dropLast())
            if round % 3 == 2 { bytes = bytes.mutated(by: &generator).filter { $0 != 0x0A } }
            guard let read = bytes.withUnsafeBytes({ SegmentLine($0) }) else { continue }
            fast += 1
            let slow = try decoder.decode(JournalLine.self, from: Data(bytes))
            #expect(slow.event == .segment && slow.at == read.at && slow.period == read.period && slow.kind == read.kind)
            #expect(slow.number == read.segment.number && slow.time == read.segment.time)
            #expect(slow.duration == read.segment.duration && slow.bytes == read.segment.bytes)
            #expect(slow.samples == read.segment.samples && (slow.sync ?? true) == read.segment.startsWithSync)
        }
        #expect(fast > 200, "most lines are read without the decoder")
    }

    @Test("ordinary lines need no decoder")
    func ordinaryLines() throws {
        for line in try lines("a", segments: 20).lines where line.event == .segment {
            #expect(Array(line.encoded().dropLast()).withUnsafeBytes { SegmentLine($0) } != nil)
        }
    }

    // MARK: Ends

    @Test(
        "a closed journal's ends tell the same row as all of it, also behind other lines",
        arguments: [
            [], [.acked], [.acked, .forgotten], [.deleting],
        ] as [[JournalLine.Event]])
    func outline(later: [JournalLine.Event]) throws {
        let (lines, closed) = try lines("a", segments: 200)
        var whole = closed
        var bytes = lines.flatMap { $0.encoded() }
        for (index, event) in later.enumerated() {
            let line = JournalLine(event, at: closed.updatedUs + 1 + Int64(index))
            whole.apply(line)
            bytes += line.encoded()
        }
        let key = try write(bytes, "a")
        let outline = try #require(try RecordedSession.outline(key, in: place.store))
        #expect(outline.periods.isEmpty && outline.isOutline)
        #expect(outline.row == whole.row)
        #expect(outline.isForgotten == whole.isForgotten && outline.isDeleting == whole.isDeleting)
        #expect(outline.isEnded && outline.node == whole.node)
    }

    @Test("a journal cut anywhere is never taken for closed when it is not")
    func cut() throws {
        let (lines, _) = try lines("a", segments: 100)
        let bytes = lines.flatMap { $0.encoded() }
        for cut in stride(from: bytes.count - 1, to: bytes.count - 600, by: -13) {
            let key = try write(Array(bytes.prefix(cut)), "a")
            let outline = try #require(try RecordedSession.outline(key, in: place.store))
            #expect(outline == RecordedSession.read(Array(bytes.prefix(cut)), directory: "demo/2026/11/20")?.session)
            #expect(!outline.isEnded)
        }
    }

    @Test("a start reads the ends of closed journals only, however long they are")
    func start() async throws {
        let count = 40
        for number in 0..<count {
            let (lines, _) = try lines("s\(number)", segments: 2, directory: "demo/2026/10/\(number)")
            // A hole in the middle, of more than a journal may have: who reads it, fails.
            let key = try write(lines[0].encoded(), "s\(number)", directory: "demo/2026/10/\(number)")
            let tail = lines.dropFirst(lines.count - 2).flatMap { $0.encoded() }
            let handle = try #require(FileHandle(forUpdatingAtPath: place.store.root + "/" + key.path))
            try handle.seek(toOffset: UInt64(JournalName.bytesMax) + 4096)
            try handle.write(contentsOf: Data([0x0A] + tail))
            try handle.close()
        }
        let recorder = try recorder()
        let found = try await recorder.recover()
        #expect(found.recordings == count && found.repaired == 0)
        #expect(recorder.recordings(limit: 1_000).sessions.allSatisfy { $0.status == .completed && $0.durationMs == 8_000 })
        await recorder.stopAll()
    }

    @Test("a journal that is too large to be read keeps nobody from recording beside it")
    func tooLarge() async throws {
        let feed = try RecorderFeed()
        let recorder = try place.recorder(
            ["demo": feed], settings: RecordSettings(segmentSeconds: 0.5, freeBytesMin: 0, threads: 1))
        try await recorder.recover()
        let key = try write([], "x", directory: "archive")
        let handle = try #require(FileHandle(forUpdatingAtPath: place.store.root + "/" + key.path))
        try handle.truncate(atOffset: UInt64(JournalName.bytesMax) + 1)
        try handle.close()
        try await recorder.start(
            stream: "demo", key: RecordingDirectory.key("demo"), baseDirectory: try ObjectKey("archive"))
        var publisher = Publisher()
        publisher.startNs = WallClock.monotonicNs()
        publisher.pictures = try SyntheticMedia.h264(frames: 60, gop: 15, size: "64x64")
        feed.send(publisher.events())
        await recorder.stopAll()
        #expect(recorder.recordings().sessions.map(\.status) == [.completed])
        #expect(recorder.metrics.storageErrors == 0)
        _ = try ManifestCheck(place, "archive").check(isStatic: true, periods: 1, seconds: nil)
    }

    @Test("a manifest stays where the journals of what it shows cannot be read")
    func unreadable() async throws {
        let key = try write([], "x", directory: "archive")
        let handle = try #require(FileHandle(forUpdatingAtPath: place.store.root + "/" + key.path))
        try handle.truncate(atOffset: UInt64(JournalName.bytesMax) + 1)
        try handle.close()
        let manifest = try ObjectKey("archive/" + DayManifest.name)
        try place.store.putNow(manifest, [0x3C], ifAbsent: false)
        var directory = SessionDirectory(store: place.store, key: try ObjectKey("archive"))
        let written = try directory.writeManifest(own: nil, publishUs: 0, segmentSeconds: 4)
        #expect(written == 0)
        #expect(try place.store.headNow(manifest).size == 1)
    }

    @Test("journals of before, without a row, are read whole once and get one")
    func old() async throws {
        let (lines, closed) = try lines("a", segments: 200, hasRow: false)
        #expect(closed.closing == nil)
        let key = try write(lines.flatMap { $0.encoded() }, "a")
        for _ in 0..<2 {
            let recorder = try recorder()
            #expect(try await recorder.recover().recordings == 1)
            #expect(recorder.recordings().sessions == [closed.row])
            var told = try await recorder.detail(id: "a")
            #expect(told.next != nil)
            told.next = nil
            #expect(told == closed.detail)
            await recorder.stopAll()
        }
        let outline = try #require(try RecordedSession.outline(key, in: place.store))
        #expect(outline.isOutline && outline.row == closed.row)
        let bytes = try place.store.readNow(key, limit: 1 << 20)
        #expect(bytes.split(separator: 0x0A).count == lines.count + 1)
    }

    // MARK: The shelf

    private final class Counter: Sendable {
        private let list = Mutex<[String]>([])
        var ids: [String] { list.withLock { $0 } }
        var value: Int { ids.count }

        @discardableResult
        func add(_ id: String = "") -> Int {
            list.withLock { list in
                list.append(id)
                return list.count
            }
        }
    }

    private func row(_ id: String, updatedAt: Int64 = 1) -> RecordingRecord {
        RecordingRecord(
            id: id, stream: "demo", record: id, startTs: 1, endTs: 2, durationMs: 1, mpdPath: "d/manifest.mpd", recordDir: "d",
            status: .completed, nodeAlias: "edge-a", updatedAt: updatedAt)
    }

    /// A day of segments, none as long as the one before it.
    private static let day: [IndexedPeriod] = {
        let tracks = ["video", "audio"].map { kind in
            var time: Int64 = 0
            let segments = (1...Int64(21_600)).map { number in
                defer { time += 360_000 + number % 2 }
                return IndexedSegment(number: number, time: time, duration: 360_000 + number % 2)
            }
            return IndexedTrack(
                kind: kind, codecs: "", timescale: 90_000, timeAtStart: 0, initialization: "", segmentPrefix: "", bandwidth: 1,
                segments: SegmentRuns(segments))
        }
        return [IndexedPeriod(ordinal: 0, startUs: 0, tracks: tracks)]
    }()

    @Test("a month of one stream, no two segments in a row equal, is read once and stays")
    func month() async throws {
        let shelf = PlaybackShelf()
        let reads = Counter()
        for round in 0..<3 {
            for day in 0..<30 {
                // An acknowledgement in between changes nothing about the media.
                let periods = try await shelf.periods(of: row("\(day)", updatedAt: Int64(round))) {
                    reads.add()
                    return .success(Self.day)
                }
                #expect(periods?.count == 1)
            }
        }
        #expect(reads.value == 30)
        #expect(shelf.bytes > 10 << 20 && shelf.bytes < 12 << 20)
    }

    @Test("what was used longest ago makes room")
    func bound() async throws {
        let shelf = PlaybackShelf(bytesMax: 1 << 20)
        let reads = Counter()
        for id in ["a", "b", "a", "c", "a", "b"] {
            _ = try await shelf.periods(of: row(id)) {
                reads.add(id)
                return .success(Self.day)
            }
        }
        #expect(reads.ids == ["a", "b", "c", "b"])
        #expect(shelf.bytes <= 1 << 20)
    }

    @Test("who asks for what is being read waits for that, and failures are not kept")
    func singleFlight() async throws {
        let shelf = PlaybackShelf()
        let reads = Counter()
        let (gate, opener) = AsyncStream.makeStream(of: Void.self)
        try await withThrowingTaskGroup(of: Int?.self) { group in
            for _ in 0..<20 {
                group.addTask {
                    try await shelf.periods(of: row("a")) {
                        if reads.add() == 1 { for await _ in gate {} }
                        return .success([])
                    }?.count
                }
            }
            opener.finish()
            for try await count in group { #expect(count == 0) }
        }
        #expect(reads.value == 1)
        await #expect(throws: StoreError.notFound) {
            _ = try await shelf.periods(of: row("b")) { .failure(.notFound) }
        }
        #expect(try await shelf.periods(of: row("b")) { .success([]) }?.isEmpty == true)
    }

    // MARK: The index

    @Test("whose a directory is, is found without looking at all recordings", .timeLimit(.minutes(1)))
    func directories() throws {
        let index = RecordingIndex()
        let count = 20_000
        for number in 0..<count {
            var line = JournalLine(.session, at: Self.startUs)
            (line.id, line.stream, line.startUs) = ("x\(number)", "demo", Self.startUs)
            var session = try #require(RecordedSession(line, directory: "cam-\(number)/day"))
            session.apply(JournalLine(.end, at: line.at + 1))
            index.put(session)
            if number < 3 {
                session.apply(JournalLine([.acked, .forgotten, .deleting][number], at: line.at + 2))
                index.put(session)
            }
        }
        for number in 3..<count {
            #expect(index.stream(ofDirectory: "cam-\(number)/day") == "demo")
        }
        #expect(index.stream(ofDirectory: "cam-0/day") == "demo")
        #expect(index.stream(ofDirectory: "cam-1/day") == nil && index.stream(ofDirectory: "cam-2/day") == nil)
        #expect(index.stream(ofDirectory: "cam-3") == nil)
        index.remove("x3")
        #expect(index.stream(ofDirectory: "cam-3/day") == nil)
        #expect(index.playable(stream: "demo").count == count - 3)
    }
}
