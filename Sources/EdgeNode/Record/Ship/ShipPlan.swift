/// What is to be sent to the remote store and in which order; knows neither files nor network.
///
/// Of each recording one thing is under way at a time, in one order: initialization objects before their segments, segments as they
/// were finished, then the journal up to the last of them, then the manifest. So whatever the journal there names is there, but for objects
/// that are gone from the spool: the journal says so as soon as the recording has ended, since what grows takes nothing back.
///
/// What the store does not take of one recording while it takes others holds back that recording alone.
struct ShipPlan: Sendable {
    /// A file of the spool.
    struct Object: Equatable, Sendable {
        let name: String
        let bytes: Int64
        /// When it was finished, Unix microseconds.
        let finishedUs: Int64
        /// Where the journal's line about it ends; 0 for an initialization object, which counts with its first segment.
        let journalEnd: Int64
    }

    enum Work: Equatable, Sendable {
        case object(Object)
        /// The journal's first bytes, then the manifest; the last time all of it.
        case publish(journalBytes: Int64, isFinal: Bool)
        /// The journal of a recording that has ended does not say yet that these objects are gone.
        case writeOff(names: [String])
        /// The recording came to nothing: what was put to announce it goes.
        case withdraw
    }

    /// A recording and what to do for it now.
    struct Task: Equatable, Sendable {
        /// What the plan calls it by.
        let id: String
        let stream: String
        let directory: String
        let work: Work

        /// The recording's own id, in which `id` ends.
        var recordingID: String { id.split(separator: "/").last.map(String.init) ?? id }
    }

    enum Outcome: Sendable {
        /// Of a publication: what it cost in bytes. Of objects written off: how long the journal is now.
        case done(bytes: Int64)
        /// The file is not there any more and neither is the object.
        case lost
        case failed(ShipFailure, retryAfterNs: UInt64?, reason: String = "")
    }

    /// Objects of one recording that were found to be gone one after the other.
    struct Vanished: Equatable, Sendable {
        let first: String
        var count = 0
    }

    struct Recording: Sendable {
        let id: String
        let stream: String
        let directory: String
        let startUs: Int64
        fileprivate(set) var waiting = ShipQueue()
        fileprivate(set) var current: Work?
        /// The journal as far as its objects are in the remote store, as it was published, and as it is here.
        fileprivate(set) var shipped: Int64 = 0
        fileprivate(set) var published: Int64 = 0
        fileprivate(set) var known: Int64
        fileprivate(set) var required: Int64 = 0
        /// Objects that are gone and that the journal still names.
        fileprivate(set) var lost: [String] = []
        /// Those that nobody has been told of.
        fileprivate(set) var vanished: Vanished?
        fileprivate(set) var publishedNs: UInt64 = 0
        fileprivate(set) var publicationBytes: Int64 = 0
        fileprivate(set) var budget = ManifestBudget()
        fileprivate(set) var isClosed = false
        fileprivate(set) var isWithdrawn = false
        fileprivate(set) var heldUntilNs: UInt64 = 0
        /// Attempts that failed since one did not, when the last of them did, and of what.
        fileprivate(set) var failures = 0
        fileprivate(set) var failedNs: UInt64 = 0
        fileprivate(set) var problem: String?
        /// How much had arrived of all recordings when it last failed, or when it last began something.
        fileprivate(set) var arrivalsBefore: UInt64 = 0
        fileprivate(set) var isForgotten = false
        fileprivate(set) var isComplete = false
    }

    /// A live recording is published at most so often, however small it is.
    static let publishNs: UInt64 = 10_000_000_000
    /// No more uploads run at a time, however many recordings go on.
    static let uploadsMax = 32
    /// How long a recording waits whose files our own disk does not give.
    static let localFailureNs: UInt64 = 5_000_000_000

    private(set) var recordings: [String: Recording] = [:]
    private(set) var weather: ShipWeather
    private(set) var pendingBytes: Int64 = 0
    private(set) var running = 0
    /// How much has arrived.
    private var arrivals: UInt64 = 0
    private let limit: Int
    private var lastWasLive = false

    /// - Parameter limit: how many uploads may always run at a time.
    init(limit: Int, seed: UInt64) {
        self.limit = max(1, limit)
        weather = ShipWeather(seed: seed)
    }

