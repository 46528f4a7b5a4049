import Cluster
import Foundation
import Journal
import MediaFixtures
import StoreFixtures
import TestThreads
import Testing

@testable import MediaPlane
@testable import Record
@testable import Store

@Suite("Recordings in the remote store of which the spool has nothing", .offThePool)
struct StrayTests {
    private static let pictures: [SyntheticMedia.Picture] = (try? SyntheticMedia.h264(frames: 120, gop: 15, size: "160x90")) ?? []
    private static let hourUs: Int64 = 3_600_000_000
    private static let dayUs = 24 * hourUs

    private let away: RecordingDirectory
    private let remote: FaultyStore
    /// The node's disk, and the one it has after that was lost.
    private let disk: RecordingDirectory
    private let newDisk: RecordingDirectory

    init() throws {
        (away, disk, newDisk) = (try RecordingDirectory(), try RecordingDirectory(), try RecordingDirectory())
        remote = try FaultyStore(root: away.store.root)
    }

    private func recorder(
        _ feed: RecorderFeed? = nil, in spool: RecordingDirectory, retention: Retention = Retention(days: 1),
        ownsAlias: Bool = true
    ) async throws -> Recorder {
        let recorder = try Recorder(
            settings: RecordSettings(
                segmentSeconds: 0.5, freeBytesMin: 0, threads: 1, retention: retention, ownsAlias: ownsAlias),
            store: spool.store, remote: remote, nodeAlias: "edge-a",
            openTap: { (_) async throws(RecordError) in
                guard let feed else { throw .plane("no such stream") }
                return feed.tap
            }, requestKeyframe: { _ in }, realtimeUs: RecordingDirectory.nowUs)
        try await recorder.recover()
        return recorder
    }

