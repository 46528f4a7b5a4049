import Log
import MediaPlane
import Store
import Synchronization

/// What all recordings of a node share.
final class RecorderEnvironment: Sendable {
    let settings: RecordSettings
    let store: FileStore
    let node: String
    let clock: UpdateClock
    let index = RecordingIndex()
    let log = Logger("record")
    let requestKeyframe: @Sendable (StreamKey) -> Void
    private let counters = Mutex<RecordMetrics>(RecordMetrics())

    init(
        settings: RecordSettings, store: FileStore, node: String, clock: UpdateClock,
        requestKeyframe: @escaping @Sendable (StreamKey) -> Void
    ) {
        self.settings = settings
        self.store = store
        self.node = node
        self.clock = clock
        self.requestKeyframe = requestKeyframe
    }

    func count(_ change: (inout RecordMetrics) -> Void) {
        counters.withLock { change(&$0) }
    }

    var metrics: RecordMetrics { counters.withLock { $0 } }
}

/// How a recording stands, written by its thread and read by requests.
final class StreamStatus: Sendable {
    private let state: Mutex<RecordingInfo>

    init(_ info: RecordingInfo) {
        state = Mutex(info)
    }

    var info: RecordingInfo { state.withLock { $0 } }

    func update(isWriting: Bool, problem: String?, session: RecordedSession?) {
        state.withLock { info in
            info.isWriting = isWriting
            info.problem = problem
            guard let session else { return }
            info.id = session.id
            info.recordID = session.id
            info.recordDirectory = session.directory
            info.mpdPath = session.mpdPath
        }
    }
}
