import Cluster
import HTTP
import Journal
import Log
import MediaPlane
import Store
import Synchronization

/// Records streams of this node as CMAF segments with a manifest, and keeps the index of what was recorded.
///
/// Works on threads of its own behind a bounded tap, so the media plane never waits for a disk. All methods may be called from any
/// task.
public final class Recorder: Sendable {
    let environment: RecorderEnvironment
    private let openTap: @Sendable (StreamKey) async throws(RecordError) -> StreamTap
    private let threads = Mutex<[RecorderThread]>([])
    private let state = Mutex<State>(State())
    let keeper: Keeper

    private struct State {
        var entries: [String: Entry] = [:]
        var isStopping = false
        var nextThread = 0
    }

    private struct Entry {
        let status: StreamStatus
        let baseDirectory: ObjectKey?
        let thread: Int
    }

    /// - Parameters:
    ///   - store: where recordings go.
    ///   - remote: where they go from there; nil when they stay.
    ///   - nodeAlias: written to every recording.
    /// Throws when the system has no descriptors left.
    public convenience init(
        settings: RecordSettings, plane: MediaPlane, store: FileStore, remote: (any ObjectStore)? = nil, nodeAlias: String
    ) throws(RecordError) {
        try self.init(
            settings: settings, store: store, remote: remote, nodeAlias: nodeAlias,
            openTap: { (key) async throws(RecordError) in
                do throws(MediaPlaneError) {
                    return try await plane.tap(stream: key)
                } catch {
                    throw .plane(error.description)
                }
            }, requestKeyframe: { plane.requestKeyframe(stream: $0) })
    }

    package init(
        settings: RecordSettings, store: FileStore, remote: (any ObjectStore)? = nil, nodeAlias: String,
        openTap: @escaping @Sendable (StreamKey) async throws(RecordError) -> StreamTap,
        requestKeyframe: @escaping @Sendable (StreamKey) -> Void,
        realtimeUs: (@Sendable () -> Int64)? = nil
    ) throws(RecordError) {
        self.openTap = openTap
        environment = RecorderEnvironment(
            settings: settings, store: store, remote: remote, node: nodeAlias,
            clock: UpdateClock(now: realtimeUs ?? WallClock.realtimeUs),
            requestKeyframe: requestKeyframe)
        keeper = Keeper(environment)
        var made: [RecorderThread] = []
        for number in 0..<max(1, settings.threads) {
            let thread = try RecorderThread(environment: environment, number: number) { [weak self] stream, status in
                self?.forget(stream, status)
            }
            made.append(thread)
        }
        threads.withLock { $0 = made }
    }

    // MARK: Starting and stopping

    /// Starts recording a stream, from its next key frame on; a stream that is recorded already goes on, with another limit if one is asked for.
    ///
    /// - Parameters:
    ///   - baseDirectory: where to; nil for `{stream}/YYYY/MM/DD` of the UTC day of the first frame. With `%Y`, `%m` and `%d` in it,
    ///     each day has its own.
    ///   - secondsMax: after which another recording begins at the next cut, unless the node's own limit is shorter; 0: that alone holds; nil:
    ///     what was asked for before.
    ///   - isAutomatic: the recording ends with its publisher instead of waiting for another.
    /// Throws `recordingElsewhere`, `directoryInUse`, `directoryTooLong`, `notADirectory`, `noSpace`, `storage`, `plane` or `stopped`.
    @discardableResult
    public func start(
        stream: String, key: StreamKey, baseDirectory: ObjectKey? = nil, secondsMax: Int? = nil, isAutomatic: Bool = false
    ) async throws(RecordError) -> RecordingInfo {
        if let running = try running(stream, baseDirectory, secondsMax) { return running }
        let info = try prepare(stream, baseDirectory, isAutomatic: isAutomatic)
        let status = StreamStatus(info)
        status.limit(secondsMax)
        guard let thread = try claim(stream, Entry(status: status, baseDirectory: baseDirectory, thread: 0)) else {
            return try running(stream, baseDirectory, secondsMax) ?? info
        }
        await claimNames(stream, info)
        do throws(RecordError) {
            let tap = try await openTap(key)
            let seed = StreamTask.Seed(
                stream: stream, key: key, tap: tap, shared: status, baseDirectory: baseDirectory, firstID: info.id,
                isAutomatic: isAutomatic)
            guard hand(seed, to: thread) else {
                tap.close()
                throw RecordError.stopped
            }
        } catch {
            forget(stream, status)
            environment.shipper?.releaseClaims(ids: [info.id])
            throw error
        }
        environment.log.info("recording", ["stream": stream, "to": info.recordDirectory])
        return status.info
    }

