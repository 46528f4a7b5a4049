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
    private let state: Mutex<State>

    private struct State {
        var info: RecordingInfo
        var wantedNs: UInt64 = 0
        var isClosing = false
    }

    init(_ info: RecordingInfo) {
        state = Mutex(State(info: info))
    }

    var info: RecordingInfo { state.withLock { $0.info } }

    func update(isWriting: Bool, problem: String?, session: RecordedSession?) {
        state.withLock { state in
            state.info.isWriting = isWriting
            state.info.problem = problem
            guard let session else { return }
            state.info.id = session.id
            state.info.recordID = session.id
            state.info.recordDirectory = session.directory
            state.info.mpdPath = session.mpdPath
        }
    }

    /// Someone wants the stream recorded now; false when it is too late because the recording is ending by itself.
    func want(nowNs: UInt64) -> Bool {
        state.withLock { state in
            state.wantedNs = max(state.wantedNs, nowNs)
            return !state.isClosing
        }
    }

    /// The recording wants to end by itself; false when someone has wanted it since.
    func beginClosing(unlessWantedSince time: UInt64) -> Bool {
        state.withLock { state in
            state.isClosing = state.isClosing || state.wantedNs < time
            return state.isClosing
        }
    }
}
