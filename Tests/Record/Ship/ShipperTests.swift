import Cluster
import Foundation
import Journal
import MediaFixtures
import StoreFixtures
import Synchronization
import TestThreads
import Testing

@testable import MediaPlane
@testable import Record
@testable import Store

@Suite("Recording through a spool to a remote store", .offThePool)
struct ShipperTests {
    private static let pictures: [SyntheticMedia.Picture] = (try? SyntheticMedia.h264(frames: 120, gop: 15, size: "160x90")) ?? []

    private let spool: RecordingDirectory
    private let away: RecordingDirectory
    private let remote: FaultyStore

    init() throws {
        spool = try RecordingDirectory()
        away = try RecordingDirectory()
        remote = try FaultyStore(root: away.store.root)
    }

    private func recorder(
        _ feeds: [String: RecorderFeed], node: String = "edge-a", at place: RecordingDirectory? = nil, spoolBytes: Int64 = 1 << 30
    ) throws -> Recorder {
        let taps = Dictionary(uniqueKeysWithValues: feeds.map { (RecordingDirectory.key($0.key), $0.value.tap) })
        return try Recorder(
            settings: RecordSettings(segmentSeconds: 0.5, freeBytesMin: 0, threads: 1, spoolBytesMax: spoolBytes),
            store: (place ?? spool).store, remote: remote, nodeAlias: node,
            openTap: { (key) async throws(RecordError) in
                guard let tap = taps[key] else { throw .plane("no such stream") }
                return tap
            }, requestKeyframe: { _ in }, realtimeUs: RecordingDirectory.nowUs)
    }

    private func media(at nowNs: UInt64 = WallClock.monotonicNs()) -> [(ns: UInt64, event: Publisher.Event)] {
        var publisher = Publisher()
        publisher.startNs = nowNs
        publisher.pictures = Self.pictures
        publisher.sounds = (0..<200).map(Publisher.sound)
        return publisher.events()
    }

    private func isShipped(_ recorder: Recorder) -> Bool {
        recorder.environment.shipper?.state.withLock { $0.plan.recordings.isEmpty && $0.plan.running == 0 } ?? false
    }

    /// What the spool holds of media, and what the remote directory holds.
    private func localMedia(_ directory: String) throws -> [String] {
        try spool.names(directory).filter { $0.hasSuffix(".m4s") || $0.hasSuffix(".mpd") }
    }

    @Test(
        "a store that was away gets everything, in order, once; the spool keeps the journal only, and the index knows the recording"
    )
    func outage() async throws {
        remote.set { $0.fault = .unavailable(reason: "away") }
        let feed = try RecorderFeed()
        let first = try recorder(["demo": feed])
        try await first.recover()
        try await first.start(stream: "demo", key: RecordingDirectory.key("demo"))
        feed.send(media())
        #expect(await eventually { first.metrics.segments >= 12 })
        let status = try #require(first.shipStatus(stream: "demo"))
        #expect(status.pendingObjects > 12 && status.pendingBytes > 0 && status.lastError != nil)
        #expect(remote.puts.isEmpty && remote.attempts < 12)
        await first.stopAll()
        let row = try #require(first.recordings().sessions.first)
        let names = try spool.names(row.recordDir).filter { $0.hasSuffix(".m4s") }

        // Another process takes it up when the store is back.
        remote.set { $0.fault = nil }
        let second = try recorder([:])
        try await second.recover()
        #expect(await eventually { isShipped(second) })
        #expect(Set(remote.media()) == Set(names.map { row.recordDir + "/" + $0 }) && remote.media().count == names.count)
        #expect(try localMedia(row.recordDir).isEmpty)
        #expect(try spool.names(row.recordDir).sorted() == ["session_\(row.id).jsonl", "uploads_\(row.id).jsonl"])
        let objects = try ManifestCheck(away, row.recordDir).check(isStatic: true, periods: 1, seconds: nil)
        #expect(objects == Set(names))
        let keys = remote.puts.map(\.key)
        #expect(keys.last == row.mpdPath && keys.dropLast().last?.hasSuffix("session_\(row.id).jsonl") == true)
        for kind in ["seg", "audio_seg"] {
            let own = remote.media().map { $0.split(separator: "/").last.map(String.init) ?? "" }.filter {
                $0.hasPrefix(kind + "_")
            }
            #expect(own == own.sorted() && own.count >= 4)
        }
        let detail = try await second.detail(id: row.id)
        #expect(detail.status == .completed && detail.periods.count == 1)
        await second.stopAll()

        // And a third finds nothing left to do.
        let before = remote.puts.count
        let third = try recorder([:])
        try await third.recover()
        #expect(third.recordings().sessions.map(\.id) == [row.id])
        #expect(isShipped(third))
        await third.stopAll()
        #expect(remote.puts.count == before)
    }

