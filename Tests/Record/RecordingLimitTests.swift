import Cluster
import Foundation
import MediaFixtures
import TestThreads
import Testing

@testable import MediaPlane
@testable import Record
@testable import Store

@Suite("The longest a recording may be, as it was asked for (max_recording_seconds)", .offThePool)
struct RecordingLimitTests {
    private static let pictures: [SyntheticMedia.Picture] = (try? SyntheticMedia.h264(frames: 180, gop: 30, size: "160x90")) ?? []
    private static let sounds: [[UInt8]] = (try? SyntheticMedia.opus(packets: 300)) ?? []

    private let place: RecordingDirectory

    init() throws {
        place = try RecordingDirectory()
    }

    /// What the node's own limit is, what is asked for at the start and then while it records, and how many pictures each recording then has.
    struct Case: Sendable, CustomTestStringConvertible {
        let own: Int
        let asked: [Int?]
        let pictures: [Int]

        var testDescription: String { "own \(own), asked \(asked)" }
    }

    @Test(
        "the shorter of the node's limit and the one asked for last holds, and the next recording begins with the picture after",
        arguments: [
            Case(own: 0, asked: [nil], pictures: [180]), Case(own: 0, asked: [3], pictures: [120, 60]),
            Case(own: 600, asked: [3], pictures: [120, 60]), Case(own: 3, asked: [600], pictures: [120, 60]),
            Case(own: 0, asked: [nil, 3], pictures: [120, 60]), Case(own: 0, asked: [600, 3, nil], pictures: [120, 60]),
            Case(own: 0, asked: [3, 600], pictures: [180]), Case(own: 0, asked: [3, 0], pictures: [180]),
        ])
    func rotates(_ test: Case) async throws {
        let feed = try RecorderFeed()
        let settings = RecordSettings(segmentSeconds: 2, recordingSecondsMax: test.own, freeBytesMin: 0, threads: 1)
        let recorder = try place.recorder(["demo": feed], settings: settings)
        var first = ""
        for (number, seconds) in test.asked.enumerated() {
            let info = try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"), secondsMax: seconds)
            if number == 0 { first = info.id }
        }
        let last = test.asked.compactMap { $0 }.last.flatMap { $0 > 0 ? $0 : nil }
        #expect(recorder.orders == ["demo": RecordingOrder(secondsMax: last)])
        var publisher = Publisher()
        publisher.startNs = WallClock.monotonicNs()
        publisher.pictures = Self.pictures
        publisher.sounds = Self.sounds
        feed.send(publisher.events())
        if test.pictures.count > 1 { #expect(await eventually { recorder.status(stream: "demo")?.id != first }) }
        #expect(recorder.status(stream: "demo")?.secondsMax == last)
        #expect(await recorder.stop(stream: "demo"))

        let rows = recorder.recordings().sessions.sorted { $0.startTs < $1.startTs }
        var recorded: [[[UInt8]]] = []
        for row in rows { recorded.append(try await pictures(of: row.id, recorder)) }
        #expect(recorded.map(\.count) == test.pictures)
        #expect(recorded.flatMap { $0 } == Self.pictures.map(Publisher.sample))
        for row in rows.dropFirst() {
            let detail = try await recorder.detail(id: row.id)
            #expect(detail.periods.map(\.continues) == [true])
        }
        try ManifestCheck(place, try RecordingDirectory.day("demo")).check(isStatic: true, periods: rows.count, seconds: 6)
        await recorder.stopAll()
    }

    /// The bytes of a recording's pictures, in order.
    private func pictures(of id: String, _ recorder: Recorder) async throws -> [[UInt8]] {
        let detail = try await recorder.detail(id: id)
        let tracks = detail.periods.flatMap(\.tracks).filter { detail.tracks[$0.track].kind == "video" }
        var samples: [[UInt8]] = []
        for segment in tracks.flatMap(\.segments) {
            let (fragments, broken) = try CMAFCheck.segment(try place.bytes(segment.object), isVideo: true)
            #expect(broken == [])
            samples += fragments.flatMap(\.samples)
        }
        return samples
    }

    @Test("what is refused changes no limit")
    func refused() async throws {
        let recorder = try place.recorder(["demo": try RecorderFeed()])
        let key = RecordingDirectory.key("demo")
        try await recorder.start(stream: "demo", key: key, secondsMax: 60)
        await #expect(throws: RecordError.self) {
            try await recorder.start(stream: "demo", key: key, baseDirectory: try ObjectKey("elsewhere"), secondsMax: 5)
        }
        #expect(recorder.status(stream: "demo")?.secondsMax == 60)
        await recorder.stopAll()
    }
}
