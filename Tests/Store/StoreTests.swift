import Foundation
import MediaFixtures
import Testing

@testable import Store

@Suite("Object keys")
struct ObjectKeyTests {
    @Test(
        "paths that could leave a root, or that storage cannot hold, are refused",
        arguments: [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a/../b", "a\\b", "a\0b", "a\nb", "a/\u{7F}",
            String(repeating: "a", count: 251), String(repeating: "abc/", count: 300) + "a",
        ])
    func refused(path: String) {
        #expect(throws: StoreError.self) { try ObjectKey(path) }
    }

    @Test(
        "everything else is a key",
        arguments: ["a", "a/b", "demo/2026/11/20/manifest.mpd", "a b/%2e%2e", "...", "ö/日本", ".hidden", "a..b/c"])
    func accepted(path: String) throws {
        let key = try ObjectKey(path)
        #expect(key.path == path)
        #expect(key.components.joined(separator: "/") == path)
    }

    @Test("parts")
    func parts() throws {
        let key = try ObjectKey("a/b/c")
        #expect(key.name == "c" && key.parent?.path == "a/b" && key.parent?.parent?.parent == nil)
        #expect(try key.appending("d").path == "a/b/c/d")
        #expect(throws: StoreError.self) { try key.appending("../d") }
        // S3 lists by bytes: "-" comes before "/".
        #expect(try ObjectKey("a-b") < ObjectKey("a/b"))
    }
}

@Suite("Files as objects")
struct FileStoreTests {
    private let directory: TemporaryDirectory
    private let store: FileStore

    init() throws {
        directory = try TemporaryDirectory()
        store = try FileStore(root: directory.path + "/deep/root")
    }

    private var root: String { store.root }