    /// Nothing is left to do but what recordings that go on will bring.
    var isIdle: Bool {
        running == 0 && recordings.values.allSatisfy { !$0.isClosed && !$0.isWithdrawn && $0.waiting.isEmpty }
    }

    /// Nothing is under way, and what is left waits for the store to take it again.
    var isStuck: Bool {
        guard running == 0 else { return false }
        return weather.wakeNs != nil || recordings.values.allSatisfy { $0.failures > 0 && $0.heldUntilNs > 0 }
    }

    var pendingObjects: Int { recordings.values.reduce(0) { $0 + $1.waiting.count } }
    var oldestUs: Int64? { recordings.values.compactMap(\.waiting.first?.finishedUs).min() }

    func isUnderWay(_ id: String) -> Bool { recordings[id]?.current != nil }
    func hasRecordings(in directory: String) -> Bool { recordings.values.contains { $0.directory == directory } }

    // MARK: What happens in the spool

    mutating func begin(id: String, stream: String, directory: String, startUs: Int64, journalEnd: Int64) {
        let known = recordings[id]
        // It may begin after all when it had been taken back; what is under way of that comes to its end first.
        guard known?.isWithdrawn ?? true else { return }
        var new = Recording(id: id, stream: stream, directory: directory, startUs: startUs, known: journalEnd)
        new.current = known?.current
        recordings[id] = new
        pendingBytes -= known?.waiting.bytes ?? 0
    }

    mutating func add(_ object: Object, to id: String) {
        guard var recording = recordings.removeValue(forKey: id) else { return }
        recording.waiting.append(object)
        recording.known = max(recording.known, object.journalEnd)
        recordings[id] = recording
        pendingBytes += object.bytes
    }

    /// The manifest has to say what the journal says up to here, cost what it may.
    mutating func require(_ id: String, journalEnd: Int64) {
        recordings[id]?.known = journalEnd
        recordings[id]?.required = journalEnd
    }

    mutating func end(_ id: String, journalEnd: Int64) {
        recordings[id]?.known = journalEnd
        recordings[id]?.isClosed = true
    }

    /// Takes the place of what was known of a recording: it has been read anew from the spool.
    mutating func replace(_ recording: Recording, objects: [Object], shipped: Int64, isClosed: Bool) {
        var new = recordings[recording.id] ?? recording
        pendingBytes -= new.waiting.bytes
        new.waiting = ShipQueue()
        for object in objects { new.waiting.append(object) }
        pendingBytes += new.waiting.bytes
        new.known = max(new.known, recording.known)
        new.shipped = max(new.shipped, shipped)
        new.isClosed = isClosed
        new.lost = []
        new.vanished = nil
        recordings[recording.id] = new
    }

    /// A recording ended without anything in it, or did not begin where it was announced. One that did so in another directory, because a day
    /// had passed, is left alone, and only what announced it goes.
    mutating func withdraw(id: String, stream: String, directory: String) {
        let isElsewhere = recordings[id].map { $0.directory != directory } ?? false
        // No recording's own id has a slash in it.
        let id = isElsewhere ? "\(directory)/\(id)" : id
        if recordings[id] == nil { begin(id: id, stream: stream, directory: directory, startUs: 0, journalEnd: 0) }
        pendingBytes -= recordings[id]?.waiting.bytes ?? 0
        recordings[id]?.waiting = ShipQueue()
        recordings[id]?.isWithdrawn = true
    }

    /// Nothing more is to be done for a recording. What is under way comes to its end.
    mutating func forget(_ id: String) {
        guard let recording = recordings[id] else { return }
        pendingBytes -= recording.waiting.bytes
        recordings[id]?.waiting = ShipQueue()
        if recording.current == nil { recordings[id] = nil } else { recordings[id]?.isForgotten = true }
    }

    /// The journal of a recording is gone from the spool, and with it what would have to be sent. The journal in the store stays with what it
    /// names, of which nothing else tells; one that only announced the recording goes.
    mutating func loseJournal(of id: String) {
        guard let known = recordings[id] else { return }
        let hasSent = known.shipped > 0 || known.published > 0 || known.budget.media > 0 || known.current?.object != nil
        if hasSent { forget(id) } else { withdraw(id: id, stream: known.stream, directory: known.directory) }
    }

