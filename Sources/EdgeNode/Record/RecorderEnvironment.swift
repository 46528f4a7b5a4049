import Journal
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
    /// Another one in each process.
    let life = String(UInt64.random(in: 0 ... .max), radix: 36)
    let index: RecordingIndex
    let shelf: PlaybackShelf
    let log = Logger("record")
    let requestKeyframe: @Sendable (StreamKey) -> Void
    /// Nil when nobody wants to be told of anything.
    let hooks: HookDispatcher?
    /// Nil when recordings stay where they are written.
    let shipper: Shipper?
    private let counters = Mutex<RecordMetrics>(RecordMetrics())
    private let directories = Mutex<[ObjectKey: SessionDirectory]>([:])
    /// Open journals of other nodes that were in the folder at the start.
    let others = Mutex<Set<ObjectKey>>([])
    private let openJournals = Mutex<[(key: ObjectKey, reason: String)]>([])

    init(
        settings: RecordSettings, store: FileStore, remote: (any ObjectStore)?, node: String, clock: UpdateClock,
        requestKeyframe: @escaping @Sendable (StreamKey) -> Void
    ) {
        self.settings = settings
        self.store = store
        self.node = node
        self.clock = clock
        self.requestKeyframe = requestKeyframe
        let (index, shelf) = (RecordingIndex(), PlaybackShelf())
        (self.index, self.shelf) = (index, shelf)
        shipper = remote.map {
            Shipper(
                local: store, remote: $0, bytesMax: settings.spoolBytesMax, segmentSeconds: settings.segmentSeconds, clock: clock
            ) { session in
                index.put(session)
                shelf.forget(session.id)
            }
        }
        hooks = settings.hooks.isAnySet ? HookDispatcher(settings.hooks) : nil
    }

    /// Both clocks, now.
    func wallClock() -> WallClock {
        WallClock(monotonicNs: WallClock.monotonicNs(), realtimeUs: clock.now())
    }

    func count(_ change: (inout RecordMetrics) -> Void) {
        counters.withLock { change(&$0) }
    }

    var metrics: RecordMetrics { counters.withLock { $0 } }

    /// Sessions whose journals are in a directory; what has not changed is not read again. Blocks.
    func sessions(in key: ObjectKey) throws(StoreError) -> [RecordedSession] {
        var directory = directories.withLock { $0[key] } ?? SessionDirectory(store: store, key: key)
        let sessions = try directory.sessions()
        let read = directory
        directories.withLock { directories in
            // A day has one directory of each stream.
            if directories.count >= 1000 { directories = [:] }
            directories[key] = read
        }
        return sessions
    }

    /// Closes what was left open, and tells of segments that are gone.
    var repair: SessionRepair {
        SessionRepair(
            store: store, clock: clock, segmentSeconds: settings.segmentSeconds,
            lost: { [log, shipper] journal, count in
                log.error("segments of a recording were gone", ["journal": journal.path, "count": String(count)])
                shipper?.lost(count)
            })
    }

    /// A session that an earlier process did not close, or that could not be closed after a failure. It is in the index once it is.
    func leaveOpen(_ journal: ObjectKey, reason: String = "the process ended without closing it") {
        openJournals.withLock { $0.append((journal, reason)) }
    }

    /// Closes what was left open; what storage does not let us is tried again at the next call. Blocks.
    ///
    /// - Returns: how many were closed.
    @discardableResult
    func closeLeftOpen() -> Int {
        let journals = openJournals.withLock { journals in
            defer { journals = [] }
            return journals
        }
        var closed = 0
        for (key, reason) in journals {
            do throws(StoreError) {
                let outcome = try repair.repair(key, reason: reason)
                if let session = outcome.session { index.put(session) }
                try shipper?.adoptNow(key, isRemoved: outcome == .removed)
                guard let session = outcome.session else { continue }
                hooks?.tell(RecordingEvent(ended: session, reason: nil, at: clock.next()), .stop)
                log.warning(
                    "a recording that was left open was finished",
                    ["stream": session.stream, "id": session.id, "reason": reason])
                closed += 1
            } catch {
                leaveOpen(key, reason: reason)
                log.error("a recording could not be finished yet", ["journal": key.path, "error": "\(error)"])
            }
        }
        return closed
    }
}

/// How a recording stands, written by its thread and read by requests.
final class StreamStatus: Sendable {
    private let state: Mutex<State>

    private struct State {
        var info: RecordingInfo
        var wantedNs: UInt64 = 0
        var isClosing = false
        var lastSegmentBytes: Int64 = 0
    }

    init(_ info: RecordingInfo) {
        state = Mutex(State(info: info))
    }

    var info: RecordingInfo { state.withLock { $0.info } }

    func update(_ recording: RecordingState, problem: String?, session: RecordedSession?) {
        state.withLock { state in
            state.info.state = recording
            state.info.problem = problem
            guard let session else { return }
            if state.info.id != session.id {
                let (warning, secondsMax) = (state.info.warning, state.info.secondsMax)
                state.info = RecordingInfo(id: session.id, recordDirectory: session.directory)
                state.info.warning = warning
                state.info.secondsMax = secondsMax
                state.info.state = recording
                state.info.problem = problem
            }
            state.info.recordDirectory = session.directory
            state.info.startedUs = session.startUs
        }
    }

    /// What of the stream is not recorded, and why; nil when all is.
    func warn(_ text: String?) {
        state.withLock { $0.info.warning = text }
    }

    /// What is asked for as the longest recording, seconds; 0: the node's own limit alone holds, nil: what was asked for before.
    func limit(_ seconds: Int?) {
        guard let seconds else { return }
        state.withLock { $0.info.secondsMax = seconds > 0 ? seconds : nil }
    }

    /// What was asked for as the longest recording, seconds.
    var secondsMax: Int? { state.withLock { $0.info.secondsMax } }

    /// A segment of the session is in storage.
    func add(_ segment: RecordingInfo.Segment, bytes: Int64) {
        state.withLock { state in
            state.info.segments += 1
            state.info.bytes += bytes
            state.info.lastSegment = segment
            state.lastSegmentBytes = bytes
        }
    }

    /// What the next segment may well have.
    var lastSegmentBytes: Int64 { state.withLock { $0.lastSegmentBytes } }

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
