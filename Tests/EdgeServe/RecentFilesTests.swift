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

    /// Gives a file that was written `settled` seconds ago to be kept.
    private func keep(
        _ path: String, _ file: HTTPFile, deletions: UInt64 = 3, now: ContinuousClock.Instant = .now, settled: Int64 = 0
    ) throws {
        let object = RecordedObject(try ObjectKey(path), stream: "demo")
        recent.keep(file, object, path: path, deletions: deletions, now: now, unixSeconds: file.modified + settled)
    }

    @Test("a segment is taken from memory for a second, with a complete header")
    func lifetime() throws {
        let (file, path, now) = (try file(), "demo/seg_0001.m4s", ContinuousClock.now)
        try keep(path, file, now: now)
        let found = try #require(recent.found(path, deletions: 3, now: now + .milliseconds(999)))
        #expect(found.file === file && found.object.stream == "demo")
        #expect(found.headers["ETag"] == file.etag && found.headers["Content-Type"] == "video/mp4")
        #expect(found.headers["Last-Modified"] != nil && found.headers["Accept-Ranges"] == "bytes")
        #expect(recent.found("demo/seg_0002.m4s", deletions: 3, now: now) == nil)
        #expect(recent.found(path, deletions: 3, now: now + .seconds(1)) == nil)
        #expect(recent.found(path, deletions: 3, now: now) == nil, "what is too old is forgotten")
    }

    @Test("a deletion forgets it at once")
    func deletion() throws {
        let now = ContinuousClock.now
        try keep("demo/seg_0001.m4s", try file(), now: now)
        #expect(recent.found("demo/seg_0001.m4s", deletions: 4, now: now) == nil)
    }

    @Test(
        "neither what still changes nor what is large is kept",
        arguments: [
            ("demo/manifest.mpd", 5, 60, false), ("demo/manifest.mpd", 5, 61, true), ("demo/seg_0001.m4s", 512 << 10, 0, true),
            ("demo/seg_0001.m4s", (512 << 10) + 1, 0, false),
        ])
    func keeping(path: String, count: Int, settled: Int64, isKept: Bool) throws {
        let now = ContinuousClock.now
        try keep(path, try file(count), now: now, settled: settled)
        #expect((recent.found(path, deletions: 3, now: now) != nil) == isKept)
    }

    @Test("never more files than may be open")
    func bound() throws {
        let now = ContinuousClock.now
        let paths = (0..<(3 * RecentFiles.countMax)).map { "demo/seg_\($0).m4s" }
        for path in paths { try keep(path, try file(), now: now) }
        let kept = paths.filter { recent.found($0, deletions: 3, now: now) != nil }
        #expect(kept.count <= RecentFiles.countMax && kept.contains(paths[paths.count - 1]))
    }

    /// A node's routes over a store of its own, with one object in it that was written an hour ago.
    private func withObject(
        _ name: String, _ auth: AuthSettings = AuthSettings(), _ body: (FileStore, ObjectKey, Router) async throws -> Void
    ) async throws {
        try await TestNode.with { node in
            let root = node.folder + "/objects"
            let store = try FileStore(root: root)
            var router = Router()
            ObjectRoutes(store: store, recorder: node.services.recorder, gate: Gate(Authorizer(auth))).add(to: &router)
            let key = try ObjectKey("demo/2026/11/21/\(name)")
            try await store.put(key, Array("object".utf8), ifAbsent: true)
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSinceNow: -3_600)], ofItemAtPath: "\(root)/\(key)")
            try await body(store, key, router)
        }
    }

    /// Of the answer; nil when no request can be made.
    private func status(_ router: Router, _ key: ObjectKey, _ headers: HTTPHeaders = [:]) async -> HTTPStatus? {
        guard let request = try? HTTPRequest(method: .get, target: "/api/record/object/\(key)", headers: headers) else {
            return nil
        }
        return await router.respond(to: request).status
    }

    @Test("an object that is deleted is gone for the next request", arguments: ["seg_0001.m4s", "manifest.mpd"])
    func route(name: String) async throws {
        try await withObject(name) { store, key, router in
            for _ in 0..<3 { #expect(await status(router, key) == .ok) }
            try await store.delete(key)
            #expect(await status(router, key) == .notFound)
        }
    }

    @Test("what is kept is shown to nobody who may not see it")
    func access() async throws {
        var auth = AuthSettings()
        auth.tokens = ["secret"]
        try await withObject("seg_0001.m4s", auth) { _, key, router in
            let token: HTTPHeaders = ["Authorization": "Bearer secret"]
            #expect(await status(router, key, token) == .ok)
            #expect(await status(router, key) == .unauthorized)
            for (name, value, expected) in [
                ("If-None-Match", "*", HTTPStatus.notModified), ("Range", "bytes=1-2", .partialContent),
            ] {
                var headers = token
                headers[name] = value
                #expect(await status(router, key, headers) == expected)
            }
        }
    }
}