    // MARK: What to do

    /// What to begin now.
    mutating func next(nowNs: UInt64) -> [Task] {
        var tasks: [Task] = []
        var allowance = weather.allowance(running: running, limit: most, nowNs: nowNs)
        while allowance > 0, let (id, work) = choose(nowNs: nowNs), let recording = recordings[id] {
            recordings[id]?.current = work
            if recording.failures == 0 { recordings[id]?.arrivalsBefore = arrivals }
            lastWasLive = !recording.isClosed
            running += 1
            weather.started()
            tasks.append(Task(id: id, stream: recording.stream, directory: recording.directory, work: work))
            allowance -= 1
        }
        return tasks
    }

    /// How many uploads may run: a store that is far away takes its time for each, however many recordings there are.
    private var most: Int { max(limit, min(Self.uploadsMax, recordings.values.count { !$0.isClosed } / 4)) }

    private struct Candidate {
        let id: String
        let work: Work
        let rank: (failedNs: UInt64, age: Int64)

        func isBefore(_ other: Candidate?) -> Bool {
            guard let other else { return true }
            return (rank.failedNs, rank.age, id) < (other.rank.failedNs, other.rank.age, other.id)
        }
    }

    /// Recordings that go on and those that have ended take turns, so neither waits for all of the other; the oldest comes first. A probe
    /// is something of the recording that has not failed for longest.
    private func choose(nowNs: UInt64) -> (String, Work)? {
        let isProbe = weather.state != .fair
        var live: Candidate?
        var ended: Candidate?
        for recording in recordings.values {
            guard let work = work(of: recording, nowNs: nowNs) else { continue }
            let isEnded = recording.isClosed || recording.isWithdrawn
            let age = isEnded ? recording.startUs : recording.waiting.first?.finishedUs ?? 0
            let candidate = Candidate(id: recording.id, work: work, rank: (isProbe ? recording.failedNs : 0, age))
            if isEnded {
                if candidate.isBefore(ended) { ended = candidate }
            } else if candidate.isBefore(live) {
                live = candidate
            }
        }
        var chosen = lastWasLive ? ended ?? live : live ?? ended
        if isProbe, let live, let ended, live.rank.failedNs != ended.rank.failedNs {
            chosen = live.rank.failedNs < ended.rank.failedNs ? live : ended
        }
        return chosen.map { ($0.id, $0.work) }
    }

    private func work(of recording: Recording, nowNs: UInt64) -> Work? {
        guard recording.current == nil, nowNs >= recording.heldUntilNs, !recording.isForgotten else { return nil }
        if recording.isWithdrawn { return .withdraw }
        if recording.isClosed, recording.waiting.isEmpty, !recording.lost.isEmpty { return .writeOff(names: recording.lost) }
        let publication = publication(of: recording, nowNs: nowNs)
        if let publication, !recordings.values.contains(where: { $0.isPublishing(in: recording.directory) }) {
            return publication
        }
        return recording.waiting.first.map { .object($0) }
    }

    private func publication(of recording: Recording, nowNs: UInt64) -> Work? {
        let isAll = recording.waiting.isEmpty
        let reached = isAll ? recording.known : recording.shipped
        if isAll, recording.isClosed { return .publish(journalBytes: recording.known, isFinal: true) }
        guard reached > recording.published else { return nil }
        let isRequired = recording.required > recording.published && recording.required <= reached
        let isTime = recording.publishedNs == 0 || nowNs >= recording.publishedNs &+ Self.publishNs
        // The manifest tells less of a segment than the journal does.
        let estimate = max(recording.publicationBytes, 2 * reached)
        guard isRequired || (recording.shipped > 0 && isTime && recording.budget.allows(estimate)) else { return nil }
        return .publish(journalBytes: reached, isFinal: false)
    }

    // MARK: What came of it