    /// Ends a recording: when this returns, everything is in storage and the manifest is static. False when there was none.
    @discardableResult
    public func stop(stream: String) async -> Bool {
        let thread = state.withLock { state -> RecorderThread? in
            guard let entry = state.entries.removeValue(forKey: stream) else { return nil }
            return threads.withLock { $0[entry.thread] }
        }
        guard let thread else { return false }
        await withCheckedContinuation { thread.post(.stop(stream: stream, $0)) }
        environment.log.info("recording ended", ["stream": stream])
        return true
    }

    /// Ends all recordings and the recorder, in a few seconds whatever a remote store does: what it has not got stays in the spool.
    public func stopAll() async { await stopAll(uploadsWithin: Self.uploadsBound) }

    func stopAll(uploadsWithin bound: Duration) async {
        let isFirst = state.withLock { state in
            defer {
                state.isStopping = true
                state.entries = [:]
            }
            return !state.isStopping
        }
        guard isFirst else { return }
        // A removal that is under way may wait for the store, and recordings wait for neither.
        async let removals = Deadline.run(within: bound) { [keeper] () async -> Void? in await keeper.stop() }
        await withTaskGroup { group in
            for thread in threads.withLock({ $0 }) {
                group.addTask { await withCheckedContinuation { thread.post(.end($0)) } }
            }
        }
        environment.index.room.close()
        async let hooks: Void? = environment.hooks?.stop(within: .seconds(2))
        async let uploads: Void? = environment.shipper?.stop(within: bound)
        _ = await (removals, hooks, uploads)
    }

    /// Asks, in a directory that nodes share, for the names that the contract gives a day's first recording.
    private func claimNames(_ stream: String, _ info: RecordingInfo) async {
        guard let shipper = environment.shipper, let directory = try? ObjectKey(info.recordDirectory),
            shipper.expectClaim(directory, id: info.id, stream: stream)
        else { return }
        await shipper.claim(directory, id: info.id, stream: stream, node: environment.node)
    }

    /// Begins to remove recordings that are old enough, now and every hour until `stopAll`. Call after `recover`, and once the node's
    /// alias is its own.
    public func startKeeping() {
        keeper.start()
    }

    /// The recording of a stream; nil when there is none.
    public func status(stream: String) -> RecordingInfo? {
        state.withLock { $0.entries[stream]?.status }?.info
    }

    /// How far a stream's recordings are on their way to the remote store; nil when there is none.
    public func shipStatus(stream: String) -> ShipStatus? {
        environment.shipper?.status(stream: stream)
    }

    /// How long `stopAll` waits for uploads; what is left stays in the spool.
    static let uploadsBound = Duration.seconds(4)

    /// Streams that are being recorded or wait for their publisher.
    public var streams: [String] {
        state.withLock { Array($0.entries.keys) }
    }

    /// The same streams, each with what was asked for.
    public var orders: [String: RecordingOrder] {
        state.withLock { state in
            state.entries.mapValues { RecordingOrder(baseDirectory: $0.baseDirectory?.path, secondsMax: $0.status.secondsMax) }
        }
    }

    /// A publisher has come: starts recording if the stream is one of `autoStreams`. What goes wrong is logged.
    public func streamPublished(_ stream: String, key: StreamKey) async {
        guard environment.settings.autoStreams.contains(where: { $0.matches(stream) }) else { return }
        do throws(RecordError) {
            try await start(stream: stream, key: key, isAutomatic: true)
        } catch {
            environment.log.error("a stream could not be recorded", ["stream": stream, "error": "\(error)"])
        }
    }

    /// Numbers for metrics.
    public var metrics: RecordMetrics {
        var numbers = environment.metrics
        let states = state.withLock { $0.entries.values.map(\.status) }.map(\.info.state)
        numbers.streams = states.count
        numbers.paused = states.count { $0 == .paused }
        numbers.writing = environment.index.writingCount
        numbers.uploads = environment.shipper?.metrics
        if let hooks = environment.hooks { numbers.hooks = hooks.metrics }
        numbers.freeBytes = try? environment.store.freeBytesNow()
        return numbers
    }

