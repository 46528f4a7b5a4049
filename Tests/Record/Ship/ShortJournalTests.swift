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

@Suite("What stays in a spool of a recording that is complete in the remote store", .offThePool)
struct ShortJournalTests {
    private static let pictures: [SyntheticMedia.Picture] = (try? SyntheticMedia.h264(frames: 120, gop: 15, size: "160x90")) ?? []

    private let spool: RecordingDirectory
    private let away: RecordingDirectory
    private let remote: FaultyStore

    init() throws {
        spool = try RecordingDirectory()
        away = try RecordingDirectory()
        remote = try FaultyStore(root: away.store.root)
    }

    private func recorder(_ feed: RecorderFeed? = nil) throws -> Recorder {
        let taps = feed.map { [RecordingDirectory.key("demo"): $0.tap] } ?? [:]
        return try Recorder(
            settings: RecordSettings(segmentSeconds: 0.5, freeBytesMin: 0, threads: 1, spoolBytesMax: 1 << 30),
            store: spool.store, remote: remote, nodeAlias: "edge-a",
            openTap: { (key) async throws(RecordError) in
                guard let tap = taps[key] else { throw .plane("no such stream") }
                return tap
            }, requestKeyframe: { _ in }, realtimeUs: RecordingDirectory.nowUs)
    }

    private func isShipped(_ recorder: Recorder) -> Bool {
        recorder.environment.shipper?.state.withLock { $0.plan.recordings.isEmpty && $0.plan.running == 0 } ?? false
    }

    /// Records four seconds.
    private func record(in recorder: Recorder, _ feed: RecorderFeed) async throws {
        try await recorder.recover()
        try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
        var publisher = Publisher()
        publisher.startNs = WallClock.monotonicNs()
        publisher.pictures = Self.pictures
        publisher.sounds = (0..<200).map(Publisher.sound)
        feed.send(publisher.events())
        #expect(await eventually { recorder.metrics.segments >= 12 })
    }

    private func recorded() async throws -> (row: RecordingRecord, journal: ObjectKey) {
        let feed = try RecorderFeed()
        let recorder = try recorder(feed)
        try await record(in: recorder, feed)
        await recorder.stopAll()
        #expect(isShipped(recorder))
        let row = try #require(recorder.recordings().sessions.last)
        return (row, try ObjectKey(row.recordDir + "/" + JournalName.of(row.id)))
    }

    @Test("the journal shrinks to what does not grow with the recording; detail and playback come from the remote one")
    func shrinks() async throws {
        let (row, journal) = try await recorded()
        let short = try spool.store.readNow(journal, limit: 1 << 20)
        let whole = try away.store.readNow(journal, limit: 1 << 20)
        let session = try #require(RecordedSession.read(whole, directory: row.recordDir)?.session)
        // A session, a period, two tracks, the ends of both.
        #expect(short.split(separator: 0x0A).count == 6 && session.hasSegments && session.row == row)
        let next = try recorder()
        try await next.recover()
        #expect(next.recordings().sessions == [row])
        #expect(try await next.detail(id: row.id).periods == session.detail.periods)
        #expect(try await next.periods(id: row.id, fromUs: nil, toUs: nil) == session.indexed)
        // The index takes over, and says so in what is left of the journal.
        #expect(try await next.acknowledge([(stream: "demo", record: row.id)]) == 1)
        #expect(try await next.detail(id: row.id).status == .acked)
        #expect(try await next.detail(id: row.id).periods == session.detail.periods)
        // What was read for playback is there while the store is away; what was not, is an error and no empty recording.
        remote.set { $0.fault = .unavailable(reason: "away") }
        #expect(try await next.periods(id: row.id, fromUs: nil, toUs: nil) == session.indexed)
        await #expect(throws: RecordError.self) { try await next.detail(id: row.id) }
        remote.set { $0.fault = nil }
        await next.stopAll()
        #expect(try away.store.readNow(journal, limit: 1 << 20) == whole)
    }

    @Test("a process killed before it shortened the journal leaves that to the next one; journals of before get a row")
    func killed() async throws {
        let (row, journal) = try await recorded()
        let short = try spool.store.readNow(journal, limit: 1 << 20)
        var lines = try away.store.readNow(journal, limit: 1 << 20).split(separator: 0x0A).map { Array($0) + [0x0A] }
        lines.removeLast()
        lines.append(JournalLine(.end, at: row.updatedAt).encoded())
        // Long enough to be worth it.
        let padding = String(repeating: "x", count: 600)
        for _ in 0..<40 {
            var line = JournalLine(.acked, at: 1)
            line.reason = padding
            lines.append(line.encoded())
        }
        try spool.store.putNow(journal, lines.flatMap { $0 }, ifAbsent: false)
        let next = try recorder()
        try await next.recover()
        await next.stopAll()
        let read = try #require(
            RecordedSession.read(try spool.store.readNow(journal, limit: 1 << 20), directory: row.recordDir)?.session)
        let before = try #require(RecordedSession.read(short, directory: row.recordDir)?.session)
        #expect(read.isOutline && read.row.endTs == row.endTs && read.row.durationMs == row.durationMs)
        #expect(read.closing == before.closing)
    }

    @Test("without its upload log a shortened journal is never sent in place of the whole one")
    func logIsGone() async throws {
        let (row, journal) = try await recorded()
        let whole = try away.store.readNow(journal, limit: 1 << 20)
        try spool.store.deleteNow(try UploadLog(store: spool.store, journal: journal).key)
        let before = remote.puts.count
        let next = try recorder()
        try await next.recover()
        #expect(isShipped(next))
        #expect(try await next.detail(id: row.id).periods.count == 1)
        await next.stopAll()
        #expect(remote.puts.count == before)
        #expect(try away.store.readNow(journal, limit: 1 << 20) == whole)
        #expect(try UploadLog(store: spool.store, journal: journal).read().isComplete)
    }

    @Test("beside a recording that still waits in the spool, the day's manifest has those that are complete")
    func manifest() async throws {
        let (first, _) = try await recorded()
        let feed = try RecorderFeed()
        let recorder = try recorder(feed)
        try await record(in: recorder, feed)
        let key = try ObjectKey(first.mpdPath)
        #expect(await eventually { recorder.shipStatus(stream: "demo")?.pendingObjects == 0 })
        let live = try #require(await recorder.liveManifest(key))
        #expect(String(decoding: live, as: UTF8.self).contains("<Period id=\"\(first.id)-1\""))
        // Without a new segment nothing of it changes, the time it was published at least of all.
        #expect(await eventually { await recorder.liveManifest(key) == recorder.liveManifest(key) })
        remote.set { $0.fault = .unavailable(reason: "away") }
        #expect(await recorder.stop(stream: "demo"))
        let ended = try #require(await recorder.liveManifest(key))
        let text = String(decoding: ended, as: UTF8.self)
        #expect(text.contains("<Period id=\"\(first.id)-1\"") && text.components(separatedBy: "<Period ").count == 3)
        #expect(text.contains("type=\"static\""))
        remote.set { $0.fault = nil }
        await recorder.stopAll()
    }
}
