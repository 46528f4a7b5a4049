import EdgeFixtures
import Journal
import Store
import StoreFixtures
import Testing

@Suite("Finding journals among media")
struct JournalWalkTests {
    private let folder: TemporaryFolder
    private let store: FaultyStore

    init() throws {
        folder = try TemporaryFolder()
        store = try FaultyStore(root: folder.file("store"))
    }

    private func put(_ paths: some Sequence<String>) throws {
        for path in paths { try store.files.putUnflushedNow(try ObjectKey(path), [1]) }
    }

    private func walk(pageObjects: Int) async throws -> (journals: [String], pages: [JournalWalk.Page]) {
        var walk = JournalWalk(store, pageObjects: pageObjects)
        var pages: [JournalWalk.Page] = []
        while let page = try await walk.next() { pages.append(page) }
        return (pages.flatMap { $0.journals.map(\.key.path) }, pages)
    }

    @Test("pages of any size find what is there, each journal once and in the stretch its page speaks for", arguments: 0..<12)
    func all(seed: Int) async throws {
        var random = SeededGenerator(state: UInt64(seed))
        let streams = ["a", "a.b", "cam", "seg_9", "ü"].shuffled(using: &random)
        for stream in streams {
            for day in 1...Int.random(in: 1...3, using: &random) {
                var text = JournalText("s\(day)", segments: Int.random(in: 0...14, using: &random))
                (text.directory, text.isPlain) = ("\(stream)/2026/11/0\(day)", Bool.random(using: &random))
                try put(text.objects + [text.path, "\(text.directory)/manifest.mpd"])
                guard Bool.random(using: &random) else { continue }
                var second = JournalText("zz\(day)", segments: 4)
                second.directory = text.directory
                try put(second.objects + [second.path])
            }
        }
        try put(["session_none.jsonl", "seg_0001.m4s", "\(streams[0])/session_own.jsonl", "\(streams[0])/seg_0001.m4s"])
        let expected = try store.files.keysNow(prefix: JournalName.prefix, suffix: JournalName.suffix)
            .filter(JournalName.isOne).map(\.path).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        let (found, pages) = try await walk(pageObjects: Int.random(in: 1...9, using: &random))
        #expect(found == expected)
        for page in pages {
            for journal in page.journals.map(\.key.path) {
                #expect(page.after.map { $0.utf8.lexicographicallyPrecedes(journal.utf8) } ?? true)
                #expect(page.through.map { !$0.utf8.lexicographicallyPrecedes(journal.utf8) } ?? true)
            }
        }
    }

    @Test("a day costs a few pages, however many segments it has")
    func segmentsArePassedOver() async throws {
        var expected: [String] = []
        for day in 1...3 {
            var text = JournalText("abc\(day)", segments: 400)
            (text.directory, text.isPlain) = ("demo/2026/11/0\(day)", true)
            try put(text.objects + [text.path])
            expected.append(text.path)
        }
        let (found, pages) = try await walk(pageObjects: 20)
        #expect(found == expected)
        // All of it would be 121 pages.
        #expect(pages.count <= 12 && store.lists == pages.count)
    }

    @Test("the rest of a directory that nobody asks for costs no page, and what follows it is found")
    func directoriesArePassedOver() async throws {
        var expected: [String] = []
        for day in 1...3 {
            // Without runs of segments to be passed over.
            let directory = "demo/2026/11/0\(day)"
            try put((100..<160).map { "\(directory)/part-\($0)" } + ["\(directory)/session_x.jsonl"])
            if day != 2 { expected.append("\(directory)/session_x.jsonl") }
        }
        try put(["demo/2026/11/02x/session_y.jsonl", "demo/2026/11/020/session_z.jsonl"])
        expected.insert(contentsOf: ["demo/2026/11/020/session_z.jsonl", "demo/2026/11/02x/session_y.jsonl"], at: 1)
        var walk = JournalWalk(store, pageObjects: 20) { $0.path == "demo/2026/11/02" }
        var pages: [JournalWalk.Page] = []
        while let page = try await walk.next() { pages.append(page) }
        #expect(pages.flatMap { $0.journals.map(\.key.path) } == expected)
        #expect(pages.allSatisfy { !($0.after ?? "").hasPrefix("demo/2026/11/02/") })
    }

    @Test(
        "only numbered media are passed over",
        arguments: [
            ("d/seg_0012.m4s", "d/seg_:"), ("d/audio_seg_x7_0012.webm", "d/audio_seg_x7_:"), ("d/session_12.jsonl", nil),
            ("d/session_0012.jsonl", nil), ("d/init.m4s", nil), ("d/seg_.m4s", nil), ("d/seg_1x.m4s", nil), ("seg_0012.m4s", nil),
            ("../seg_0001.m4s", nil),
        ] as [(String, String?)])
    func pass(path: String, expected: String?) {
        #expect(JournalWalk.pass(path) == expected ?? path)
    }

    @Test("a store that gives the same page for ever is given up")
    func endless() async throws {
        var walk = JournalWalk(RepeatingStore(), pageObjects: 2)
        _ = try await walk.next()
        await #expect(throws: StoreError.self) { try await walk.next() }
    }
}

/// Lists the same object again and again.
private struct RepeatingStore: ObjectStore {
    func list(prefix: String, after: String?, limit: Int) async throws(StoreError) -> ObjectPage {
        let info = ObjectInfo(key: try ObjectKey("d/manifest.mpd"), size: 1, etag: "\"1\"", modifiedUs: 0)
        return ObjectPage(objects: [info], continuation: info.key.path)
    }

    func put(_ key: ObjectKey, _ bytes: [UInt8], condition: PutCondition) async throws(StoreError) -> ObjectInfo {
        throw .notFound
    }
    func put(_ key: ObjectKey, file: LocalFile, contentType: String?, ifAbsent: Bool) async throws(StoreError) -> ObjectInfo {
        throw .notFound
    }
    func supportsConditions() async throws(StoreError) -> Bool { false }
    func get(_ key: ObjectKey, range: Range<Int64>?) async throws(StoreError) -> ObjectBody { throw .notFound }
    func head(_ key: ObjectKey) async throws(StoreError) -> ObjectInfo { throw .notFound }
    func delete(_ key: ObjectKey) async throws(StoreError) {}
    func ping() async throws(StoreError) {}
}