    // MARK: Steps

    private func running(
        _ stream: String, _ baseDirectory: ObjectKey?, _ secondsMax: Int?
    ) throws(RecordError) -> RecordingInfo? {
        guard let entry = state.withLock({ $0.entries[stream] }) else { return nil }
        guard entry.status.want(nowNs: WallClock.monotonicNs()) else {
            // It is ending by itself at this moment; what starts now is another.
            forget(stream, entry.status)
            return nil
        }
        guard baseDirectory == nil || baseDirectory == entry.baseDirectory else {
            throw .recordingElsewhere(directory: entry.status.info.recordDirectory)
        }
        entry.status.limit(secondsMax)
        return entry.status.info
    }

    private func prepare(
        _ stream: String, _ baseDirectory: ObjectKey?, isAutomatic: Bool
    ) throws(RecordError) -> RecordingInfo {
        let nowUs = environment.clock.now()
        if let baseDirectory {
            let bytesMax =
                (environment.shipper?.remote.keyBytesMax ?? ObjectKey.bytesMax) - RecordingLayout.nameBytesMax - 1
            // With the day in it, it may be longer than a key.
            let place = try? RecordingLayout.directory(stream: stream, base: baseDirectory, atUs: nowUs)
            guard let place, place.path.utf8.count <= bytesMax else { throw .directoryTooLong(bytesMax: bytesMax) }
            try checkHoldsObjects(place)
        }
        do throws(StoreError) {
            // Nobody hears an error about a recording that nobody asked for: it waits for space instead.
            let space = try environment.store.spaceNow()
            if !isAutomatic, space.free < environment.settings.freeBytesNeeded(of: space.all) {
                throw StoreError.noSpace(code: 0)
            }
            let directory = try RecordingLayout.directory(stream: stream, base: baseDirectory, atUs: nowUs)
            var shared = SessionDirectory(store: environment.store, key: directory)
            if let other = try shared.sessions().first(where: { $0.stream != stream }) {
                throw StoreError.invalidKey(reason: other.stream)
            }
            let id = RecordingLayout.newID(atUs: nowUs)
            return RecordingInfo(id: id, recordDirectory: directory.path)
        } catch {
            switch error {
            case .noSpace:
                let space = (try? environment.store.spaceNow()) ?? (free: 0, all: 0)
                throw .noSpace(free: space.free, need: environment.settings.freeBytesNeeded(of: space.all))
            case .invalidKey(let other): throw .directoryInUse(by: other)
            default: throw .storage(error)
            }
        }
    }

    /// Refuses a directory that could never be made: better now than with each segment.
    private func checkHoldsObjects(_ directory: ObjectKey) throws(RecordError) {
        var folder: ObjectKey? = directory
        while let key = folder {
            if (try? environment.store.headNow(key)) != nil { throw .notADirectory(object: key.path) }
            folder = key.parent
        }
    }

    /// Reserves stream and directory and chooses a thread; nil when someone else has just started the same.
    private func claim(_ stream: String, _ entry: Entry) throws(RecordError) -> Int? {
        let count = threads.withLock { $0.count }
        let result = state.withLock { state -> Result<Int?, RecordError> in
            if state.isStopping { return .failure(.stopped) }
            if state.entries[stream] != nil { return .success(nil) }
            let directory = entry.status.info.recordDirectory
            let other = state.entries.first { $0.value.status.info.recordDirectory == directory }
            if let other { return .failure(.directoryInUse(by: other.key)) }
            let thread = state.nextThread % count
            state.nextThread += 1
            state.entries[stream] = Entry(status: entry.status, baseDirectory: entry.baseDirectory, thread: thread)
            return .success(thread)
        }
        return try result.get()
    }

    /// False when the recording was stopped before it could begin.
    private func hand(_ seed: StreamTask.Seed, to thread: Int) -> Bool {
        // Under the lock, so that a stop which comes now is posted after this.
        state.withLock { state in
            guard state.entries[seed.stream]?.status === seed.shared else { return false }
            threads.withLock { $0[thread] }.post(.add(seed))
            return true
        }
    }

    private func forget(_ stream: String, _ status: StreamStatus) {
        state.withLock { state in
            if state.entries[stream]?.status === status { state.entries[stream] = nil }
        }
    }
}
