import Foundation
import MediaFixtures
import Synchronization

@testable import MediaPlane
@testable import Record
@testable import Store

/// A media plane's end of a tap: what a `Publisher` sends goes through the real pipe, as fast as the recorder takes it.
final class RecorderFeed: Sendable {
    private let pipe: PacketPipe
    let tap: StreamTap
    private let epoch = Atomic<UInt32>(0)

    init() throws {
        pipe = PacketPipe(slots: 8192, wake: try WakeDescriptor())
        tap = StreamTap(pipe: pipe, onClose: {})
    }

    /// Sends events, at most as many as fit into the pipe, or with a pause after each 64. One thread.
    func send(_ events: [(ns: UInt64, event: Publisher.Event)], paceUs: UInt32? = nil) {
        for (number, (ns, event)) in events.enumerated() {
            switch event {
            case .source(let tracks):
                epoch.add(1, ordering: .relaxed)
                pipe.pushSource(epoch: epoch.load(ordering: .relaxed), tracks: tracks, restarted: .max)
            case .sourceEnded:
                pipe.pushSourceEnded(epoch: epoch.load(ordering: .relaxed))
            case .report(let track, let ntp, let timestamp):
                var entry = PipeEntry(sequence: ntp, arrivalNs: ns, timestamp: timestamp, epoch: epoch.load(ordering: .relaxed))
                entry.track = track
                entry.kind = .senderReport
                pipe.push(entry, payload: UnsafeRawBufferPointer(start: nil, count: 0))
            case .packet(let track, let packet):
                var entry = PipeEntry(
                    sequence: packet.extendedSequence, arrivalNs: ns, timestamp: packet.timestamp,
                    epoch: epoch.load(ordering: .relaxed))
                entry.track = track
                if packet.marker { entry.flags.insert(.marker) }
                packet.payload.withUnsafeBytes { (bytes) -> Void in pipe.push(entry, payload: bytes) }
            }
            if number % 64 == 63 {
                pipe.publish()
                if let pause = paceUs { usleep(pause) }
            }
        }
        pipe.publish()
    }
}

/// A store in a directory of its own with what tests ask of it.
struct RecordingDirectory {
    let temporary: TemporaryDirectory
    let store: FileStore

    init() throws {
        temporary = try TemporaryDirectory()
        store = try FileStore(root: temporary.path + "/recordings")
    }

    /// In a file system of its own of this size; fails where mounting is not allowed.
    init(tmpfsBytes: Int) throws {
        temporary = try TemporaryDirectory()
        let path = temporary.path + "/recordings"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        _ = try Tool.run("mount", ["-t", "tmpfs", "-o", "size=\(tmpfsBytes)", "tmpfs", path])
        store = try FileStore(root: path)
    }

    func unmount() {
        _ = try? Tool.run("umount", ["--lazy", temporary.path + "/recordings"])
    }

    /// Whether tests may mount file systems.
    static let canMount: Bool = {
        guard geteuid() == 0, let place = try? RecordingDirectory(tmpfsBytes: 1 << 20) else { return false }
        place.unmount()
        return true
    }()

    func recorder(
        _ feeds: [String: RecorderFeed], settings: RecordSettings = RecordSettings(segmentSeconds: 2, freeBytesMin: 0, threads: 1)
    ) throws -> Recorder {
        let taps = Dictionary(uniqueKeysWithValues: feeds.map { (Self.key($0.key), $0.value.tap) })
        return try Recorder(
            settings: settings, store: store, nodeAlias: "edge-a",
            openTap: { (key) async throws(RecordError) in
                guard let tap = taps[key] else { throw .plane("no such stream") }
                return tap
            }, requestKeyframe: { _ in }, realtimeUs: RecordingDirectory.nowUs)
    }

    static func key(_ stream: String) -> StreamKey {
        StreamKey(id: UInt32(truncatingIfNeeded: stream.utf8.reduce(7) { $0 &* 31 &+ Int($1) }))
    }

    /// The time of day of all these tests: the true one, but never so late that a test would run into the next UTC day.
    @Sendable static func nowUs() -> Int64 {
        WallClock.realtimeUs() - setBackUs
    }

    private static let setBackUs: Int64 = {
        let hourUs: Int64 = 3_600_000_000
        return WallClock.realtimeUs() % (24 * hourUs) >= 22 * hourUs ? 12 * hourUs : 0
    }()

    func names(_ directory: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: store.root + "/" + directory).sorted()
    }

    func bytes(_ path: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: store.root + "/" + path)))
    }

    /// Today's directory of a stream.
    static func day(_ stream: String) throws -> String {
        try RecordingLayout.directory(stream: stream, base: nil, atUs: RecordingDirectory.nowUs()).path
    }
}

/// Waits until something holds; false when it does not within a minute.
func eventually(_ holds: () async throws -> Bool) async rethrows -> Bool {
    let deadline = ContinuousClock.now + .seconds(60)
    while ContinuousClock.now < deadline {
        if try await holds() { return true }
        try? await Task.sleep(for: .milliseconds(10))
    }
    return false
}
