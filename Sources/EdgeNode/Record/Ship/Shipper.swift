import Journal
import Log
import Store
import Synchronization

/// Copies what is recorded from the spool to the remote store, and removes media from the spool that have arrived there.
///
/// The spool is the queue: which objects are still to be sent follows from the journals and upload logs in it, so a killed process
/// forgets nothing. Journals stay in the spool until their recordings are removed, because the index is made from them. Every method may
/// be called from any thread; none waits for the network unless it is `async`.
final class Shipper: Sendable {
    let local: FileStore
    let remote: any ObjectStore
    let clock: UpdateClock
    let segmentSeconds: Double
    let log = Logger("ship")
    let state: Mutex<State>
    let claims = Mutex<[String: Claim]>([:])
    private let bytesMax: Int64
    /// An ended recording is not what it was: some of its objects are gone. Called where it may block.
    let changed: @Sendable (RecordedSession) -> Void

    struct State {
        var plan: ShipPlan
        var numbers = ShipMetrics()
        /// When an object of a stream last arrived; of streams with nothing in the plan only while there are not too many.
        var lastUploads: [String: Int64] = [:]
        /// What is known of the journals in remote directories.
        var shelves: [String: JournalShelf] = [:]
        var tasks: [Int: Task<Void, Never>] = [:]
        var nextTask = 0
        var isStopping = false
        var ticker: Task<Void, Never>?
    }

    /// A directory in which a session has asked for plain names: its journal is there, or may come to be.
    struct Claim: Sendable {
        let id: String
        let stream: String
        /// It is being asked for.
        var isUnderWay = true
        /// The store has answered that it came first.
        var isGranted = false
        /// Nobody wants it any more; it is taken back when it is there.
        var isReleased = false
    }

    /// How many uploads run at a time while few recordings go on.
    private static let uploadsMin = 4
    private static let tick = Duration.milliseconds(250)

    init(
        local: FileStore, remote: any ObjectStore, bytesMax: Int64, segmentSeconds: Double, clock: UpdateClock,
        changed: @escaping @Sendable (RecordedSession) -> Void
    ) {
        self.local = local
        self.remote = remote
        self.bytesMax = bytesMax
        self.segmentSeconds = segmentSeconds
        self.clock = clock
        self.changed = changed
        state = Mutex(State(plan: ShipPlan(limit: Self.uploadsMin, seed: .random(in: 0 ... .max))))
    }

    // MARK: Told by the recorder

    func began(_ session: RecordedSession, journalEnd: Int64) {
        change {
            $0.begin(
                id: session.id, stream: session.stream, directory: session.directory, startUs: session.startUs,
                journalEnd: journalEnd)
        }
    }

    func finished(_ objects: [ShipPlan.Object], of id: String) {
        change { plan in objects.forEach { plan.add($0, to: id) } }
    }

    /// The remote manifest shall say soon what the journal says.
    func periodEnded(_ id: String, journalEnd: Int64) {
        change { $0.require(id, journalEnd: journalEnd) }
    }

    func ended(_ id: String, journalEnd: Int64) {
        change { $0.end(id, journalEnd: journalEnd) }
    }

    func cameToNothing(_ session: RecordedSession) {
        change { $0.withdraw(id: session.id, stream: session.stream, directory: session.directory) }
    }

    /// So many segments were gone before they could be sent.
    func lost(_ count: Int) { state.withLock { $0.numbers.lostObjects += Int64(count) } }

    /// Whether so many bytes more may wait; a pause ends only when there is some room again.
    func hasRoom(for bytes: Int64 = 0, isPaused: Bool = false) -> Bool {
        let used = state.withLock { $0.plan.pendingBytes }
        return used + bytes <= (isPaused ? bytesMax / 8 * 7 : bytesMax)
    }

    private func change(_ body: (inout ShipPlan) -> Void) {
        state.withLock { body(&$0.plan) }
        step()
    }

    // MARK: Running

    /// Lets time pass: back-off ends, budgets grow.
    func start() {
        state.withLock { state in
            guard state.ticker == nil else { return }
            state.ticker = Task { [weak self] in
                while !Task.isCancelled {
                    try? await Task.sleep(for: Self.tick)
                    guard let self else { return }
                    step()
                }
            }
        }
    }

    /// Begins what may be begun now.
    func step() {
        state.withLock { state in
            guard !state.isStopping else { return }
            for task in state.plan.next(nowNs: WallClock.monotonicNs()) {
                let number = state.nextTask
                state.nextTask += 1
                state.tasks[number] = Task { [self] in
                    await run(task)
                    remove(task: number)
                }
            }
        }
    }

    private func remove(task number: Int) {
        state.withLock { $0.tasks[number] = nil }
    }

    private func run(_ task: ShipPlan.Task) async {
        let outcome: ShipPlan.Outcome
        do throws(ShipError) {
            outcome = try await perform(task)
        } catch {
            // What we gave up ourselves says nothing of the store.
            if Task.isCancelled { return }
            outcome = .failed(error.failure, retryAfterNs: error.retryAfterNs, reason: error.reason)
        }
        note(task, outcome)
        step()
    }