    @Test("a node that was given another name finishes and sends what it recorded before")
    func renamed() async throws {
        remote.set { $0.fault = .unavailable(reason: "away") }
        let feed = try RecorderFeed()
        let killed = try recorder(["demo": feed])
        try await killed.recover()
        let info = try await killed.start(stream: "demo", key: RecordingDirectory.key("demo"))
        feed.send(media())
        #expect(await eventually { killed.metrics.segments >= 12 })
        // What a killed process would leave.
        let left = try RecordingDirectory()
        let stream = "/\(info.recordDirectory.prefix { $0 != "/" })"
        let (from, to) = (spool.store.root + stream, left.store.root + stream)
        // A file that gets its final name meanwhile breaks a copy off.
        let isCopied = await eventually {
            try? FileManager.default.removeItem(atPath: to)
            return (try? FileManager.default.copyItem(atPath: from, toPath: to)) != nil
        }
        #expect(isCopied)
        await killed.stopAll()
        remote.set { $0.fault = nil }
        let renamed = try recorder([:], node: "edge-z", at: left)
        #expect(try await renamed.recover().repaired == 1)
        #expect(await eventually { isShipped(renamed) })
        let names = Set(try away.names(info.recordDirectory).filter { $0.hasSuffix(".m4s") })
        #expect(try ManifestCheck(away, info.recordDirectory).check(isStatic: true, periods: 1, seconds: nil) == names)
        await renamed.stopAll()
    }

    @Test(
        "while the store answers, media leaves the spool as it is recorded, and lost answers cost a repetition under the same name"
    )
    func live() async throws {
        remote.set { $0.losesAnswers = 4 }
        let feed = try RecorderFeed()
        let recorder = try recorder(["demo": feed])
        try await recorder.recover()
        let info = try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
        feed.send(media())
        #expect(await eventually { recorder.metrics.segments >= 12 && recorder.shipStatus(stream: "demo")?.pendingObjects == 0 })
        #expect(try localMedia(info.recordDirectory).filter { $0.hasSuffix(".m4s") }.isEmpty)
        #expect(recorder.status(stream: "demo")?.state == .recording)
        await recorder.stopAll()
        let names = try away.names(info.recordDirectory).filter { $0.hasSuffix(".m4s") }
        let objects = try ManifestCheck(away, info.recordDirectory).check(isStatic: true, periods: 1, seconds: nil)
        #expect(objects == Set(names))
        #expect((recorder.metrics.uploads?.retries["unavailable"] ?? 0) >= 2)
        let metrics = try #require(recorder.metrics.uploads)
        #expect(metrics.lostObjects == 0 && metrics.pendingBytes == 0 && metrics.uploadedObjects >= 14)
    }

