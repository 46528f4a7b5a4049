import Cluster
import Foundation
import MediaFixtures
import TestThreads
import Testing

@testable import MediaPlane
@testable import Record
@testable import Store

@Suite("A disk that is full", .offThePool, .enabled(if: RecordingDirectory.canMount))
struct DiskFullTests {
    private static let pictures: [SyntheticMedia.Picture] =
        (try? SyntheticMedia.h264(frames: 300, gop: 15, size: "320x180")) ?? []

    private func publisher() -> Publisher {
        var publisher = Publisher()
        publisher.startNs = WallClock.monotonicNs()
        publisher.pictures = Self.pictures
        publisher.sounds = (0..<500).map(Publisher.sound)
        return publisher
    }

    /// Everything finished plays, nothing is empty or unfinished, the manifest is true.
    private func check(_ place: RecordingDirectory, _ day: String, periods: Int) throws {
        let names = try place.names(day)
        #expect(names.allSatisfy { !$0.hasSuffix(".tmp") })
        for name in names { #expect(try !place.bytes("\(day)/\(name)").isEmpty, "\(name)") }
        let objects = try ManifestCheck(place, day).check(isStatic: true, periods: periods, seconds: nil)
        #expect(Set(names.filter { $0.hasSuffix(".m4s") }) == objects)
    }

    @Test("writing fails: what is finished stays, and recording goes on by itself when there is room", .timeLimit(.minutes(5)))
    func full() async throws {
        let place = try RecordingDirectory(tmpfsBytes: 2 << 20)
        defer { place.unmount() }
        let ballast = place.store.root + "/ballast"
        try Data(count: (2 << 20) - 360_000).write(to: URL(fileURLWithPath: ballast))
        let feed = try RecorderFeed()
        let recorder = try place.recorder(
            ["demo": feed], settings: RecordSettings(segmentSeconds: 1, freeBytesMin: 0, threads: 1))
        try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
        feed.send(Array(publisher().events().dropLast()))
        #expect(await eventually { recorder.status(stream: "demo")?.problem != nil })
        #expect(recorder.metrics.storageErrors > 0)
        #expect(recorder.status(stream: "demo")?.problem?.contains("no space") == true)
        #expect(recorder.status(stream: "demo")?.isWriting == false)
        let finished = recorder.metrics.segments
        #expect(finished >= 2)

        try FileManager.default.removeItem(atPath: ballast)
        #expect(await eventually { recorder.status(stream: "demo")?.problem == nil })
        var again = publisher()
        again.videoSequence += 100_000
        again.soundSequence += 100_000
        feed.send(again.events())
        await recorder.stop(stream: "demo")
        #expect(recorder.recordings().sessions.map(\.status) == [.completed, .completed])
        #expect(recorder.metrics.segments > finished + 10)
        try check(place, try RecordingDirectory.day("demo"), periods: 2)
        await recorder.stopAll()
    }

    @Test("less room than asked for: the recording ends cleanly before the disk is full", .timeLimit(.minutes(5)))
    func guarded() async throws {
        let place = try RecordingDirectory(tmpfsBytes: 2 << 20)
        defer { place.unmount() }
        let feed = try RecorderFeed()
        let recorder = try place.recorder(
            ["demo": feed], settings: RecordSettings(segmentSeconds: 1, freeBytesMin: (2 << 20) - 300_000, threads: 1))
        try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
        feed.send(Array(publisher().events().dropLast()))
        #expect(await eventually { recorder.status(stream: "demo")?.problem != nil })
        #expect(try place.store.freeBytesNow() > (2 << 20) - 600_000)
        let row = try #require(recorder.recordings().sessions.first)
        #expect(row.status == .completed)
        try check(place, row.recordDir, periods: 1)
        await recorder.stopAll()
    }
}
