import Cluster
import Foundation
import Journal
import MediaFixtures
import Synchronization
import TestThreads
import Testing

@testable import MediaPlane
@testable import Record
@testable import Store

@Suite("Recordings are removed when they are old enough, whole, and only then", .offThePool)
struct KeepTests {
    let place: RecordingDirectory
    private static let pictures: [SyntheticMedia.Picture] = (try? SyntheticMedia.h264(frames: 60, gop: 15, size: "160x90")) ?? []
    private static let dayUs: Int64 = 86_400_000_000

    init() throws { place = try RecordingDirectory() }

    /// A recording of two seconds.
    @discardableResult
    private func record(_ stream: String, base: String? = nil) async throws -> RecordingRecord {
        let feed = try RecorderFeed()
        let recorder = try place.recorder(
            [stream: feed], settings: RecordSettings(segmentSeconds: 0.5, freeBytesMin: 0, threads: 1))
        try await recorder.recover()
        try await recorder.start(
            stream: stream, key: RecordingDirectory.key(stream), baseDirectory: try base.map { try ObjectKey($0) })
        var publisher = Publisher()
        publisher.startNs = WallClock.monotonicNs()
        publisher.pictures = Self.pictures
        publisher.sounds = (0..<100).map(Publisher.sound)
        feed.send(publisher.events())
        await recorder.stopAll()
        return try #require(recorder.recordings().sessions.last { $0.stream == stream })
    }

    private func recorder(_ retention: Retention = Retention()) async throws -> Recorder {
        let recorder = try place.recorder(
            [:], settings: RecordSettings(segmentSeconds: 0.5, freeBytesMin: 0, threads: 1, retention: retention))
        try await recorder.recover()
        return recorder
    }

