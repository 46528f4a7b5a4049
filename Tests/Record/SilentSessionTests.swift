import Cluster
import Foundation
import Journal
import MediaFixtures
import TestThreads
import Testing

@testable import MediaPlane
@testable import Record
@testable import Store

@Suite("Recordings of nodes that share a folder and do not come back", .offThePool)
struct SilentSessionTests {
    let place: RecordingDirectory
    private static let pictures: [SyntheticMedia.Picture] = (try? SyntheticMedia.h264(frames: 60, gop: 15, size: "160x90")) ?? []
    private static let hourUs: Int64 = 3_600_000_000

    init() throws { place = try RecordingDirectory() }

    private func record() async throws -> RecordingRecord {
        let feed = try RecorderFeed()
        let recorder = try place.recorder(
            ["demo": feed], settings: RecordSettings(segmentSeconds: 0.5, freeBytesMin: 0, threads: 1))
        try await recorder.recover()
        try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"), baseDirectory: try ObjectKey("archive"))
        var publisher = Publisher()
        publisher.startNs = WallClock.monotonicNs()
        publisher.pictures = Self.pictures
        publisher.sounds = (0..<100).map(Publisher.sound)
        feed.send(publisher.events())
        await recorder.stopAll()
        return try #require(recorder.recordings().sessions.last)
    }

    /// A recording that a node of another name left open, so many hours ago.
    private func left(hours: Double) async throws -> ObjectKey {
        let row = try await record()
        let key = try ObjectKey("archive/" + JournalName.of(row.id))
        let text = String(decoding: try place.bytes(key.path), as: UTF8.self)
            .replacingOccurrences(of: "\"node\":\"edge-a\"", with: "\"node\":\"edge-gone\"")
        let open = text.split(separator: "\n").filter { !$0.contains("\"end\"") && !$0.contains("period_end") }
        let path = place.store.root + "/" + key.path
        try Data((open.joined(separator: "\n") + "\n").utf8).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSinceNow: -hours * 3600)], ofItemAtPath: path)
        return key
    }

    private func recorder() async throws -> Recorder {
        let recorder = try place.recorder([:], settings: RecordSettings(segmentSeconds: 0.5, freeBytesMin: 0, threads: 1))
        try await recorder.recover()
        return recorder
    }

    private func manifest() throws -> String { String(decoding: try place.bytes("archive/manifest.mpd"), as: UTF8.self) }

    @Test("one that has been silent for a day and an hour does not keep a manifest growing", arguments: [24.0, 26.0])
    func shown(hours: Double) async throws {
        _ = try await left(hours: hours)
        _ = try await record()
        #expect(try manifest().contains("type=\"static\"") == (hours > 25))
        #expect(try manifest().components(separatedBy: "<Period ").count == 3)
    }

    @Test("it is closed for good, by whoever sees it, unless its writer still holds it")
    func closed() async throws {
        let key = try await left(hours: 1)
        let recorder = try await recorder()
        let nowUs = WallClock.realtimeUs()
        #expect(try await isEnded(key, after: recorder, nowUs: nowUs + 23 * Self.hourUs) == false)
        var writer: AppendFile? = try place.store.appendingNow(key, exclusively: false)
        #expect(writer?.claim() == true)
        #expect(try await isEnded(key, after: recorder, nowUs: nowUs + 25 * Self.hourUs) == false)
        writer = nil
        #expect(try await isEnded(key, after: recorder, nowUs: nowUs + 25 * Self.hourUs) == true)
        try ManifestCheck(place, "archive").check(isStatic: true, periods: 1, seconds: 2)
        #expect(recorder.recordings().sessions.isEmpty, "it stays the other's")
        await recorder.stopAll()
    }

    @Test("one that fell silent after the start is found beside one's own")
    func foundLater() async throws {
        _ = try await record()
        let recorder = try await recorder()
        let key = try await left(hours: 1)
        #expect(try await isEnded(key, after: recorder, nowUs: WallClock.realtimeUs() + 25 * Self.hourUs) == true)
        try ManifestCheck(place, "archive").check(isStatic: true, periods: 2, seconds: 4)
        await recorder.stopAll()
    }

    @Test("one that stands behind more journals than a listing gives at once is found, too")
    func foundBehind() async throws {
        _ = try await record()
        let recorder = try await recorder()
        let key = try await left(hours: 1)
        // Half an hour after the others have been made.
        let nowUs = WallClock.realtimeUs() + 24 * Self.hourUs + Self.hourUs / 2
        for number in 0...10_000 {
            let path = "\(place.store.root)/archive/\(JournalName.of("0\(number)"))"
            #expect(FileManager.default.createFile(atPath: path, contents: nil))
        }
        #expect(try await isEnded(key, after: recorder, nowUs: nowUs) == true)
        await recorder.stopAll()
    }

    private func isEnded(_ key: ObjectKey, after recorder: Recorder, nowUs: Int64) async throws -> Bool {
        await recorder.keeper.sweep(nowUs: nowUs)
        return try #require(RecordedSession.read(try place.bytes(key.path), directory: "archive")?.session).isEnded
    }
}
