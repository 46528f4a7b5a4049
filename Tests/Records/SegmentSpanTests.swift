import Presentation
import Testing

@testable import Records

@Suite("Rows of the index's segments")
struct SegmentSpanTests {
    @Test(
        "a row is read as far as it makes sense: it ends with what is no number, and with more segments than a row has",
        arguments: [
            ("100*200 90 90", 202), ("100*512", 512), ("100*512 90", 512), ("100*512 100*512", 512), ("100*511 90 90", 512),
            ("100*513 90", 1), ("0 90", 1), ("100 x 90", 1), ("", 0), (String(repeating: "100*512 ", count: 10_000), 512),
        ])
    func damaged(durations: String, count: Int) {
        var segments = SegmentRuns()
        Array(durations.utf8).withUnsafeBytes { SegmentSpan.read(number: 1, time: 0, durations: $0, into: &segments) }
        #expect(segments.count == count)
    }
}