    private func collect(_ body: ObjectBody) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        for try await chunk in body.chunks { bytes += chunk }
        return bytes
    }

    @Test("put, get, head and delete agree")
    func roundTrip() async throws {
        let key = try ObjectKey("demo/2026/11/20/seg_0001.m4s")
        let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let put = try await store.put(key, bytes, ifAbsent: false)
        #expect(put.size == 300_000)
        let body = try await store.get(key, range: nil)
        #expect(body.info == put && body.range == 0..<300_000)
        #expect(try await collect(body) == bytes)
        #expect(try await store.head(key) == put)
        #expect(store.deletions == 0)
        try await store.delete(key)
        #expect(store.deletions == 1)
        try await store.delete(key)
        await #expect(throws: StoreError.notFound) { try await store.head(key) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: root) == [])
    }

    @Test(
        "ranges are cut to the object",
        arguments: [
            (0..<1, [0]), (0..<100, Array(0..<10)), (9..<10, [9]), (3..<7, [3, 4, 5, 6]), (9..<Int64.max, [9]),
        ] as [(Range<Int64>, [UInt8])])
    func range(range: Range<Int64>, expected: [UInt8]) async throws {
        let key = try ObjectKey("x")
        try await store.put(key, Array(0..<10), ifAbsent: false)
        #expect(try await collect(try await store.get(key, range: range)) == expected)
        await #expect(throws: StoreError.rangeNotSatisfiable(size: 10)) { try await store.get(key, range: 10..<11) }
    }

    @Test("a condition decides, and a lost one changes nothing (RFC 9110 13.1)")
    func conditions() async throws {
        let key = try ObjectKey("day/manifest.mpd")
        await #expect(throws: StoreError.preconditionFailed) { try await store.put(key, [0], condition: .matches("\"x\"")) }
        let first = try await store.put(key, [1], condition: .absent)
        await #expect(throws: StoreError.exists) { try await store.put(key, [2], condition: .absent) }
        let second = try await store.put(key, [3, 3], condition: .matches(first.etag))
        await #expect(throws: StoreError.preconditionFailed) { try await store.put(key, [4], condition: .matches(first.etag)) }
        #expect(try await store.read(key, limit: 9) == [3, 3])
        try await store.put(key, [5], condition: .none)
        #expect(try await store.head(key).etag != second.etag)
        #expect(try await store.supportsConditions())
        let top = try ObjectKey("top")
        let info = try await store.put(top, [6], ifAbsent: true)
        try await store.put(top, [7], condition: .matches(info.etag))
    }

    @Test("a file is copied without moving its offset, and a shorter one than promised is refused")
    func putFile() async throws {
        let source = try ObjectKey("from"), key = try ObjectKey("deep/to")
        let bytes = (0..<2_500_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try await store.put(source, bytes, ifAbsent: true)
        let file = try #require(try await store.localFile(source))
        defer { close(file.descriptor) }
        try await store.put(key, file: file, contentType: nil, ifAbsent: true)
        #expect(try await store.read(key, limit: 1 << 22) == bytes)
        #expect(lseek(file.descriptor, 0, SEEK_CUR) == 0)
        await #expect(throws: StoreError.exists) { try await store.put(key, file: file, contentType: nil, ifAbsent: true) }
        let promised = ObjectInfo(key: source, size: 3_000_000, etag: "", modifiedUs: 0)
        let short = LocalFile(descriptor: file.descriptor, info: promised)
        await #expect(throws: StoreError.failed(operation: "read", code: EIO)) {
            try await store.put(key, file: short, contentType: nil, ifAbsent: false)
        }
        #expect(try await store.read(key, limit: 1 << 22) == bytes)
        #expect(try store.temporaryNamesNow(in: try ObjectKey("deep")) == [])
    }

    @Test("many are deleted at once; files have no presigned addresses")
    func deleteAll() async throws {
        let keys = try (0..<5).map { try ObjectKey("d/\($0)") }
        for key in keys.dropLast() { try await store.put(key, [1], ifAbsent: true) }
        try await store.deleteAll(keys)
        #expect(try await store.list(prefix: "", after: nil, limit: 9).objects.isEmpty)
        #expect(try await store.presign(.get, keys[0], seconds: 60, nowUs: 0) == nil)
        try await store.ping()
    }

    @Test("one of many writers wins when the object must be new")
    func exclusive() async throws {
        let key = try ObjectKey("day/init.m4s")
        let store = store
        let winners = await withTaskGroup(of: Int?.self, returning: [Int].self) { group in
            for writer in 0..<16 {
                group.addTask {
                    do throws(StoreError) {
                        try await store.put(key, [UInt8(writer)], ifAbsent: true)
                        return writer
                    } catch {
                        return error == .exists ? nil : -1
                    }
                }
            }
            return await group.reduce(into: []) { if let winner = $1 { $0.append(winner) } }
        }
        #expect(winners.count == 1)
        #expect(try await store.read(key, limit: 1) == [UInt8(try #require(winners.first))])
        #expect(try FileManager.default.contentsOfDirectory(atPath: root + "/day") == ["init.m4s"])
    }

    @Test("a replaced object has another tag, and who had it open reads the old bytes")
    func replaced() async throws {
        let key = try ObjectKey("m")
        let old = try await store.put(key, [1, 2, 3], ifAbsent: false)
        let body = try await store.get(key, range: nil)
        let file = try #require(try await store.localFile(key))
        defer { close(file.descriptor) }
        let new = try await store.put(key, [4, 5, 6], ifAbsent: false)
        #expect(old.etag != new.etag && new.etag.hasPrefix("\"") && new.etag.hasSuffix("\""))
        #expect(try await collect(body) == [1, 2, 3])
        var bytes: [UInt8] = [0, 0, 0]
        #expect(pread(file.descriptor, &bytes, 3, 0) == 3)
        #expect(bytes == [1, 2, 3])
    }

    @Test("symbolic links lead nowhere, be they directories or files")
    func links() async throws {
        let outside = directory.path + "/outside"
        try FileManager.default.createDirectory(atPath: outside, withIntermediateDirectories: true)
        try Data("secret".utf8).write(to: URL(fileURLWithPath: outside + "/secret"))
        try FileManager.default.createSymbolicLink(atPath: root + "/out", withDestinationPath: outside)
        try FileManager.default.createSymbolicLink(atPath: root + "/file", withDestinationPath: outside + "/secret")
        for path in ["out/secret", "file"] {
            let key = try ObjectKey(path)
            await #expect(throws: StoreError.notFound) { try await store.get(key, range: nil) }
            await #expect(throws: StoreError.notFound) { try await store.head(key) }
        }
        await #expect(throws: StoreError.notFound) { try await store.put(try ObjectKey("out/new"), [1], ifAbsent: false) }
        try await store.delete(try ObjectKey("out/secret"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: outside) == ["secret"])
        #expect(try await store.list(prefix: "", after: nil, limit: 9).objects == [])
        // Writing over a link replaces the link, not what it points to.
        try await store.put(try ObjectKey("file"), [7], ifAbsent: false)
        #expect(try String(contentsOfFile: outside + "/secret", encoding: .utf8) == "secret")
    }

    @Test("directories and pipes are no objects")
    func special() async throws {
        try FileManager.default.createDirectory(atPath: root + "/dir", withIntermediateDirectories: true)
        #expect(mkfifo(root + "/pipe", 0o600) == 0)
        for path in ["dir", "pipe", "none", "dir/none", "pipe/x"] {
            let key = try ObjectKey(path)
            await #expect(throws: StoreError.notFound) { try await store.get(key, range: nil) }
        }
    }

    @Test("listing equals sorting all keys by bytes, in pages of any size", arguments: [1, 2, 3, 7, 100])
    func list(limit: Int) async throws {
        let paths = ["a", "a-b", "a/b", "a/b-c/d", "a/b/c", "a/b0", "ab", "b/1", "b/10", "b/2", "ä/x"].filter {
            $0 != "a" && $0 != "a/b"
        }
        for path in paths { try await store.put(try ObjectKey(path), [1], ifAbsent: false) }
        try Data().write(to: URL(fileURLWithPath: root + "/b/seg.m4s.tmp"))
        for prefix in ["", "a", "a/", "a/b", "b/1", "b/10", "c", "..", "/", "a//"] {
            var found: [String] = []
            var after: String?
            repeat {
                let page = try await store.list(prefix: prefix, after: after, limit: limit)
                found += page.objects.map(\.key.path)
                after = page.continuation
            } while after != nil
            let expected = paths.filter { $0.hasPrefix(prefix) }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            #expect(found == expected, "prefix \(prefix)")
        }
    }

    @Test("an unfinished file is invisible until it is committed")
    func pending() async throws {
        let key = try ObjectKey("day/seg_0001.m4s")
        let file = try store.createNow(key)
        try file.append([1, 2])
        await #expect(throws: StoreError.notFound) { try await store.head(key) }
        #expect(throws: StoreError.exists) { try store.createNow(key) }
        #expect(try store.temporaryNamesNow(in: try ObjectKey("day")) == ["seg_0001.m4s.tmp"])
        try file.append([3])
        #expect(try file.commit(ifAbsent: true).size == 3)
        #expect(try store.readNow(key, limit: 3) == [1, 2, 3])
        #expect(throws: StoreError.failed(operation: "read", code: EFBIG)) { try store.readNow(key, limit: 2) }
        let second = try store.createNow(key)
        #expect(throws: StoreError.exists) { try second.commit(ifAbsent: true) }
        second.abandon()
        #expect(try store.temporaryNamesNow(in: try ObjectKey("day")) == [])
    }

    @Test("what a killed writer left is cut and adopted")
    func adopt() throws {
        let key = try ObjectKey("day/seg_0002.m4s")
        let file = try store.createNow(key)
        try file.append([1, 2, 3, 4])
        try store.adoptNow(temporaryName: "seg_0002.m4s.tmp", as: key, size: 3)
        #expect(try store.readNow(key, limit: 9) == [1, 2, 3])
    }

    @Test("journals grow, are claimed once, and lose a torn tail")
    func journal() throws {
        let key = try ObjectKey("day/session.jsonl")
        let first = try store.appendingNow(key, exclusively: true)
        #expect(first.claim())
        try first.append(Array("one\n".utf8))
        #expect(throws: StoreError.exists) { try store.appendingNow(key, exclusively: true) }
        let second = try store.appendingNow(key, exclusively: false)
        #expect(!second.claim())
        try second.append(Array("tw".utf8))
        try second.truncate(to: 4)
        #expect(try store.readNow(key, limit: 99) == Array("one\n".utf8))
        #expect(try store.freeBytesNow() > 0)
    }

    @Test("a root that is a file is refused")
    func badRoot() throws {
        try Data().write(to: URL(fileURLWithPath: directory.path + "/file"))
        #expect(throws: StoreError.self) { try FileStore(root: directory.path + "/file") }
        #expect(throws: StoreError.self) { try FileStore(root: directory.path + "/file/below") }
    }
}
