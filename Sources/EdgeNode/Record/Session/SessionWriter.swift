import Media
import Store

/// Does what a `StreamRecorder` wants done: names objects, writes them, keeps journal and manifest. Belongs to one thread.
///
/// Order, for each segment: its bytes durable under its name, then the journal, then the manifest. So whatever moment the process
/// dies at, the journal names only objects that are there, and the manifest only what the journal names.
final class SessionWriter {
    let store: FileStore
    let stream: String
    let node: String
    let baseDirectory: ObjectKey?
    let segmentSeconds: Double
    private let clock: UpdateClock
    private let index: RecordingIndex

    private var live: LiveSession?
    private(set) var directory: SessionDirectory
    private var journal: AppendFile?
    private var hasPlainNames = false
    private var nextID: String?
    private var files: [LaneKind: PendingFile] = [:]
    private var segmentNumbers: [LaneKind: Int] = [:]
    private var manifestDueUs: Int64 = 0

    /// - Parameters:
    ///   - firstID: the id of the first session, because it has been told to someone already.
    ///   - index: told of every change that others should see.
    init(
        store: FileStore, stream: String, node: String, baseDirectory: ObjectKey?, segmentSeconds: Double, firstID: String,
        clock: UpdateClock, index: RecordingIndex
    ) throws(StoreError) {
        self.store = store
        self.stream = stream
        self.node = node
        self.baseDirectory = baseDirectory
        self.segmentSeconds = segmentSeconds
        self.clock = clock
        self.index = index
        nextID = firstID
        directory = SessionDirectory(
            store: store, key: try RecordingLayout.directory(stream: stream, base: baseDirectory, atUs: 0))
    }

    /// The open session, as far as it is durable.
    var session: RecordedSession? { live?.value }

    /// Where the open session is kept track of; nil when there is none.
    var journalKey: ObjectKey? {
        live.flatMap { try? directory.object(SessionDirectory.journalName($0.id)) }
    }

    func perform(_ action: RecordingAction) throws(StoreError) {
        switch action {
        case .sessionBegan(let startUs): try beginSession(startUs: startUs)
        case .periodBegan(let startUs): try beginPeriod(startUs: startUs)
        case .trackBegan(let kind, let format, let bytes): try beginTrack(kind, format, bytes)
        case .chunk(let kind, let bytes): try append(kind, bytes)
        case .segmentEnded(let kind, let time, let duration, let samples, let startsWithSync):
            try endSegment(kind, time: time, duration: duration, samples: samples, startsWithSync: startsWithSync)
        case .periodEnded: try endPeriod()
        case .sessionEnded: try endSession(reason: nil)
        case .keyframeWanted: break
        }
    }

    // MARK: Session

    private func beginSession(startUs: Int64) throws(StoreError) {
        directory = SessionDirectory(
            store: store, key: try RecordingLayout.directory(stream: stream, base: baseDirectory, atUs: startUs))
        try store.withLockNow(directory.key) { () throws(StoreError) in try claimSession(startUs: startUs) }
    }

    private func claimSession(startUs: Int64) throws(StoreError) {
        guard try directory.sessions().allSatisfy({ $0.stream == stream }) else { throw .exists }
        let names = try directory.names()
        hasPlainNames = !names.contains {
            $0.hasPrefix(SessionDirectory.journalPrefix) || $0.hasSuffix(".m4s") || $0 == DayManifest.name
        }
        for _ in 0..<4 {
            let id = nextID ?? RecordingLayout.newID(atUs: startUs)
            nextID = nil
            var line = JournalLine(.session, at: clock.next())
            line.version = 1
            line.id = id
            line.stream = stream
            line.node = node
            line.startUs = startUs
            do throws(StoreError) {
                let file = try store.appendingNow(try directory.object(SessionDirectory.journalName(id)), exclusively: true)
                guard file.claim() else { throw .exists }
                try file.append(line.encoded())
                journal = file
                manifestDueUs = 0
                guard let session = RecordedSession(line, directory: directory.key.path) else { return }
                let live = LiveSession(session)
                self.live = live
                index.begin(live)
                return
            } catch {
                guard error == .exists else { throw error }
            }
        }
        throw .exists
    }

