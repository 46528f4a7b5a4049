import Cluster
import Foundation
import Journal
import MediaFixtures
import Presentation
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

    /// A recorder that is sent four seconds, and has recorded so many segments of them.
    private func recorded(segments: Int64 = 12) async throws -> Recorder {
        let feed = try RecorderFeed()
        let recorder = try recorder(["demo": feed])
        try await recorder.recover()
        try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
        feed.send(media())
        #expect(await eventually { recorder.metrics.segments >= segments })
        return recorder
    }

    /// One of which nothing could be sent.
    private func recordedWhileAway() async throws -> Recorder {
        remote.set { $0.fault = .unavailable(reason: "away") }
        return try await recorded()
    }

    /// Another process takes up what is in the spool: all of it arrives, once, and the manifest names it.
    private func takenUp(_ row: RecordingRecord, _ names: [String]) async throws -> Recorder {
        let second = try recorder([:])
        try await second.recover()
        #expect(await eventually { isShipped(second) })
        #expect(Set(remote.media()) == Set(names.map { row.recordDir + "/" + $0 }) && remote.media().count == names.count)
        #expect(try localMedia(row.recordDir).isEmpty)
        let objects = try ManifestCheck(away, row.recordDir).check(isStatic: true, periods: 1, seconds: nil)
        #expect(objects == Set(names))
        return second
    }

    @Test(
        "a store that was away gets everything, in order, once; the spool keeps the journal only, and the index knows the recording"
    )
    func outage() async throws {
        let first = try await recordedWhileAway()
        let status = try #require(first.shipStatus(stream: "demo"))
        #expect(status.pendingObjects > 12 && status.pendingBytes > 0 && status.lastError != nil)
        #expect(remote.puts.isEmpty && remote.attempts < 12)
        await first.stopAll()
        let row = try #require(first.recordings().sessions.first)
        let names = try spool.names(row.recordDir).filter { $0.hasSuffix(".m4s") }

        // Another process takes it up when the store is back.
        remote.set { $0.fault = nil }
        let second = try await takenUp(row, names)
        #expect(try spool.names(row.recordDir).sorted() == ["session_\(row.id).jsonl", "uploads_\(row.id).jsonl"])
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

    @Test(
        "an object that vanished from the spool is named nowhere, everything else is, and the timeline has a hole of its length")
    func vanished() async throws {
        let first = try await recordedWhileAway()
        await first.stopAll()
        let row = try #require(first.recordings().sessions.first)
        let names = Set(try spool.names(row.recordDir).filter { $0.hasSuffix(".m4s") })
        // Picture and sound of the third segment.
        let lost = names.filter { $0.hasSuffix("_0003.m4s") }
        #expect(lost.count == 2)
        let whole = try await first.detail(id: row.id)
        for name in lost { try spool.store.deleteNow(try ObjectKey(row.recordDir + "/" + name)) }

        remote.set { $0.fault = nil }
        let second = try recorder([:])
        try await second.recover()
        #expect(await eventually { isShipped(second) })
        #expect(second.metrics.uploads?.lostObjects == 2)
        #expect(try ManifestCheck(away, row.recordDir).check(isStatic: true, periods: 2, seconds: nil) == names.subtracting(lost))
        #expect(Set(try away.names(row.recordDir).filter { $0.hasSuffix(".m4s") }) == names.subtracting(lost))
        let changed = try #require(second.recordings().sessions.first)
        #expect(changed.updatedAt > row.updatedAt && changed.endTs == row.endTs && changed.status == .completed)
        await second.stopAll()

        // A third start keeps it so.
        let before = remote.puts.count
        let third = try recorder([:])
        try await third.recover()
        #expect(isShipped(third) && third.recordings().sessions == [changed])
        let detail = try await third.detail(id: row.id)
        let objects = Set(detail.periods.flatMap(\.tracks).flatMap(\.segments).map(\.object))
        #expect(objects.isDisjoint(with: lost.map { row.recordDir + "/" + $0 }))
        let pictures = try #require(whole.periods.first?.tracks.first?.segments)
        let timescale = Int64(try #require(whole.tracks.first?.timescale))
        let recording = try #require(IndexedRecording(changed, node: "edge-a"))
        let periods = try await third.periods(id: row.id, fromUs: nil, toUs: nil)
        let timeline = try #require(
            Timeline([RecordedMaterial(recording: recording, periods: periods, isGrowing: false)], gaps: .keep))
        try #require(timeline.periods.count == 2)
        let gapUs = timeline.periods[1].startUs - timeline.periods[0].durationUs
        // Sound may reach a little farther than the picture.
        #expect(abs(gapUs - pictures[2].d * 1_000_000 / timescale) < 60_000)
        await third.stopAll()
        #expect(remote.puts.count == before)
    }

    @Test("a node that was given another name finishes and sends what it recorded before")
    func renamed() async throws {
        let killed = try await recordedWhileAway()
        let info = try #require(killed.status(stream: "demo"))
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

    @Test("neither does one that others were before in its directory")
    func nothingBesideOthers() async throws {
        let other = try RecordingDirectory.day("demo") + "/session_other.jsonl"
        try await remote.files.put(try ObjectKey(other), [0x0A], condition: .none)
        let recorder = try recorder(["demo": try RecorderFeed()])
        try await recorder.recover()
        try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
        #expect(remote.puts.count == 1)
        await recorder.stopAll()
        #expect(try await remote.files.list(prefix: "", after: nil, limit: 10).objects.map(\.key.path) == [other])
    }

    @Test("a store that answers nothing holds up no end: what it has not got is in the spool, and the next process sends it")
    func hanging() async throws {
        let feed = try RecorderFeed()
        let first = try recorder(["demo": feed])
        try await first.recover()
        try await first.start(stream: "demo", key: RecordingDirectory.key("demo"))
        remote.set { $0.delay = .seconds(3600) }
        feed.send(media())
        #expect(await eventually { first.metrics.segments >= 12 && remote.underWayMax > 0 })
        await first.stopAll(uploadsWithin: .milliseconds(200))
        let row = try #require(first.recordings().sessions.first)
        #expect(row.status == .completed && remote.media().isEmpty)
        let names = try spool.names(row.recordDir).filter { $0.hasSuffix(".m4s") }
        #expect(names.count >= 14)
        // Given up by the node, which says nothing of the store.
        #expect(first.metrics.uploads?.retries == [:])

        remote.set { $0.delay = nil }
        let second = try await takenUp(row, names)
        await second.stopAll()
    }

    @Test("nor does a removal that waits for it, which is not begun before the store has answered", arguments: [false, true])
    func hangingRemoval(onlyWrites: Bool) async throws {
        let first = try await recorded(segments: 4)
        await first.stopAll()
        #expect(isShipped(first))
        var settings = RecordSettings(freeBytesMin: 0, threads: 1)
        settings.retention = Retention(days: 1)
        // The remote store is looked through as well.
        settings.ownsAlias = true
        remote.set { ($0.delay, $0.delaysOnlyWrites) = (.seconds(3600), onlyWrites) }
        let attempts = remote.attempts
        let second = try Recorder(
            settings: settings, store: spool.store, remote: remote, nodeAlias: "edge-a",
            openTap: { (_) async throws(RecordError) in throw .plane("no such stream") }, requestKeyframe: { _ in },
            realtimeUs: { RecordingDirectory.nowUs() + 3 * 86_400_000_000 })
        try await second.recover()
        second.startKeeping()
        // Once its journal says that it is to be removed the next process does.
        let isWaiting = await eventually {
            onlyWrites ? second.recordings().sessions.map(\.status) == [.deleted] : remote.attempts >= attempts + 2
        }
        #expect(isWaiting)
        await second.stopAll(uploadsWithin: .milliseconds(200))
        #expect(second.recordings().sessions.map(\.status) == [onlyWrites ? .deleted : .completed])
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
            let recorder = try await recorded(segments: 4)
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
