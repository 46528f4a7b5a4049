import Journal
import MediaFixtures
import Testing

@testable import Record

@Suite("What the spool says after a crash")
struct SpoolScanTests {
    private static func journal(segments: Int, at start: Int64 = 1_000_000) -> [UInt8] {
        var line = JournalLine(.session, at: start)
        line.id = "abc"
        line.stream = "demo"
        line.node = "edge-a"
        line.startUs = start
        var bytes = line.encoded()
        var period = JournalLine(.period, at: start + 1)
        period.period = 1
        period.startUs = start
        bytes += period.encoded()
        var track = JournalLine(.track, at: start + 2)
        track.period = 1
        track.kind = .video
        track.codecs = "avc1.42e01f"
        track.timescale = 90_000
        track.initialization = "init.m4s"
        track.prefix = "seg_"
        bytes += track.encoded()
        for number in 1...segments {
            var segment = JournalLine(.segment, at: start + 2 + Int64(number))
            segment.period = 1
            segment.kind = .video
            segment.number = number
            segment.time = Int64(number - 1) * 90_000
            segment.duration = 90_000
            segment.bytes = 1000
            segment.samples = 30
            bytes += segment.encoded()
        }
        return bytes
    }

    @Test("what the log does not name waits, in the journal's order", arguments: 0...5)
    func waiting(uploaded: Int) throws {
        let names = ["init.m4s"] + (1...4).map { "seg_000\($0).m4s" }
        var log = UploadLog.Contents()
        for name in names.prefix(uploaded) { log.uploaded[name] = 1000 }
        let bytes = Self.journal(segments: 4)
        let scan = try #require(SpoolScan(journal: bytes, log: log, directory: "demo"))
        #expect(scan.waiting.map(\.name) == Array(names.dropFirst(uploaded)))
        #expect(scan.uploaded == Array(names.prefix(uploaded)))
        if uploaded == 5 { #expect(scan.shipped == Int64(bytes.count)) }
        let prefix = bytes.prefix(Int(scan.shipped))
        let shipped = RecordedSession.read(Array(prefix), directory: "demo")?.session.periods.first?.tracks.first?.segments.count
        #expect(shipped ?? 0 == max(0, uploaded - 1))
    }

    @Test("what is gone waits for nothing")
    func gone() throws {
        var line = JournalLine(.gone, at: 2_000_000)
        (line.period, line.kind, line.number) = (1, .video, 2)
        let bytes = Self.journal(segments: 4) + line.encoded()
        let scan = try #require(SpoolScan(journal: bytes, log: UploadLog.Contents(), directory: "demo"))
        #expect(scan.waiting.map(\.name) == ["init.m4s", "seg_0001.m4s", "seg_0003.m4s", "seg_0004.m4s"])
        #expect(scan.journalBytes == Int64(bytes.count))
    }

    @Test("an object of another size is sent again")
    func size() throws {
        let log = UploadLog.Contents(uploaded: ["init.m4s": 5, "seg_0001.m4s": 999])
        let scan = try #require(SpoolScan(journal: Self.journal(segments: 1), log: log, directory: "demo"))
        #expect(scan.waiting.map(\.name) == ["seg_0001.m4s"])
    }

    @Test("damaged logs and journals never claim what was not written", arguments: 0..<200)
    func damaged(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        let lines = (1...6).map { "{\"bytes\":1000,\"name\":\"seg_000\($0).m4s\"}" }
        var log = Array(("\n" + lines.joined(separator: "\n")).utf8)
        var journal = Self.journal(segments: 6)
        for _ in 0..<Int.random(in: 1...8, using: &random) {
            log[Int.random(in: 0..<log.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            journal[Int.random(in: 0..<journal.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        log = Array(log.prefix(Int.random(in: 0...log.count, using: &random)))
        let contents = UploadLog.parse(log)
        #expect(!contents.isComplete && contents.uploaded.count <= 6)
        guard let scan = SpoolScan(journal: journal, log: contents, directory: "demo") else { return }
        #expect(scan.shipped <= scan.journalBytes && scan.journalBytes <= Int64(journal.count))
        #expect(Set(scan.waiting.map(\.name)).isDisjoint(with: scan.uploaded))
    }

    @Test("a torn line does not hide the next")
    func torn() {
        let text = "\n{\"bytes\":5,\"name\":\"a\"}\n{\"bytes\":5,\"na\n{\"bytes\":7,\"name\":\"b\"}"
        #expect(UploadLog.parse(Array(text.utf8)) == UploadLog.Contents(uploaded: ["a": 5, "b": 7]))
    }
}
