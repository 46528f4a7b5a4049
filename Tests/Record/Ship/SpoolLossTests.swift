import Cluster
import Foundation
import Journal
import StoreFixtures
import TestThreads
import Testing

@testable import MediaPlane
@testable import Record
@testable import Store

@Suite("What a spool loses, and what the remote store has of it", .offThePool)
struct SpoolLossTests {
    private let bed: SpoolBed

    init() throws { bed = try SpoolBed() }

    /// What the remote journal of a recording says.
    private func sent(_ directory: String, _ id: String) throws -> RecordedSession {
        let bytes = try bed.away.bytes("\(directory)/\(JournalName.of(id))")
        return try #require(RecordedSession.read(bytes, directory: directory)?.session)
    }

    private func names(_ session: RecordedSession) -> Set<String> {
        Set(session.periods.flatMap(\.tracks).flatMap { track in track.segments.map { track.objectName($0.number) } })
    }

    @Test("a directory that vanishes while it is recorded into leaves the remote journal, which tells of all that was sent")
    func directoryVanishes() async throws {
        let feed = try RecorderFeed()
        let recorder = try await bed.recorder(feed)
        let info = try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
        feed.send(SpoolBed.media())
        // With the end of a Period everything is published.
        let isSent = await eventually {
            (try? sent(info.recordDirectory, info.id))?.periods.last?.isEnded == true
                && recorder.shipStatus(stream: "demo")?.pendingObjects == 0
        }
        #expect(isSent)
        let before = try sent(info.recordDirectory, info.id)
        #expect(before.segmentCount >= 12 && !before.isEnded)

        try FileManager.default.removeItem(atPath: bed.spool.store.root + "/demo")
        feed.send(SpoolBed.media(in: 5))
        #expect(await eventually { recorder.metrics.storageErrors > 0 && SpoolBed.isShipped(recorder) })
        await recorder.stopAll()
        #expect(try sent(info.recordDirectory, info.id) == before)
        #expect(names(before).isSubset(of: try bed.away.names(info.recordDirectory)))
    }

    @Test("a write-off of which only a part got into the journal is made whole", arguments: [0, 1, 2])
    func tornWriteOff(wholeLines: Int) async throws {
        bed.remote.set { $0.fault = .unavailable(reason: "away") }
        let feed = try RecorderFeed()
        let first = try await bed.recorder(feed)
        try await first.start(stream: "demo", key: RecordingDirectory.key("demo"))
        feed.send(SpoolBed.media())
        #expect(await eventually { first.metrics.segments >= 12 })
        await first.stopAll()
        let row = try #require(first.recordings().sessions.first)
        let key = try ObjectKey("\(row.recordDir)/\(JournalName.of(row.id))")
        let whole = try #require(RecordedSession.read(try bed.spool.bytes(key.path), directory: row.recordDir)?.session)
        // Picture and sound of the third segment.
        let lost = names(whole).filter { $0.hasSuffix("_0003.m4s") }
        #expect(lost.count == 2)
        for name in lost { try bed.spool.store.deleteNow(try ObjectKey("\(row.recordDir)/\(name)")) }
        let lines = whole.lines(losing: { lost.contains($0) }, clock: UpdateClock(now: { row.updatedAt + 1 }))
        #expect(lines.count == 2)
        let torn = (lines.map { $0.encoded() } + [whole.closingLine(at: row.updatedAt + 9, reason: nil).encoded()])[wholeLines]
        try bed.spool.store.appendingNow(key, exclusively: false).append(
            lines.prefix(wholeLines).flatMap { $0.encoded() } + torn.dropLast(torn.count / 2))
        // Once both holes are told of, only the same process knows that the row is not: it tries again.
        if wholeLines == 2 {
            let length = try first.environment.shipper?.writeOffNow(lost, in: key, try ObjectKey(row.recordDir))
            #expect(try length == Int64(bed.spool.bytes(key.path).count))
        }

        bed.remote.set { $0.fault = nil }
        let second = try await bed.recorder()
        #expect(await eventually { SpoolBed.isShipped(second) })
        await second.stopAll()
        let sent = try sent(row.recordDir, row.id)
        #expect(names(sent) == names(whole).subtracting(lost))
        #expect(sent.closing?.segments == Int64(sent.segmentCount))
        let objects = try ManifestCheck(bed.away, row.recordDir).check(isStatic: true, periods: 2, seconds: nil)
        #expect(objects == Set(try bed.away.names(row.recordDir).filter { $0.hasSuffix(".m4s") }))
    }
}
