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
    private let shipper: Shipper?

    private var live: LiveSession?
    private(set) var directory: SessionDirectory
    private var journal: AppendFile?
    private var hasPlainNames = false
    private var nextID: String?
    private var files: [LaneKind: PendingFile] = [:]
    private var segmentNumbers: [LaneKind: Int] = [:]
    private var journalBytes: Int64 = 0
    private var initializations: [LaneKind: ShipPlan.Object] = [:]
    private var budget = ManifestBudget()
    private var manifestBytes: Int64 = 0

    /// - Parameters:
    ///   - firstID: the id of the first session, because it has been told to someone already.
    ///   - index: told of every change that others should see.
    init(
        store: FileStore, stream: String, node: String, baseDirectory: ObjectKey?, segmentSeconds: Double, firstID: String,
        clock: UpdateClock, index: RecordingIndex, shipper: Shipper? = nil
    ) throws(StoreError) {
        self.store = store
        self.stream = stream
        self.node = node
        self.baseDirectory = baseDirectory
        self.segmentSeconds = segmentSeconds
        self.clock = clock
        self.index = index
        self.shipper = shipper
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
        case .periodBegan(let startUs, let continues): try beginPeriod(startUs: startUs, continues: continues)
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
            $0.hasPrefix(SessionDirectory.journalPrefix) || SegmentContainer.holds($0) || $0 == DayManifest.name
        }
        let claimed = shipper?.takeClaim(directory.key, stream: stream)
        for _ in 0..<4 {
            let id = nextID ?? claimed ?? RecordingLayout.newID(atUs: startUs)
            // Other nodes put their objects where these go, too.
            if shipper != nil, id != claimed { hasPlainNames = false }
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
                journalBytes = Int64(line.encoded().count)
                budget = ManifestBudget()
                manifestBytes = 0
                guard let session = RecordedSession(line, directory: directory.key.path) else { return }
                let live = LiveSession(session, segmentSeconds: segmentSeconds, room: index.room)
                self.live = live
                index.begin(live)
                shipper?.began(session, journalEnd: journalBytes)
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
            shipper?.cameToNothing(ending)
            try directory.remove(ending)
            try directory.writeManifest(own: nil, publishUs: clock.next(), segmentSeconds: segmentSeconds)
            return
        }
        try directory.removeUnused(of: ending)
        let line = (session ?? ending).closingLine(at: clock.next(), reason: reason, isFailed: isFailed)
        // The manifest first: who dies in between leaves an open journal, which is closed at the next start; a closed one would
        // leave a manifest that says the recording goes on.
        live?.apply(line)
        directory.expire()
        try directory.writeManifest(
            own: session, publishUs: clock.next(), segmentSeconds: segmentSeconds
        ) { () throws(StoreError) in try journal?.append(line.encoded()) }
        journalBytes += Int64(line.encoded().count)
        journal = nil
        live = nil
        index.end(ending.id)
        shipper?.ended(ending.id, journalEnd: journalBytes)
    }

    /// Storage failed: lets go of everything, for `SessionRepair` to finish when storage works again.
    func abandon() {
        journal = nil
        live = nil
        files = [:]
    }

    // MARK: Periods and tracks

    private func beginPeriod(startUs: Int64, continues: Bool) throws(StoreError) {
        var line = JournalLine(.period, at: clock.next())
        line.period = (session?.periods.last?.number ?? 0) + 1
        line.startUs = startUs
        line.continues = continues ? true : nil
        segmentNumbers = [:]
        try write(line)
    }

    private func beginTrack(_ kind: LaneKind, _ format: TrackFormat, _ bytes: [UInt8]) throws(StoreError) {
        guard let session, let period = session.periods.last?.number else { return }
        let names = RecordingLayout.names(kind, format.container, session: session.id, period: period, isPlain: hasPlainNames)
        var line = JournalLine(.track, at: clock.next())
        line.period = period
        line.kind = kind
        line.codecs = format.codecs
        line.timescale = format.timescale
        line.width = format.pictureSize?.width
        line.height = format.pictureSize?.height
        line.channels = format.channels
        line.initialization = names.initialization
        line.prefix = names.prefix
        try write(line)
        try store.withLockNow(directory.key) { () throws(StoreError) in
            _ = try store.putNow(try directory.object(names.initialization), bytes, ifAbsent: true)
        }
        initializations[kind] = ShipPlan.Object(
            name: names.initialization, bytes: Int64(bytes.count), finishedUs: line.at, journalEnd: 0)
    }

    private func endPeriod() throws(StoreError) {
        guard let session, let period = session.periods.last, !period.isEnded else { return }
        let id = session.id
        var line = JournalLine(.periodEnd, at: clock.next())
        line.period = period.number
        try write(line)
        shipper?.periodEnded(id, journalEnd: journalBytes)
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
        guard let file = files[kind], let number = segmentNumbers[kind] else { return }
        let offset = file.size
        try file.append(bytes)
        live?.add(bytes, at: offset, to: kind, number: number)
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
        budget.add(media: file.size)
        ship(file, kind, finishedUs: line.at)
        try publish(isDue: false)
    }

    // MARK: Journal and manifest

    private func write(_ line: JournalLine) throws(StoreError) {
        let bytes = line.encoded()
        try journal?.append(bytes)
        journalBytes += Int64(bytes.count)
        live?.apply(line)
    }

    /// Writes the manifest when it has to be or when its budget allows. With a spool nobody reads this one before the recording ends:
    /// the remote store has its own.
    private func publish(isDue: Bool) throws(StoreError) {
        guard let session, isDue || (shipper == nil && budget.allows(manifestBytes)) else { return }
        if isDue { directory.expire() }
        manifestBytes = Int64(
            try directory.writeManifest(own: session, publishUs: clock.next(), segmentSeconds: segmentSeconds))
        budget.spend(manifestBytes)
    }

    /// A segment is durable and in the journal: it may go to the remote store, the initialization object of its track before it.
    private func ship(_ file: PendingFile, _ kind: LaneKind, finishedUs: Int64) {
        guard let shipper, let id = session?.id else { return }
        let segment = ShipPlan.Object(
            name: file.key.name, bytes: file.size, finishedUs: finishedUs, journalEnd: journalBytes)
        shipper.finished((initializations.removeValue(forKey: kind).map { [$0] } ?? []) + [segment], of: id)
    }
}
