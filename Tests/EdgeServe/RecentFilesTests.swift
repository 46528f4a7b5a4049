import Auth
import Foundation
import HTTP
import Program
import Store
import Testing

@testable import EdgeServe

@Suite("Files that were found a moment ago")
struct RecentFilesTests {
    private let recent = RecentFiles()

    private func file(_ count: Int = 5) throws -> HTTPFile {
        let path = NSTemporaryDirectory() + "recent-\(UUID().uuidString)"
        try Data(count: count).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try HTTPFile(path: path)
    }

    @Test("a segment is taken from memory for a second")
    func lifetime() throws {
        let (file, key, now) = (try file(), try ObjectKey("demo/seg_0001.m4s"), ContinuousClock.now)
        recent.keep(file, key, deletions: 3, now: now)
        #expect(recent.file(key, deletions: 3, now: now + .milliseconds(999)) === file)
        let other = try ObjectKey("demo/seg_0002.m4s")
        #expect(recent.file(other, deletions: 3, now: now) == nil)
        #expect(recent.file(key, deletions: 3, now: now + .seconds(1)) == nil)
        #expect(recent.file(key, deletions: 3, now: now) == nil, "what is too old is forgotten")
    }

    @Test("a deletion forgets it at once")
    func deletion() throws {
        let (key, now) = (try ObjectKey("demo/seg_0001.m4s"), ContinuousClock.now)
        recent.keep(try file(), key, deletions: 3, now: now)
        #expect(recent.file(key, deletions: 4, now: now) == nil)
    }

    @Test(
        "neither what changes nor what is large is kept",
        arguments: [("demo/manifest.mpd", 5), ("demo/seg_0001.m4s", (512 << 10) + 1)])
    func unkept(path: String, count: Int) throws {
        let (key, now) = (try ObjectKey(path), ContinuousClock.now)
        recent.keep(try file(count), key, deletions: 0, now: now)
        #expect(recent.file(key, deletions: 0, now: now) == nil)
    }

    @Test("never more files than may be open")
    func bound() throws {
        let now = ContinuousClock.now
        let keys = try (0..<(3 * RecentFiles.countMax)).map { try ObjectKey("demo/seg_\($0).m4s") }
        for key in keys { recent.keep(try file(), key, deletions: 0, now: now) }
        let kept = keys.filter { recent.file($0, deletions: 0, now: now) != nil }
        #expect(kept.count <= RecentFiles.countMax && kept.contains(keys[keys.count - 1]))
    }

    @Test("a segment that is deleted is gone for the next request")
    func route() async throws {
        try await TestNode.with { node in
            let store = try FileStore(root: node.folder + "/objects")
            var router = Router()
            ObjectRoutes(store: store, recorder: node.services.recorder, gate: Gate(Authorizer(AuthSettings()))).add(to: &router)
            let key = try ObjectKey("demo/2026/11/21/seg_0001.m4s")
            try await store.put(key, Array("segment".utf8), ifAbsent: true)
            for _ in 0..<3 {
                let answer = await router.respond(to: try HTTPRequest(method: .get, target: "/api/record/object/\(key)"))
                #expect(answer.status == .ok)
            }
            try await store.delete(key)
            let answer = await router.respond(to: try HTTPRequest(method: .get, target: "/api/record/object/\(key)"))
            #expect(answer.status == .notFound)
        }
    }
}