    private func note(_ task: ShipPlan.Task, _ outcome: ShipPlan.Outcome) {
        let nowUs = clock.now()
        let (before, after, isNew, vanished) = state.withLock { state in
            let before = state.plan.weather.state
            let wasFailing = state.plan.recordings[task.id]?.problem != nil
            state.plan.finish(task, outcome, nowNs: WallClock.monotonicNs())
            let after = state.plan.weather.state
            let vanished = state.plan.takeVanished(of: task.id, after: outcome)
            if !state.plan.hasRecordings(in: task.directory) { state.shelves[task.directory] = nil }
            switch outcome {
            case .done where task.work.isWriteOff, .lost where task.work.isWriteOff: break
            case .done(let bytes):
                state.numbers.count(task.work, bytes: bytes)
                state.numbers.lastUploadUs = nowUs
                state.noteUpload(of: task.stream, atUs: nowUs)
            case .lost: state.numbers.lostObjects += 1
            case .failed(let failure, _, let reason):
                state.numbers.retries[failure.rawValue, default: 0] += 1
                // While others get through it is the recording's problem.
                if after != .fair || failure == .local { state.numbers.problem = reason }
                return (before, after, !wasFailing, vanished)
            }
            if after == .fair { state.numbers.problem = nil }
            return (before, after, false, vanished)
        }
        var problem = ""
        if case .failed(_, _, let reason) = outcome { problem = reason }
        if let vanished {
            log.error(
                "objects vanished from the spool",
                [
                    "stream": task.stream, "recording": task.id, "count": String(vanished.count), "first": vanished.first,
                ])
        }
        if case .lost = outcome, case .publish = task.work {
            log.error("a journal vanished from the spool", ["stream": task.stream, "recording": task.id])
        }
        if isNew, after == .fair || after == .doubtful {
            log.error(
                "a recording could not be sent, and waits in the spool",
                ["stream": task.stream, "recording": task.id, "error": problem])
        }
        report(before, after, problem: problem)
    }

    private func report(_ before: ShipWeather.State, _ after: ShipWeather.State, problem: String) {
        switch (before, after) {
        case (.fair, .away), (.doubtful, .away):
            log.warning("the remote store is away; recordings wait in the spool", ["error": problem])
        case (_, .denied) where before != after:
            log.error(
                "the remote store refuses this node; recordings wait in the spool until that is put right", ["error": problem])
        case (.away, .fair), (.denied, .fair): log.info("the remote store takes recordings again")
        default: break
        }
    }

    /// Sends what can be sent within a bound; the rest stays in the spool. Call after the last recording has ended.
    func stop(within bound: Duration) async {
        let deadline = ContinuousClock.now + bound
        while ContinuousClock.now < deadline {
            // A claim that is given up comes into the plan when it has been answered.
            let isDone = !isClaiming && state.withLock { $0.plan.isIdle || $0.plan.isStuck }
            if isDone { break }
            try? await Task.sleep(for: .milliseconds(10))
        }
        let tasks = state.withLock { state in
            state.isStopping = true
            state.ticker?.cancel()
            return Array(state.tasks.values)
        }
        for task in tasks { task.cancel() }
        let left = state.withLock { ($0.plan.pendingObjects, $0.plan.pendingBytes) }
        if left.0 > 0 { log.info("objects stay in the spool", ["count": String(left.0), "bytes": String(left.1)]) }
    }

    // MARK: Asked by others

    var metrics: ShipMetrics {
        let nowUs = clock.now()
        return state.withLock { state in
            var numbers = state.numbers
            numbers.limitBytes = bytesMax
            numbers.pendingBytes = state.plan.pendingBytes
            numbers.pendingObjects = state.plan.pendingObjects
            numbers.oldestSeconds = Self.seconds(since: state.plan.oldestUs, nowUs: nowUs)
            if case .denied = state.plan.weather.state { numbers.isDenied = true }
            return numbers
        }
    }

    func status(stream: String) -> ShipStatus {
        let nowUs = clock.now()
        return state.withLock { state in
            var status = ShipStatus()
            let own = state.plan.recordings.values.filter { $0.stream == stream }
            status.pendingBytes = own.reduce(0) { $0 + $1.waiting.bytes }
            status.pendingObjects = own.reduce(0) { $0 + $1.waiting.count }
            status.oldestSeconds = Self.seconds(since: own.compactMap(\.waiting.first?.finishedUs).min(), nowUs: nowUs)
            status.lastError = own.compactMap(\.problem).first ?? state.numbers.problem
            status.lastUploadUs = state.lastUploads[stream]
            return status
        }
    }

    private static func seconds(since timeUs: Int64?, nowUs: Int64) -> Double {
        timeUs.map { Double(max(0, nowUs - $0)) / 1e6 } ?? 0
    }
}

extension Shipper.State {
    /// Streams that are forgotten about at once, so that it does not happen with each upload.
    static let lastUploadsMax = 2000

    mutating func noteUpload(of stream: String, atUs nowUs: Int64) {
        lastUploads[stream] = nowUs
        guard lastUploads.count > Self.lastUploadsMax else { return }
        let present = Set(plan.recordings.values.map(\.stream))
        let old = lastUploads.filter { !present.contains($0.key) }.sorted { $0.value < $1.value }
        for (stream, _) in old.prefix(Self.lastUploadsMax / 2) { lastUploads[stream] = nil }
    }
}

extension ShipMetrics {
    fileprivate mutating func count(_ work: ShipPlan.Work, bytes: Int64) {
        uploadedBytes += bytes
        switch work {
        case .object: uploadedObjects += 1
        case .publish:
            uploadedObjects += 2
            publishedBytes += bytes
        case .withdraw, .writeOff: break
        }
    }
}