    @Test("two nodes, one bucket, the same stream and day: nothing is overwritten, and one manifest names all that exists")
    func shared() async throws {
        let other = try RecordingDirectory()
        let feeds = [try RecorderFeed(), try RecorderFeed()]
        let recorders = [
            try recorder(["demo": feeds[0]]), try recorder(["demo": feeds[1]], node: "edge-b", at: other),
        ]
        for recorder in recorders { try await recorder.recover() }
        async let left = recorders[0].start(stream: "demo", key: RecordingDirectory.key("demo"))
        async let right = recorders[1].start(stream: "demo", key: RecordingDirectory.key("demo"))
        let infos = try await [left, right]
        for feed in feeds { feed.send(media()) }
        for recorder in recorders { #expect(await eventually { recorder.metrics.segments >= 12 }) }
        async let one: Void = recorders[0].stopAll()
        async let two: Void = recorders[1].stopAll()
        _ = await (one, two)
        for recorder in recorders { #expect(isShipped(recorder)) }
        let directory = infos[0].recordDirectory
        let sizes = Dictionary(grouping: remote.puts.filter { $0.key.hasSuffix(".m4s") }, by: \.key)
        #expect(sizes.values.allSatisfy { $0.count == 1 })
        let names = Set(try away.names(directory).filter { $0.hasSuffix(".m4s") })
        #expect(try ManifestCheck(away, directory).check(isStatic: true, periods: 2, seconds: nil) == names)
        // At most one of them had the plain names.
        for info in infos { #expect(names.contains { $0.contains(info.id) } || names.contains("init.m4s")) }
        #expect(try away.names(directory).filter { $0.hasPrefix("session_") }.count == 2)
    }

    @Test("a manifest that another node wrote meanwhile is read again, not overwritten")
    func manifestRace() async throws {
        let feed = try RecorderFeed()
        let recorder = try recorder(["demo": feed])
        try await recorder.recover()
        let info = try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
        let files = remote.files
        let left = Mutex(3)
        remote.set {
            $0.interloper = { key in
                guard key.name == DayManifest.name,
                    left.withLock({ count in
                        count -= 1; return count >= 0
                    })
                else { return }
                _ = try? await files.put(key, Array("another's".utf8), condition: .none)
            }
        }
        feed.send(media())
        #expect(await eventually { recorder.metrics.segments >= 12 })
        await recorder.stopAll()
        #expect(isShipped(recorder) && remote.refusals >= 3)
        let names = Set(try away.names(info.recordDirectory).filter { $0.hasSuffix(".m4s") })
        #expect(try ManifestCheck(away, info.recordDirectory).check(isStatic: true, periods: 1, seconds: nil) == names)
    }

    @Test("the first node alone has the plain names, a later one does not, and one that cannot ask does not either")
    func plainNames() async throws {
        func record(_ stream: String, node: String, at place: RecordingDirectory) async throws -> (id: String, names: [String]) {
            let feed = try RecorderFeed()
            let recorder = try recorder([stream: feed], node: node, at: place)
            try await recorder.recover()
            let info = try await recorder.start(stream: stream, key: RecordingDirectory.key(stream))
            feed.send(media())
            #expect(await eventually { recorder.metrics.segments >= 4 })
            remote.set { $0.fault = nil }
            await recorder.stopAll()
            // What did not get away in time is in the spool.
            let remote = (try? away.names(info.recordDirectory)) ?? []
            return (info.id, remote + (try place.names(info.recordDirectory)))
        }
        let other = try RecordingDirectory()
        #expect(try await record("demo", node: "edge-a", at: spool).names.contains("init.m4s"))
        let second = try await record("demo", node: "edge-b", at: other)
        #expect(second.names.contains("init_\(second.id).m4s"))
        remote.set { $0.fault = .unavailable(reason: "away") }
        let third = try await record("cam", node: "edge-b", at: other)
        #expect(!third.names.contains("init.m4s") && third.names.contains("init_\(third.id).m4s"))
    }

    @Test("a recording that never began leaves nothing in the bucket")
    func nothing() async throws {
        let feed = try RecorderFeed()
        let recorder = try recorder(["demo": feed])
        try await recorder.recover()
        try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
        #expect(remote.puts.count == 1)
        await recorder.stopAll()
        #expect(try await remote.files.list(prefix: "", after: nil, limit: 10).objects.isEmpty)
    }

    @Test("a full spool pauses recording with a reason; room lets it go on")
    func full() async throws {
        remote.set { $0.fault = .unavailable(reason: "away") }
        let feed = try RecorderFeed()
        let recorder = try recorder(["demo": feed], spoolBytes: 30_000)
        try await recorder.recover()
        try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
        feed.send(media())
        #expect(await eventually { recorder.status(stream: "demo")?.state == .paused })
        #expect(recorder.status(stream: "demo")?.problem?.contains("spool is full") == true)
        #expect(recorder.metrics.paused == 1 && (recorder.metrics.uploads?.pendingBytes ?? .max) <= 30_000)
        remote.set { $0.fault = nil }
        #expect(await eventually { recorder.status(stream: "demo")?.state != .paused })
        let before = recorder.metrics.segments
        feed.send(media())
        #expect(await eventually { recorder.metrics.segments > before })
        await recorder.stopAll()
        #expect(recorder.recordings().sessions.allSatisfy { $0.status == .completed })
    }

    @Test("removal takes the remote objects too, and the rest of the day still plays")
    func removal() async throws {
        var rows: [RecordingRecord] = []
        for _ in 0..<2 {
            let feed = try RecorderFeed()
            let recorder = try recorder(["demo": feed])
            try await recorder.recover()
            try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
            feed.send(media())
            #expect(await eventually { recorder.metrics.segments >= 4 })
            await recorder.stopAll()
            #expect(isShipped(recorder))
            rows.append(try #require(recorder.recordings().sessions.last))
        }
        let recorder = try recorder([:])
        try await recorder.recover()
        try await recorder.delete(id: rows[0].id)
        let names = try away.names(rows[1].recordDir).filter { $0.hasSuffix(".m4s") }
        #expect(!names.isEmpty && names.allSatisfy { $0.contains(rows[1].id) })
        #expect(try ManifestCheck(away, rows[1].recordDir).check(isStatic: true, periods: 1, seconds: nil) == Set(names))
        try await recorder.delete(id: rows[1].id)
        #expect(try away.names(rows[1].recordDir).sorted() == rows.map { "session_\($0.id).jsonl" }.sorted())
        await recorder.stopAll()
    }
}
