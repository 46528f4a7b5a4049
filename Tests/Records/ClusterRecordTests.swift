import Cluster
import EdgeFixtures
import Presentation
import Records
import Testing

@Suite("Recordings as nodes tell them")
struct ClusterRecordTests {
    @Test("a detail becomes periods with numbered segments")
    func detail() throws {
        let detail = TestRecords.recording("one", node: "a", segments: 3).detail
        let period = try #require(IndexedPeriod.periods(of: detail).first)
        #expect(period.startUs == TestRecords.tenOClockUs)
        #expect(period.tracks.map(\.kind) == ["video", "audio"])
        #expect(period.tracks[0].segments.map(\.number) == [1, 2, 3])
        #expect(period.tracks[0].timeAtStart == 90_000)
        #expect(period.tracks[0].object(number: 12_345) == "demo/2026/11/20/seg_one_12345.m4s")
        #expect(period.tracks[0].object(number: 7) == "demo/2026/11/20/seg_one_0007.m4s")
    }

    @Test("which segments begin without a key frame reaches the manifest, and costs the others nothing")
    func unsynced() throws {
        var detail = TestRecords.recording("one", node: "a", segments: 3).detail
        let plain = try ClusterJSON.encode(detail)
        #expect(!String(decoding: plain, as: UTF8.self).contains("sync"))
        detail.periods[0].tracks[0].segments[1].sync = false
        let read = try ClusterJSON.decode(RecordingDetail.self, from: try ClusterJSON.encode(detail))
        #expect(read == detail)
        #expect(
            IndexedPeriod.periods(of: read).first?.tracks.map { $0.segments.map(\.startsWithSync) } == [
                [true, false, true], [true, true, true],
            ])
    }

    @Test("numbers past 9999 keep their digits")
    func longNumbers() throws {
        var detail = TestRecords.recording("one", node: "a", segments: 2).detail
        for (index, name) in ["9999", "10000"].enumerated() {
            detail.periods[0].tracks[0].segments[index].object = "demo/2026/11/20/seg_one_\(name).m4s"
        }
        #expect(IndexedPeriod.periods(of: detail)[0].tracks[0].segments.map(\.number) == [9_999, 10_000])
    }

    @Test(
        "a track whose objects follow no pattern is left out, the other stays",
        arguments: [
            "x.m4s", "seg_one_1.m4s", "seg_one_00001.m4s", "seg_one_0001.mp4", "seg_one_.m4s", "seg_one_000a.m4s", "",
            "seg_one_0002.m4s",
        ])
    func oddNames(name: String) {
        var detail = TestRecords.recording("one", node: "a", segments: 2).detail
        detail.periods[0].tracks[0].segments[0].object = "demo/2026/11/20/\(name)"
        #expect(IndexedPeriod.periods(of: detail)[0].tracks.map(\.kind) == ["audio"])
    }

    @Test("numbers no recording has are refused instead of overflowing later", arguments: 0..<13)
    func absurdNumbers(which: Int) {
        var detail = TestRecords.recording("one", node: "a", segments: 2).detail
        let huge = Int64.max
        switch which {
        case 0: detail.periods[0].tracks[0].segments[0].t = huge
        case 1: detail.periods[0].tracks[0].segments[0].d = huge
        case 2: detail.periods[0].tracks[0].segments[0].d = 0
        case 3: detail.periods[0].tracks[0].segments[0].t = -1
        case 4: detail.periods[0].tracks[0].mediaTimeOffset = huge
        case 5: detail.periods[0].tracks[0].mediaTimeOffset = -huge
        case 6: detail.tracks[0].timescale = Int.max
        case 7: detail.tracks[0].timescale = 0
        case 8: detail.periods[0].tracks[0].segments[1].bytes = -1
        case 9: detail.tracks[0].kind = "text"
        case 10: detail.periods[0].tracks[0].track = 99
        case 11: detail.periods[0].tracks[0].segments[1].d = 1 << 32
        default: detail.periods[0].tracks[0].segments[1].t = (1 << 53) + 1
        }
        #expect(IndexedPeriod.periods(of: detail)[0].tracks.map(\.kind) == ["audio"])
        detail.periods[0].startUs = Int64.min
        #expect(IndexedPeriod.periods(of: detail).isEmpty)
    }

    @Test("rows with absurd times are refused", arguments: [Int64.min, -1, Int64.max, (1 << 53) + 1] as [Int64])
    func absurdRows(us: Int64) {
        var row = TestRecords.recording("one", node: "a", segments: 2).row
        #expect(IndexedRecording(row, node: "a") != nil)
        row.startTs = us
        #expect(IndexedRecording(row, node: "a") == nil)
        row = TestRecords.recording("one", node: "a", segments: 2).row
        row.updatedAt = us
        #expect(IndexedRecording(row, node: "a") == nil)
    }

    @Test("the alias a row was read from stands, whatever the row says")
    func aliasStands() {
        let row = TestRecords.recording("one", node: "someone-else", segments: 2).row
        #expect(IndexedRecording(row, node: "a")?.node == "a")
        #expect(IndexedRecording(row, node: "a")?.day == "2026-11-20")
    }
}
