import MediaFixtures
import StoreFixtures
import Synchronization
import Testing

@testable import MediaPlane
@testable import Record
@testable import Store

/// A spool, and a remote store that fails as a test says.
struct SpoolBed {
    private static let pictures: [SyntheticMedia.Picture] = (try? SyntheticMedia.h264(frames: 120, gop: 15, size: "160x90")) ?? []

    let spool: RecordingDirectory
    let away: RecordingDirectory
    let remote: FaultyStore

    init() throws {
        spool = try RecordingDirectory()
        away = try RecordingDirectory()
        remote = try FaultyStore(root: away.store.root)
    }

    /// A recorder of both, of one stream at most.
    func recorder(
        _ feed: RecorderFeed? = nil, realtimeUs: @escaping @Sendable () -> Int64 = RecordingDirectory.nowUs
    ) async throws -> Recorder {
        let recorder = try Recorder(
            settings: RecordSettings(segmentSeconds: 0.5, freeBytesMin: 0, reconnectSeconds: 600, threads: 1),
            store: spool.store, remote: remote, nodeAlias: "edge-a",
            openTap: { (_) async throws(RecordError) in
                guard let feed else { throw .plane("no such stream") }
                return feed.tap
            }, requestKeyframe: { _ in }, realtimeUs: realtimeUs)
        try await recorder.recover()
        return recorder
    }

    /// Four seconds, captured in so many seconds from now.
    static func media(in seconds: UInt64 = 0) -> [(ns: UInt64, event: Publisher.Event)] {
        var publisher = Publisher()
        publisher.startNs = WallClock.monotonicNs() + seconds * 1_000_000_000
        publisher.pictures = pictures
        publisher.sounds = (0..<200).map(Publisher.sound)
        return publisher.events()
    }

    /// Nothing waits to be sent, or is on its way.
    static func isShipped(_ recorder: Recorder) -> Bool {
        recorder.environment.shipper?.state.withLock { $0.plan.recordings.isEmpty && $0.plan.running == 0 } ?? false
    }
}