    @Test("the first pattern that fits decides, 0 is for ever")
    func rules() throws {
        func rule(_ pattern: String, _ days: Int) throws -> Retention.Rule {
            Retention.Rule(pattern: try #require(StreamPattern(pattern)), days: days)
        }
        let retention = Retention(days: 30, rules: [try rule("cam-1", 0), try rule("cam-*", 7), try rule("*-1", 1)])
        let nowUs = 100 * Self.dayUs
        #expect(retention.limitUs(for: "cam-1", nowUs: nowUs) == nil)
        #expect(retention.limitUs(for: "cam-2", nowUs: nowUs) == 93 * Self.dayUs)
        #expect(retention.limitUs(for: "web-1", nowUs: nowUs) == 99 * Self.dayUs)
        #expect(retention.limitUs(for: "demo", nowUs: nowUs) == 70 * Self.dayUs)
        #expect(Retention().limitUs(for: "demo", nowUs: nowUs) == nil)
    }

    @Test("how young a change is goes by the clock that noted it, how old may be kept by the one that is behind")
    func clocks() async throws {
        var row = try await record("demo")
        let changedUs = 100 * Self.dayUs
        // Recorded before the time of day was right, closed after that.
        (row.endTs, row.updatedAt) = (1_000_000, changedUs)
        let retention = Retention(days: 1)
        #expect(!retention.isOver(row, nowUs: changedUs - Self.dayUs, ownUs: changedUs))
        #expect(!retention.isOver(row, nowUs: changedUs + Self.dayUs, ownUs: changedUs + 3 * Self.dayUs))
        #expect(retention.isOver(row, nowUs: changedUs + Self.dayUs + 1, ownUs: changedUs + 3 * Self.dayUs))
        // A change that is still to come says nothing.
        #expect(retention.isOver(row, nowUs: changedUs - 1, ownUs: changedUs - 1))
    }

    @Test("the share of the file system and the bytes: the larger one is needed")
    func needed() {
        let settings = RecordSettings(freeBytesMin: 1_000, freePercentMin: 5)
        #expect(settings.freeBytesNeeded(of: 10_000) == 1_000)
        #expect(settings.freeBytesNeeded(of: 1_000_000) == 50_000)
        #expect(RecordSettings(freeBytesMin: 0).freeBytesNeeded(of: .max) == 0)
    }

    @Test("the oldest recordings make room, as many as it takes, and never one that is being written", arguments: [0, 1, 2, 5])
    func makesRoom(wanted: Int) async throws {
        for stream in ["c", "a", "b"] { try await record(stream) }
        let feed = try RecorderFeed()
        let recorder = try place.recorder(
            ["live": feed], settings: RecordSettings(segmentSeconds: 0.5, freeBytesMin: 1 << 20, makesRoom: true, threads: 1))
        try await recorder.recover()
        try await recorder.start(stream: "live", key: RecordingDirectory.key("live"))
        var publisher = Publisher()
        publisher.startNs = WallClock.monotonicNs()
        publisher.pictures = Self.pictures
        feed.send(publisher.events())
        #expect(await eventually { recorder.recordings().sessions.count == 4 })
        // Each recording that goes gives a megabyte; it begins `wanted` megabytes short.
        let keeper = Keeper(recorder.environment) { () throws(StoreError) in
            let gone = recorder.recordings().sessions.count { $0.status == .deleted }
            return (free: Int64(65 + gone - wanted) << 20, all: 1 << 40)
        }
        #expect(await keeper.makeRoom() == min(wanted, 3))
        let left = recorder.recordings().sessions.filter { $0.status != .deleted }.map(\.stream)
        #expect(Set(left) == Set(["c", "a", "b"].dropFirst(wanted)).union(["live"]))
        await recorder.stopAll()
    }

    @Test("what is too old goes with every object, what is not stays as it is; a notice stays for seven days")
    func sweep() async throws {
        let old = try await record("cam-1")
        let kept = try await record("demo")
        let keptNames = try place.names(kept.recordDir)
        let pattern = try #require(StreamPattern("cam-*"))
        let recorder = try await recorder(Retention(days: 0, rules: [Retention.Rule(pattern: pattern, days: 2)]))
        let endUs = max(try #require(old.endTs), old.updatedAt)
        #expect(await recorder.keeper.sweep(nowUs: endUs + 2 * Self.dayUs) == 0)
        #expect(await recorder.keeper.sweep(nowUs: endUs + 2 * Self.dayUs + 1) == 1)
        #expect(try place.names(old.recordDir) == ["session_\(old.id).jsonl"])
        #expect(try place.names(kept.recordDir) == keptNames)
        let row = try #require(recorder.recordings(sinceUs: old.updatedAt, stream: "cam-1").sessions.first)
        #expect(row.status == .deleted && row.id == old.id && row.updatedAt > old.updatedAt)
        #expect(recorder.metrics.removed == 1)
        await recorder.stopAll()

        // The notice is there after a restart too, until its time has come.
        let next = try await self.recorder()
        #expect(next.recordings(stream: "cam-1").sessions.map(\.status) == [.deleted])
        #expect(await next.keeper.sweep(nowUs: row.updatedAt + 7 * Self.dayUs) == 0)
        #expect(next.recordings(stream: "cam-1").sessions.count == 1)
        await next.keeper.sweep(nowUs: row.updatedAt + 7 * Self.dayUs + 1)
        #expect(next.recordings(stream: "cam-1").sessions.isEmpty)
        #expect(try place.names("") == ["demo"])
        await next.stopAll()
    }

    @Test("of two recordings in a directory only the older goes, and the manifest plays the other")
    func shared() async throws {
        let first = try await record("demo", base: "archive")
        let second = try await record("demo", base: "archive")
        let recorder = try await recorder(Retention(days: 1))
        let between = max(try #require(first.endTs), first.updatedAt) + Self.dayUs + 1
        #expect(await recorder.keeper.sweep(nowUs: between) == 1)
        #expect(try place.names("archive").filter { $0.hasSuffix(".m4s") }.allSatisfy { $0.contains(second.id) })
        try ManifestCheck(place, "archive").check(isStatic: true, periods: 1, seconds: 2)
        await recorder.stopAll()
        // Names are never used again while players may have the old objects in their caches.
        let third = try await record("demo", base: "archive")
        #expect(try place.names("archive").contains("init_\(third.id).m4s"))
    }

    @Test("what an index has forgotten is old one day all the same")
    func forgotten() async throws {
        let row = try await record("demo")
        let recorder = try await recorder(Retention(days: 1))
        let reference = [(stream: "demo", record: row.id)]
        #expect(try await recorder.acknowledge(reference) == 1)
        #expect(try await recorder.forget(reference) == 1)
        #expect(recorder.recordings().sessions.isEmpty)
        let endUs = max(try #require(row.endTs), row.updatedAt)
        #expect(await recorder.keeper.sweep(nowUs: endUs + Self.dayUs + 1) == 1)
        #expect(try place.names(row.recordDir) == ["session_\(row.id).jsonl"])
        await recorder.stopAll()
    }

    @Test("what was recorded before the time of day was right is not old, whatever its end says")
    func clockBehind() async throws {
        let behindUs = Mutex(60 * Self.dayUs)
        let row = try await recording(
            realtimeUs: { RecordingDirectory.nowUs() - behindUs.withLock { $0 } }, beforeEnd: { behindUs.withLock { $0 = 0 } })
        #expect(try #require(row.endTs) < row.updatedAt - 59 * Self.dayUs)

        let recorder = try await recorder(Retention(days: 30))
        #expect(await recorder.keeper.sweep(nowUs: row.updatedAt + 30 * Self.dayUs) == 0)
        #expect(await recorder.keeper.sweep(nowUs: row.updatedAt + 30 * Self.dayUs + 1) == 1)
        await recorder.stopAll()
    }

    @Test("a node whose time of day was ahead once removes what is old by its end")
    func clockWasAhead() async throws {
        _ = try await recording(realtimeUs: { RecordingDirectory.nowUs() + 60 * Self.dayUs })
        let row = try await recording(realtimeUs: { RecordingDirectory.nowUs() })
        let endUs = try #require(row.endTs)
        #expect(endUs < row.updatedAt - 59 * Self.dayUs)

        let recorder = try await recorder(Retention(days: 30))
        #expect(await recorder.keeper.sweep(nowUs: endUs + 30 * Self.dayUs) == 0)
        #expect(await recorder.keeper.sweep(nowUs: endUs + 30 * Self.dayUs + 1) == 1)
        await recorder.stopAll()
    }

    /// A recording of a node with this time of day; of all there are the one that ended first by itself.
    private func recording(
        realtimeUs: @escaping @Sendable () -> Int64, beforeEnd: () -> Void = {}
    ) async throws -> RecordingRecord {
        let feed = try RecorderFeed()
        let recorder = try Recorder(
            settings: RecordSettings(segmentSeconds: 0.5, freeBytesMin: 0, threads: 1), store: place.store, nodeAlias: "edge-a",
            openTap: { (_) async throws(RecordError) in feed.tap }, requestKeyframe: { _ in }, realtimeUs: realtimeUs)
        try await recorder.recover()
        try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
        var publisher = Publisher()
        publisher.startNs = WallClock.monotonicNs()
        publisher.pictures = Self.pictures
        feed.send(publisher.events())
        #expect(await eventually { recorder.metrics.segments >= 2 })
        beforeEnd()
        await recorder.stopAll()
        return try #require(recorder.recordings().sessions.min { ($0.endTs ?? .max) < ($1.endTs ?? .max) })
    }

    @Test("a recording that is being written, here or by another process, is never removed")
    func active() async throws {
        let ended = try await record("demo")
        let feed = try RecorderFeed()
        let recorder = try place.recorder(
            ["live": feed],
            settings: RecordSettings(segmentSeconds: 0.5, freeBytesMin: 0, threads: 1, retention: Retention(days: 1)))
        try await recorder.recover()
        try await recorder.start(stream: "live", key: RecordingDirectory.key("live"))
        var publisher = Publisher()
        publisher.startNs = WallClock.monotonicNs()
        publisher.pictures = Self.pictures
        feed.send(Array(publisher.events().dropLast()))
        #expect(await eventually { recorder.metrics.segments > 1 })
        // Someone else has the ended one's journal.
        let key = try ObjectKey(ended.recordDir + "/session_\(ended.id).jsonl")
        var other: AppendFile? = try place.store.appendingNow(key, exclusively: false)
        #expect(other?.claim() == true)
        await #expect(throws: RecordError.active) { try await recorder.delete(id: ended.id) }
        #expect(await recorder.keeper.sweep(nowUs: .max / 2) == 0)
        other = nil
        #expect(await recorder.keeper.sweep(nowUs: .max / 2) == 1)
        #expect(recorder.status(stream: "live")?.state == .recording)
        await recorder.stopAll()
        #expect(recorder.recordings(stream: "live").sessions.map(\.status) == [.completed])
    }

    @Test("an open object is read to its end although it is removed")
    func reading() async throws {
        let row = try await record("demo")
        let recorder = try await recorder()
        let key = try ObjectKey(row.recordDir + "/seg_0001.m4s")
        let whole = try place.bytes(key.path)
        let body = try await place.store.get(key, range: nil)
        try await recorder.delete(id: row.id)
        var bytes: [UInt8] = []
        for try await piece in body.chunks { bytes += piece }
        #expect(bytes == whole)
        await recorder.stopAll()
    }

    @Test("a process that dies after any step is taken up where it stopped", arguments: 1...5)
    func interrupted(after steps: Int) async throws {
        let row = try await record("demo")
        let other = try await record("demo")
        let dying = try await recorder()
        do {
            let work = try #require(try SessionRemoval(dying.environment).begin(row))
            if steps > 1 { try work.unlist() }
            if steps > 2 {
                let objects = try place.names(row.recordDir).filter { OwnedNames(work.session).contains($0) }
                for name in objects.prefix(3) { try place.store.deleteNow(try work.directory.object(name)) }
            }
            if steps > 3 { try work.removeObjects() }
            if steps > 4 { try work.leaveNotice() }
        }
        // Whoever starts now names nothing of it, at once.
        let next = try await recorder()
        #expect(
            Set(next.recordings().sessions.map { "\($0.id) \($0.status)" }) == ["\(row.id) deleted", "\(other.id) completed"])
        #expect(await next.keeper.sweep(nowUs: RecordingDirectory.nowUs()) == (steps < 5 ? 1 : 0))
        let names = try place.names(row.recordDir)
        #expect(names.filter { $0.hasSuffix(".m4s") }.allSatisfy { $0.contains(other.id) })
        try ManifestCheck(place, row.recordDir).check(isStatic: true, periods: 1, seconds: 2)
        await next.stopAll()
    }

    @Test("what was shipped is removed where it was shipped to")
    func remote() async throws {
        let bucket = try RecordingDirectory()
        func shipped(_ body: (Recorder, RecorderFeed) async throws -> Void) async throws {
            let feed = try RecorderFeed()
            let made = try Recorder(
                settings: RecordSettings(segmentSeconds: 0.5, freeBytesMin: 0, threads: 1), store: place.store,
                remote: bucket.store, nodeAlias: "edge-a", openTap: { (_) async throws(RecordError) in feed.tap },
                requestKeyframe: { _ in }, realtimeUs: RecordingDirectory.nowUs)
            try await made.recover()
            try await body(made, feed)
            await made.stopAll()
        }
        for _ in 0..<2 {
            try await shipped { recorder, feed in
                try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
                var publisher = Publisher()
                publisher.startNs = WallClock.monotonicNs()
                publisher.pictures = Self.pictures
                publisher.sounds = (0..<100).map(Publisher.sound)
                feed.send(publisher.events())
            }
        }
        try await shipped { recorder, _ in
            let rows = recorder.recordings().sessions
            #expect(rows.count == 2)
            let (row, other) = (try #require(rows.first), try #require(rows.last))
            try ManifestCheck(bucket, row.recordDir).check(isStatic: true, periods: 2, seconds: 4)
            try await recorder.delete(id: row.id)
            let names = try bucket.names(row.recordDir)
            #expect(names.filter { $0.hasSuffix(".m4s") }.allSatisfy { $0.contains(other.id) })
            #expect(names.contains("session_\(row.id).jsonl"))
            try ManifestCheck(bucket, row.recordDir).check(isStatic: true, periods: 1, seconds: 2)
            await recorder.keeper.sweep(nowUs: RecordingDirectory.nowUs() + 8 * Self.dayUs)
            #expect(try !bucket.names(row.recordDir).contains("session_\(row.id).jsonl"))
            #expect(recorder.recordings().sessions.map(\.id) == [other.id])
        }
    }

    @Test("a recording that could not be closed at the start is closed later")
    func closedLater() async throws {
        let row = try await record("demo")
        let journal = place.store.root + "/" + row.recordDir + "/session_\(row.id).jsonl"
        let lines = try String(contentsOfFile: journal, encoding: .utf8).split(separator: "\n")
        try Data((lines.filter { !$0.contains("\"end\"") }.joined(separator: "\n") + "\n").utf8).write(
            to: URL(fileURLWithPath: journal))
        // The manifest cannot be written: its place is taken.
        let manifest = place.store.root + "/" + row.mpdPath
        try FileManager.default.removeItem(atPath: manifest)
        try FileManager.default.createDirectory(atPath: manifest, withIntermediateDirectories: false)
        let recorder = try await recorder()
        #expect(recorder.recordings().sessions.isEmpty)
        try FileManager.default.removeItem(atPath: manifest)
        await recorder.keeper.sweep(nowUs: RecordingDirectory.nowUs())
        #expect(recorder.recordings().sessions.map(\.status) == [.completed])
        try ManifestCheck(place, row.recordDir).check(isStatic: true, periods: 1, seconds: 2)
        await recorder.stopAll()
    }
}
