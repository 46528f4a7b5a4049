import Foundation
import Journal
import Media
import MediaFixtures
import Synchronization
import Testing

@testable import Record
@testable import Store

/// A recording from RTP to a directory, in simulated time: what the recorder wants done is done by the real writer, every version of
/// the manifest is checked against the one before, and no object may be written twice.
final class RecordingRig {
    let place: RecordingDirectory
    private let writer: SessionWriter
    private var checks: [String: PresentationCheck] = [:]
    private var objects: [String: Int] = [:]
    private var directories: [String] = []
    private(set) var broken: [String] = []
    private(set) var versions = 0

    init(realtimeUs: Int64 = 1_795_190_400_000_000) throws {
        place = try RecordingDirectory()
        let time = Time(realtimeUs)
        writer = try SessionWriter(
            store: place.store, stream: "demo", node: "edge-a", baseDirectory: nil, segmentSeconds: 1, firstID: "first",
            clock: UpdateClock(now: { time.next() }), index: RecordingIndex())
    }

    /// A clock that goes on by a second each time it is read.
    private final class Time: Sendable {
        private let us: Atomic<Int64>

        init(_ us: Int64) { self.us = Atomic(us) }

        func next() -> Int64 { us.add(1_000_000, ordering: .relaxed).newValue }
    }

    /// Records publishers and checks all there is to check.
    ///
    /// - Returns: what was made, in memory.
    func record(
        _ publishers: [Publisher], settings: TimelineSettings = TimelineSettings(segmentSeconds: 1),
        realtimeUs: Int64 = 1_795_190_400_000_000, steps: (UInt64) -> Int64 = { _ in 0 },
        inspect: (inout StreamRecorder) -> Void = { _ in }
    ) throws -> Recorded {
        let recorded = Recorded.run(
            publishers, settings: settings, realtimeUs: realtimeUs, inspect: inspect, steps: steps
        ) { action in
            do {
                try perform(action)
            } catch {
                broken.append("\(action): \(error)")
            }
        }
        for directory in directories {
            let named = try ManifestCheck(place, directory).check(isStatic: true, periods: nil, seconds: nil)
            let media = try place.names(directory).filter { $0.hasSuffix(".m4s") }
            #expect(Set(media) == named, "objects and manifest of \(directory)")
        }
        for period in recorded.periods { for track in period.tracks.values { _ = try track.samples(&broken) } }
        for (directory, check) in checks { broken += check.broken.map { "\(directory): \($0)" } }
        #expect(broken == [])
        #expect(recorded.isEnded && recorded.periods.allSatisfy(\.isEnded))
        return recorded
    }

    private func perform(_ action: RecordingAction) throws {
        try writer.perform(action)
        switch action {
        case .sessionBegan:
            let directory = writer.directory.key.path
            if !directories.contains(directory) { directories.append(directory) }
        case .trackBegan, .segmentEnded: try checkObjects()
        default: break
        }
        switch action {
        case .segmentEnded, .periodEnded: try publish()
        case .sessionEnded: try publishStored()
        default: break
        }
    }

    /// What a reader gets while a session is written.
    private func publish() throws {
        guard let session = writer.session else { return }
        var sessions = try SessionDirectory(store: place.store, key: writer.directory.key).reading()
        sessions.removeAll { $0.id == session.id }
        try publish(sessions + [session], in: writer.directory.key.path)
    }

    /// What one gets who has followed it, once the session has ended.
    private func publishStored() throws {
        let sessions = try SessionDirectory(store: place.store, key: writer.directory.key).reading()
        try publish(sessions, in: writer.directory.key.path)
    }

    private func publish(_ sessions: [RecordedSession], in path: String) throws {
        let time = Int64(1_795_190_400_000_000 + versions * 1_000_000)
        let location = checks[path]?.location
        let origin = location?.split(separator: "=").last.map(String.init)
        guard
            let mpd = DayManifest.render(
                sessions, publishUs: time, segmentSeconds: 1, keepsGaps: location?.contains("?gaps=keep&") ?? false,
                originUs: DayManifest.originUs(origin))
        else { return }
        versions += 1
        try checks[path, default: PresentationCheck()].take(mpd.xml)
    }

    /// Objects only ever come; none changes.
    private func checkObjects() throws {
        for directory in directories {
            for name in try place.names(directory) where name.hasSuffix(".m4s") {
                let path = directory + "/" + name
                let bytes = try place.bytes(path).hashValue
                if let old = objects[path], old != bytes { broken.append("\(path) was overwritten") }
                objects[path] = bytes
            }
        }
    }
}

extension SessionDirectory {
    /// All sessions that have journals.
    fileprivate func reading() throws -> [RecordedSession] {
        var copy = self
        return try copy.sessions()
    }
}