    /// - Returns: true when everything of the recording is in the remote store, manifest and all.
    @discardableResult
    mutating func finish(_ task: Task, _ outcome: Outcome, nowNs: UInt64) -> Bool {
        running = max(0, running - 1)
        guard var recording = recordings[task.id] else { return false }
        recording.current = nil
        defer {
            let isOver = recording.isForgotten || recording.isComplete
            recordings[task.id] = isOver ? nil : recording
            if isOver { pendingBytes -= recording.waiting.bytes }
        }
        switch outcome {
        case .failed(let failure, let retryAfterNs, let reason):
            recording.problem = reason
            blame(&recording, failure, retryAfterNs: retryAfterNs, nowNs: nowNs)
            return false
        case .done, .lost:
            if task.work.isWriteOff {
                // The store has had no part in it.
                weather.undecided()
            } else {
                weather.succeeded()
                arrivals += 1
            }
            recording.failures = 0
            recording.failedNs = 0
            recording.problem = nil
        }
        switch task.work {
        case .object(let object):
            if recording.waiting.remove(object.name) { pendingBytes -= object.bytes }
            if case .done = outcome {
                recording.shipped = max(recording.shipped, object.journalEnd)
                recording.budget.add(media: object.bytes)
            } else {
                recording.lost.append(object.name)
                recording.vanished = recording.vanished ?? Vanished(first: object.name)
                recording.vanished?.count += 1
            }
        case .publish(let journalBytes, let isFinal):
            if case .done(let bytes) = outcome {
                recording.budget.spend(bytes)
                recording.publicationBytes = bytes
            }
            recording.published = max(recording.published, journalBytes)
            recording.publishedNs = nowNs
            // What came meanwhile, such as a repair, is sent before it is complete.
            recording.isComplete =
                isFinal && recording.isClosed && recording.waiting.isEmpty && recording.lost.isEmpty
                && recording.known == journalBytes
        case .writeOff(let names):
            let said = Set(names)
            recording.lost.removeAll { said.contains($0) }
            if case .done(let bytes) = outcome { recording.known = max(recording.known, bytes) }
        case .withdraw: recording.isComplete = recording.isWithdrawn
        }
        return recording.isComplete && !recording.isForgotten
    }

    /// What vanished of a recording, once something else came of a task of it or nothing waits any more. A folder may hold many thousands.
    mutating func takeVanished(of id: String, after outcome: Outcome) -> Vanished? {
        guard let recording = recordings[id], let vanished = recording.vanished else { return nil }
        switch outcome {
        case .failed: return nil
        case .lost: if !recording.waiting.isEmpty { return nil }
        case .done: break
        }
        recordings[id]?.vanished = nil
        return vanished
    }

    /// A failure is the recording's own when others got through since it failed before, or since it began; else it is taken for the
    /// store's, or for the node's whom the store refuses.
    private mutating func blame(
        _ recording: inout Recording, _ failure: ShipFailure, retryAfterNs: UInt64?, nowNs: UInt64
    ) {
        guard failure != .local else {
            // Our own disk: the store is as well as it was.
            recording.heldUntilNs = nowNs &+ Self.localFailureNs
            weather.undecided()
            return
        }
        let isOwn = failure != .throttled && weather.state == .fair && arrivals > recording.arrivalsBefore
        let isDoubtful = failure == .denied && weather.state == .fair
        let hasOthers = recordings.values.contains { $0.id != recording.id && $0.failures == 0 && !$0.isForgotten }
        recording.arrivalsBefore = arrivals
        recording.failedNs = nowNs
        recording.failures += 1
        if failure == .denied {
            recording.heldUntilNs = nowNs &+ ShipWeather.deniedNs
        } else if isOwn {
            let pause = ShipWeather.firstNs << UInt64(min(recording.failures, 16))
            recording.heldUntilNs = nowNs &+ min(pause, ShipWeather.deniedNs)
        }
        if isOwn { return }
        if isDoubtful, hasOthers { return weather.doubt() }
        weather.failed(failure, retryAfterNs: retryAfterNs, nowNs: nowNs)
    }
}

extension ShipPlan.Recording {
    init(id: String, stream: String, directory: String, startUs: Int64, known: Int64) {
        self.id = id
        self.stream = stream
        self.directory = directory
        self.startUs = startUs
        self.known = known
    }

    fileprivate func isPublishing(in other: String) -> Bool {
        if case .publish = current { return directory == other }
        return false
    }
}

extension ShipPlan.Work {
    var object: ShipPlan.Object? {
        if case .object(let object) = self { return object }
        return nil
    }

    /// Nothing of it goes to the store.
    var isWriteOff: Bool {
        if case .writeOff = self { return true }
        return false
    }
}