    /// As a node left it, at a time of day in Unix microseconds; when it began unless given.
    private func put(_ text: JournalText, _ bytes: [UInt8]? = nil, atUs: Int64? = nil) throws {
        for object in text.objects { try remote.files.putUnflushedNow(try ObjectKey(object), [1]) }
        try remote.files.putNow(try ObjectKey(text.path), bytes ?? text.bytes, ifAbsent: false)
        let seconds = Double(atUs ?? text.startUs) / 1e6
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSince1970: seconds)], ofItemAtPath: away.store.root + "/" + text.path)
    }

    private func text(
        _ id: String, segments: Int = 3, node: String = "edge-a", in directory: String, startUs: Int64
    ) -> JournalText {
        var text = JournalText(id, segments: segments)
        (text.node, text.directory, text.startUs) = (node, directory, startUs)
        return text
    }

    /// Of three days ago, in the directory of its day.
    private func old(_ id: String, segments: Int = 3, nowUs: Int64) throws -> JournalText {
        let startUs = nowUs - 3 * Self.dayUs
        let directory = try RecordingLayout.directory(stream: "demo", base: nil, atUs: startUs).path
        return text(id, segments: segments, in: directory, startUs: startUs)
    }

    private func objects() async throws -> Set<String> {
        Set(try await remote.files.list(prefix: "", after: nil, limit: 10_000).objects.map(\.key.path))
    }

    private func manifest(_ directory: String) throws -> String {
        String(decoding: try away.bytes("\(directory)/\(DayManifest.name)"), as: UTF8.self)
    }

    /// A recording that the node has sent.
    private func recorded() async throws -> RecordingRecord {
        let feed = try RecorderFeed()
        let first = try await recorder(feed, in: disk)
        try await first.start(stream: "demo", key: RecordingDirectory.key("demo"))
        var publisher = Publisher()
        publisher.startNs = WallClock.monotonicNs()
        publisher.pictures = Self.pictures
        publisher.sounds = (0..<200).map(Publisher.sound)
        feed.send(publisher.events())
        #expect(await eventually { first.metrics.segments >= 12 })
        await first.stopAll()
        return try #require(first.recordings().sessions.last)
    }

    @Test("a new disk and the same name: what was recorded before goes when it is old, and nothing else")
    func lostSpool() async throws {
        let row = try await recorded()
        let endUs = max(try #require(row.endTs), row.updatedAt)

        let other = text("other", node: "edge-b", in: row.recordDir, startUs: endUs)
        let young = try text(
            "young", in: RecordingLayout.directory(stream: "cam", base: nil, atUs: endUs + Self.dayUs).path,
            startUs: endUs + Self.dayUs)
        let archived = text("archived", in: "archive", startUs: endUs + Self.dayUs)
        for each in [other, young, archived] { try put(each) }
        let second = try await recorder(in: newDisk)
        let before = try await objects()
        #expect(await second.keeper.sweep(nowUs: endUs + Self.dayUs) == 0)
        #expect(try await objects() == before)

        #expect(await second.keeper.sweep(nowUs: endUs + 2 * Self.dayUs) == 1)
        let notice = "\(row.recordDir)/\(JournalName.of(row.id))"
        #expect(
            try await objects()
                == Set([other, young, archived].flatMap { $0.objects + [$0.path] } + [notice, row.mpdPath]))
        let read = try #require(RecordedSession.read(try away.bytes(notice), directory: row.recordDir)?.session)
        #expect(read.isDeleted && read.node == "edge-a")
        let mpd = try manifest(row.recordDir)
        #expect(mpd.contains("other-1") && !mpd.contains(row.id))
        // Who only asks the node hears of it, too.
        #expect(second.recordings().sessions.map { "\($0.id) \($0.status)" } == ["\(row.id) deleted"])
        #expect(second.metrics.removed == 1)
        await second.stopAll()
    }

    @Test(
        "a removal that stops at any request is finished by the next round, of this process or the next one", arguments: 0..<21,
        [false, true])
    func interrupted(request: Int, isNewProcess: Bool) async throws {
        let nowUs = RecordingDirectory.nowUs()
        let own = try old("one", nowUs: nowUs)
        let neighbour = text("two", node: "edge-b", in: own.directory, startUs: own.startUs)
        for each in [own, neighbour] { try put(each) }
        let first = try await recorder(in: disk)
        remote.set { $0.failsAfter = request }
        let before = await first.keeper.sweep(nowUs: nowUs)
        remote.set { $0.failsAfter = nil }

        let next = isNewProcess ? try await recorder(in: newDisk) : first
        let after = await next.keeper.sweep(nowUs: nowUs + Self.hourUs)
        #expect(before + after == 1)
        let left = Set(neighbour.objects + [neighbour.path, own.path, "\(own.directory)/\(DayManifest.name)"])
        #expect(try await objects() == left)
        let mpd = try manifest(own.directory)
        #expect(mpd.contains("two-1") && !mpd.contains("one-1"))
        #expect(next.recordings().sessions.map(\.status) == [.deleted])
        await first.stopAll()
        await next.stopAll()
    }

    @Test("alone in its directory nothing stays of it but a notice, and that goes after seven days")
    func notice() async throws {
        let nowUs = RecordingDirectory.nowUs()
        let own = try old("one", nowUs: nowUs)
        try put(own)
        let recorder = try await recorder(in: newDisk)
        #expect(await recorder.keeper.sweep(nowUs: nowUs) == 1)
        #expect(try await objects() == [own.path])
        await recorder.keeper.sweep(nowUs: nowUs + 8 * Self.dayUs)
        #expect(try await objects().isEmpty && recorder.recordings().sessions.isEmpty)
        await recorder.stopAll()
    }

    @Test("what was recorded after the journal was sent last goes too, and nothing of a neighbour or without a name of its own")
    func laterPeriods() async throws {
        let nowUs = RecordingDirectory.nowUs()
        var own = try old("one", nowUs: nowUs)
        (own.isPlain, own.end) = (true, .none)
        try put(own)
        func add(_ names: [String]) throws -> Set<String> {
            for name in names { try remote.files.putUnflushedNow(try ObjectKey("\(own.directory)/\(name)"), [1]) }
            return Set(names.map { "\(own.directory)/\($0)" })
        }
        let later = try add(["init_onep2.m4s", "seg_onep2_0001.m4s", "audio_init_onep3.m4s", "audio_seg_onep3_0001.m4s"])
        let others = try add(["init_twop2.m4s", "seg_twop2_0001.m4s", "seg_one2_0001.m4s", "other.m4s"])
        #expect(try await objects() == later.union(others).union(own.objects + [own.path]))
        let recorder = try await recorder(in: newDisk)
        #expect(await recorder.keeper.sweep(nowUs: nowUs) == 1)
        #expect(try await objects() == others.union([own.path]))
        await recorder.stopAll()
    }

    @Test("a journal that took the notice's place stays")
    func replacedNotice() async throws {
        let nowUs = RecordingDirectory.nowUs()
        let own = try old("one", nowUs: nowUs)
        try put(own)
        let recorder = try await recorder(in: newDisk)
        #expect(await recorder.keeper.sweep(nowUs: nowUs) == 1)
        try await remote.files.put(try ObjectKey(own.path), own.bytes, condition: .none)
        try await recorder.environment.shipper?.forgetNotice(directory: try ObjectKey(own.directory), id: own.id)
        #expect(try await objects() == [own.path])
        // One that is not there is none to remove.
        try await remote.files.delete(try ObjectKey(own.path))
        try await recorder.environment.shipper?.forgetNotice(directory: try ObjectKey(own.directory), id: own.id)
        await recorder.stopAll()
    }

    @Test("a journal with a bad line is nobody's to judge, wherever that stands", arguments: [3, 60])
    func badLine(segments: Int) async throws {
        let nowUs = RecordingDirectory.nowUs()
        let own = try old("one", segments: segments, nowUs: nowUs)
        let lines = own.lines.map { $0.encoded() }
        let bad = lines.dropLast(3).flatMap { $0 } + Array("{\"at\":5,\"event\n".utf8) + lines.suffix(3).flatMap { $0 }
        try put(own, bad)
        let recorder = try await recorder(in: newDisk)
        #expect(await recorder.keeper.sweep(nowUs: nowUs) == 0)
        try put(own)
        #expect(await recorder.keeper.sweep(nowUs: nowUs + Self.dayUs) == 1)
        #expect(try await objects() == [own.path])
        await recorder.stopAll()
    }

    @Test("a journal that the store does not give is asked for again at the next look, and keeps nothing else")
    func refused() async throws {
        let nowUs = RecordingDirectory.nowUs()
        let (first, second) = (try old("one", nowUs: nowUs), try old("two", nowUs: nowUs))
        for each in [first, second] { try put(each) }
        remote.set { $0.refused = [first.path] }
        // The manifest of the directory needs both.
        let elsewhere = text("three", in: "archive", startUs: first.startUs)
        try put(elsewhere)
        let recorder = try await recorder(in: newDisk)
        let before = await recorder.keeper.sweep(nowUs: nowUs)
        #expect(try await objects().isSuperset(of: first.objects + [first.path]))
        #expect(try await objects().isDisjoint(with: elsewhere.objects))
        remote.set { $0.refused = [] }
        let after = await recorder.keeper.sweep(nowUs: nowUs + Self.dayUs)
        #expect(before + after == 3)
        #expect(try await objects() == [first.path, second.path, elsewhere.path])
        await recorder.stopAll()
    }

    @Test("a clock that is ahead makes nothing old: the store has its own, and knows when it took a journal")
    func clockAhead() async throws {
        let nowUs = RecordingDirectory.nowUs()
        let young = text("young", in: "archive", startUs: nowUs - Self.hourUs)
        // Copied into the bucket an hour ago.
        let copied = text("copied", in: "archive", startUs: nowUs - 3 * Self.dayUs)
        try put(young)
        try put(copied, atUs: nowUs - Self.hourUs)
        remote.set { $0.nowUs = nowUs }
        let recorder = try await recorder(in: newDisk)
        #expect(await recorder.keeper.sweep(nowUs: nowUs + 4_000 * Self.dayUs) == 0)
        #expect(await recorder.keeper.sweep(nowUs: nowUs) == 0)
        remote.set { $0.nowUs = nil }
        #expect(await recorder.keeper.sweep(nowUs: nowUs + 2 * Self.dayUs) == 2)
        await recorder.stopAll()
    }

    @Test("nor does it make anything old that the spool knows, and without the store's word nothing is begun")
    func clockAheadOfSpool() async throws {
        let row = try await recorded()
        let endUs = max(try #require(row.endTs), row.updatedAt)
        let before = try await objects()
        let recorder = try await recorder(in: disk)
        remote.set { $0.nowUs = endUs + Self.hourUs }
        #expect(await recorder.keeper.sweep(nowUs: endUs + 400 * Self.dayUs) == 0)
        remote.set { ($0.nowUs, $0.fault) = (nil, .unavailable(reason: "away")) }
        #expect(await recorder.keeper.sweep(nowUs: endUs + 400 * Self.dayUs) == 0)
        #expect(recorder.recordings().sessions == [row])
        #expect(try await objects() == before)
        remote.set { ($0.nowUs, $0.fault) = (endUs + 2 * Self.dayUs, nil) }
        #expect(await recorder.keeper.sweep(nowUs: endUs + 400 * Self.dayUs) == 1)
        #expect(recorder.recordings().sessions.map(\.status) == [.deleted])
        #expect(try await objects() == ["\(row.recordDir)/\(JournalName.of(row.id))"])
        await recorder.stopAll()
    }

    @Test("each stream by its own rule, the first that fits")
    func rules() async throws {
        let nowUs = RecordingDirectory.nowUs()
        let texts = ["cam-1", "cam-2", "demo"].map { stream in
            var text = self.text(stream, in: "archive/\(stream)", startUs: nowUs - 3 * Self.dayUs)
            text.stream = stream
            return text
        }
        for each in texts { try put(each) }
        let rules = [
            Retention.Rule(pattern: try #require(StreamPattern("cam-1")), days: 0),
            Retention.Rule(pattern: try #require(StreamPattern("cam-*")), days: 1),
        ]
        let recorder = try await recorder(in: newDisk, retention: Retention(days: 30, rules: rules))
        #expect(await recorder.keeper.sweep(nowUs: nowUs) == 1)
        let kept = [texts[0], texts[2]].flatMap { $0.objects + [$0.path] }
        #expect(try await objects() == Set(kept + [texts[1].path]))
        await recorder.stopAll()
    }

    @Test("an alias that others may have is looked for by nobody")
    func sharedAlias() async throws {
        let nowUs = RecordingDirectory.nowUs()
        try put(try old("one", nowUs: nowUs))
        let recorder = try await recorder(in: newDisk, ownsAlias: false)
        #expect(await recorder.keeper.sweep(nowUs: nowUs) == 0)
        #expect(remote.lists == 0 && remote.attempts == 0)
        await recorder.stopAll()
    }

    @Test("a look lists the store once a day and reads no journal twice, and none of a day that is too young")
    func cost() async throws {
        let nowUs = RecordingDirectory.nowUs()
        let old = text("old", node: "edge-b", in: "archive", startUs: nowUs - 40 * Self.dayUs)
        let kept = text("kept", in: "archive", startUs: nowUs - 10 * Self.dayUs)
        let young = try text(
            "young", in: RecordingLayout.directory(stream: "demo", base: nil, atUs: nowUs - 10 * Self.dayUs).path,
            startUs: nowUs - 10 * Self.dayUs)
        for each in [old, kept, young] { try put(each) }
        let recorder = try await recorder(in: newDisk, retention: Retention(days: 30))
        #expect(await recorder.keeper.sweep(nowUs: nowUs) == 0)
        #expect(remote.lists == 1 && Set(remote.gets) == [old.path, kept.path] && remote.gets.count == 2)
        #expect(await recorder.keeper.sweep(nowUs: nowUs + Self.hourUs) == 0)
        #expect(remote.lists == 1)
        #expect(await recorder.keeper.sweep(nowUs: nowUs + Self.dayUs) == 0)
        #expect(remote.lists == 2 && remote.gets.count == 2)
        // What is known to be old by now is read again, for the names of its objects.
        #expect(await recorder.keeper.sweep(nowUs: nowUs + 21 * Self.dayUs) == 2)
        #expect(try await objects() == Set(old.objects + [old.path, kept.path, young.path, "archive/\(DayManifest.name)"]))
        await recorder.stopAll()
    }

    @Test("where everything is kept for ever the store is not looked through")
    func forEver() async throws {
        let nowUs = RecordingDirectory.nowUs()
        try put(try old("one", nowUs: nowUs))
        let recorder = try await recorder(in: newDisk, retention: Retention())
        #expect(await recorder.keeper.sweep(nowUs: nowUs + 1_000 * Self.dayUs) == 0)
        #expect(remote.lists == 0 && remote.attempts == 0)
        await recorder.stopAll()
    }

    @Test("without an end it goes when it has been silent for long, with a first line alone too; what is in the spool stays")
    func silent() async throws {
        let nowUs = RecordingDirectory.nowUs()
        var open = text("open", in: "archive", startUs: nowUs - 10 * Self.dayUs)
        open.end = .none
        let here = text("here", in: "archive", startUs: nowUs - 10 * Self.dayUs)
        let claim = text("claim", in: "archive", startUs: nowUs - 10 * Self.dayUs)
        for each in [open, here] { try put(each, atUs: nowUs) }
        try remote.files.putNow(try ObjectKey(claim.path), claim.lines[0].encoded(), ifAbsent: false)
        for name in ["init_claimp2.m4s", "seg_claimp2_0001.m4s"] {
            try remote.files.putUnflushedNow(try ObjectKey("archive/\(name)"), [1])
        }
        let recorder = try await recorder(in: disk)
        // The index does not know it yet: it could not be read at the start.
        try disk.store.putNow(try ObjectKey(here.path), here.bytes, ifAbsent: false)
        #expect(await recorder.keeper.sweep(nowUs: nowUs + 10 * Self.hourUs) == 0)
        #expect(await recorder.keeper.sweep(nowUs: nowUs + 3 * Self.dayUs) == 2)
        #expect(
            try await objects() == Set(here.objects + [here.path, open.path, claim.path, "archive/\(DayManifest.name)"]))
        await recorder.stopAll()
    }
}
