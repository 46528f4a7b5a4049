import Nodes
import Presentation
import Records
import Synchronization

/// Which stream and node an object belongs to, remembered for a moment: players ask for thousands of objects of a few directories.
/// Any thread; what is remembered is answered without waiting.
final class ObjectHolders: Sendable {
    private struct State {
        var directories: [String: (holder: Holder, untilMs: UInt64)] = [:]
        /// Directories that the index did not have.
        var absent: [String: UInt64] = [:]
        var view: (value: ClusterView, untilMs: UInt64)?
    }

    /// The stream that is recorded in a directory, and the node that began it.
    struct Holder: Sendable {
        let stream: String
        let node: String
        /// Those in the directory that have not ended, or of which nobody knows how; now or a second ago.
        let unended: [IndexedRecording]

        /// The manifest may grow.
        var isRunning: Bool { unended.contains { $0.endUs == nil } }
    }

    private static let directoryMs: UInt64 = 1_000
    private static let viewMs: UInt64 = 100
    private static let absentMs: UInt64 = 100
    private static let directoriesMax = 4_096

    private let index: RecordingIndex
    private let directory: NodeDirectory
    private let state = Mutex(State())
    private let start = ContinuousClock.now

    init(index: RecordingIndex, directory: NodeDirectory) { (self.index, self.directory) = (index, directory) }

    /// Who recorded into a directory first; nil when the index has none.
    /// - Parameter mayBeLate: nil may also be what was true a tenth of a second ago. It may begin at any moment, so who answers that there is
    ///   no such object asks again.
    func holder(ofDirectory path: String, mayBeLate: Bool = false) async throws -> Holder? {
        let now = nowMs()
        let (known, absentUntilMs) = state.withLock { ($0.directories[path], mayBeLate ? $0.absent[path] : nil) }
        if let known, now < known.untilMs { return known.holder }
        if let absentUntilMs, now < absentUntilMs { return nil }
        guard let recording = try await index.recording(inDirectory: path) else {
            state.withLock { state in
                if state.absent.count >= Self.directoriesMax { state.absent = [:] }
                state.absent[path] = now + Self.absentMs
            }
            return nil
        }
        let found = Holder(
            stream: recording.stream, node: recording.node, unended: try await index.unended(inDirectory: path))
        state.withLock { state in
            if state.directories.count >= Self.directoriesMax { state.directories = [:] }
            state.directories[path] = (found, now + Self.directoryMs)
        }
        return found
    }

    /// The cluster as it was a moment ago.
    func view() async -> ClusterView {
        let now = nowMs()
        if let known = state.withLock({ $0.view }), now < known.untilMs { return known.value }
        let view = await directory.view()
        state.withLock { $0.view = (view, now + Self.viewMs) }
        return view
    }

    private func nowMs() -> UInt64 {
        let passed = start.duration(to: .now).components
        return UInt64(passed.seconds) * 1_000 + UInt64(passed.attoseconds / 1_000_000_000_000_000)
    }
}
