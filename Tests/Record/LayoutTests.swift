import Store
import Testing

@testable import Record

@Suite("Where recordings are")
struct LayoutTests {
    /// 2026-11-20 23:59:59 UTC, and a second later.
    static let evening: Int64 = 1_795_219_199_000_000

    @Test(arguments: [
        (nil, "demo/2026/11/20", "demo/2026/11/21"), ("a/b", "a/b", "a/b"), ("a/%Y/%m/%d", "a/2026/11/20", "a/2026/11/21"),
        ("a/%Y-%m-%d/x", "a/2026-11-20/x", "a/2026-11-21/x"), ("a/100%", "a/100%", "a/100%"), ("a/%Y", "a/%Y", "a/%Y"),
    ])
    func directory(base: String?, evening: String, morning: String) throws {
        let base = try base.map { try ObjectKey($0) }
        #expect(try RecordingLayout.directory(stream: "demo", base: base, atUs: Self.evening).path == evening)
        #expect(try RecordingLayout.directory(stream: "demo", base: base, atUs: Self.evening + 1_000_000).path == morning)
        #expect(RecordingLayout.rotates(base) == (evening != morning))
    }
}
