import Journal
import Media
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

    @Test(
        "a directory tells its day when it ends in one",
        arguments: [
            ("demo/2026/11/20", "2026/11/20"), ("a/b/2026/01/02", "2026/01/02"), ("2026/11/20", "2026/11/20"),
            ("demo/2026/11", nil),
            ("demo/2026/11/2", nil), ("demo/2026/11/2x", nil), ("a/2026-11-20/x", nil), ("demo", nil),
        ] as [(String, String?)])
    func day(path: String, day: String?) throws {
        #expect(RecordingLayout.day(of: try ObjectKey(path)) == day)
        #expect(RecordingLayout.day(atUs: Self.evening) == "2026/11/20")
    }

    /// A session of which the journal names nothing yet.
    private func unnamed(_ id: String) throws -> OwnedNames {
        var line = JournalLine(.session, at: Self.evening)
        (line.id, line.stream, line.node, line.startUs) = (id, "demo", "edge-a", Self.evening)
        return OwnedNames(try #require(RecordedSession(line, directory: "demo")))
    }

    @Test(
        "objects that carry a session's id are its own in every Period, finished or not, and no other session's",
        arguments: LaneKind.allCases, SegmentContainer.allCases)
    func owned(kind: LaneKind, container: SegmentContainer) throws {
        let (id, other) = (RecordingLayout.newID(atUs: Self.evening), RecordingLayout.newID(atUs: Self.evening + 1_000_000))
        let (own, others) = (try unnamed(id), try unnamed(other))
        for (period, isPlain) in [(1, false), (1, true), (2, false), (2, true), (10_000, true)] {
            let names = RecordingLayout.names(kind, container, session: id, period: period, isPlain: isPlain)
            let segment = "\(names.prefix)0001.\(container.suffix)"
            for name in [names.initialization, segment, segment + FileStore.temporarySuffix] {
                #expect(own.contains(name) == (period > 1 || !isPlain), "\(name)")
                #expect(!others.contains(name), "\(name)")
            }
        }
    }

    @Test(
        "what only looks like a session's objects is left alone",
        arguments: [
            "init.m4s", "seg_0001.m4s", "init_abc2.m4s", "init_abcp.m4s", "init_abcpx.m4s", "init_abc_0001.m4s", "seg_abc.m4s",
            "seg_abcp2.m4s", "seg_abc2_0001.m4s", "seg_abc_x.m4s", "seg_abc_.m4s", "seg_abc_1_1.m4s", "seg_abc_0001.mp4",
            "video_seg_abc_0001.m4s", "session_abc.jsonl", "uploads_abc.jsonl", "manifest.mpd",
        ])
    func notOwned(name: String) throws {
        #expect(try !unnamed("abc").contains(name))
    }
}