    /// Closes the session; one that holds nothing disappears.
    func endSession(reason: String?, isFailed: Bool = false) throws(StoreError) {
        guard let ending = session else { return }
        for file in files.values { file.abandon() }
        files = [:]
        if !ending.hasSegments {
            journal = nil
            live = nil
            index.remove(ending.id)
            try directory.remove(ending)
            try directory.writeManifest(own: nil, publishUs: clock.next(), segmentSeconds: segmentSeconds)
            return
        }
        try directory.removeUnused(of: ending)
        var line = JournalLine(.end, at: clock.next())
        line.reason = reason
        line.failed = isFailed ? true : nil
        // The manifest first: who dies in between leaves an open journal, which is closed at the next start; a closed one would
        // leave a manifest that says the recording goes on.
        live?.apply(line)
        directory.expire()
        try directory.writeManifest(
            own: session, publishUs: clock.next(), segmentSeconds: segmentSeconds
        ) { () throws(StoreError) in try journal?.append(line.encoded()) }
        journal = nil
        live = nil
        index.end(ending.id)
    }

    /// Storage failed: lets go of everything, for `SessionRepair` to finish when storage works again.
    func abandon() {
        journal = nil
        live = nil
        files = [:]
    }

    // MARK: Periods and tracks

    private func beginPeriod(startUs: Int64) throws(StoreError) {
        var line = JournalLine(.period, at: clock.next())
        line.period = (session?.periods.last?.number ?? 0) + 1
        line.startUs = startUs
        segmentNumbers = [:]
        try write(line)
    }

    private func beginTrack(_ kind: LaneKind, _ format: TrackFormat, _ bytes: [UInt8]) throws(StoreError) {
        guard let session, let period = session.periods.last?.number else { return }
        let names = RecordingLayout.names(kind, session: session.id, period: period, isPlain: hasPlainNames)
        var line = JournalLine(.track, at: clock.next())
        line.period = period
        line.kind = kind
        line.codecs = format.codecs
        line.timescale = format.timescale
        switch format {
        case .h264(let video):
            line.width = video.first.width
            line.height = video.first.height
        case .opus(let channels):
            line.channels = channels
        }
        line.initialization = names.initialization
        line.prefix = names.prefix
        try write(line)
        try store.withLockNow(directory.key) { () throws(StoreError) in
            _ = try store.putNow(try directory.object(names.initialization), bytes, ifAbsent: true)
        }
    }

    private func endPeriod() throws(StoreError) {
        guard let period = session?.periods.last, !period.isEnded else { return }
        var line = JournalLine(.periodEnd, at: clock.next())
        line.period = period.number
        try write(line)
        try publish(isDue: true)
    }

    // MARK: Segments

    private func append(_ kind: LaneKind, _ bytes: [UInt8]) throws(StoreError) {
        guard let track = session?.periods.last?.tracks.first(where: { $0.kind == kind }) else { return }
        if files[kind] == nil {
            try journal?.checkIsThere()
            let number = segmentNumbers[kind, default: 0] + 1
            segmentNumbers[kind] = number
            files[kind] = try store.createNow(try directory.object(track.objectName(number)))
        }
        try files[kind]?.append(bytes)
    }

    private func endSegment(
        _ kind: LaneKind, time: Int64, duration: Int64, samples: Int, startsWithSync: Bool
    ) throws(StoreError) {
        guard let file = files.removeValue(forKey: kind), let number = segmentNumbers[kind],
            let period = session?.periods.last?.number
        else { return }
        try journal?.checkIsThere()
        try file.commit(ifAbsent: true)
        var line = JournalLine(.segment, at: clock.next())
        line.period = period
        line.kind = kind
        line.number = number
        line.time = time
        line.duration = duration
        line.bytes = file.size
        line.samples = samples
        line.sync = startsWithSync ? nil : false
        try write(line)
        try publish(isDue: false)
    }

    // MARK: Journal and manifest

    private func write(_ line: JournalLine) throws(StoreError) {
        try journal?.append(line.encoded())
        live?.apply(line)
    }

    /// Writes the manifest; a long one less often, so that a day's recording does not spend its time on rewriting it.
    private func publish(isDue: Bool) throws(StoreError) {
        guard let session else { return }
        let nowUs = clock.next()
        guard isDue || nowUs >= manifestDueUs else { return }
        if isDue { directory.expire() }
        let bytes = try directory.writeManifest(own: session, publishUs: nowUs, segmentSeconds: segmentSeconds)
        // At most 50 kB of manifest a second.
        manifestDueUs = nowUs + Int64(bytes) * 20
    }
}
