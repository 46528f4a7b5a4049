import Journal
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
    /// Whole segments on their way to be durable, at most one of each track.
    private var ended: [EndedSegment] = []
    /// Tracks whose last segment has become durable since it was asked.
    private var settled: [LaneKind] = []
    /// Segments that the kernel still has in memory, oldest first.
    private var cached: [ObjectKey] = []
    private var journalBytes: Int64 = 0
    private var initializations: [LaneKind: ShipPlan.Object] = [:]
    private var budget = ManifestBudget()
    private var manifestBytes: Int64 = 0
    /// A Period has ended, which the manifest has to say unless the session's end says it all.
    private var isManifestDue = false

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

    /// Which one is open.
    var sessionID: String? { live?.id }

    /// Where the open session is kept track of; nil when there is none.
    var journalKey: ObjectKey? {
        live.flatMap { try? directory.object(JournalName.of($0.id)) }
    }

    private struct EndedSegment {
        let file: PendingFile
        var line: JournalLine
        let endedNs: UInt64
    }

    func perform(_ action: RecordingAction) throws(StoreError) {
        switch action {
        case .chunk, .segmentEnded, .keyframeWanted: break
        default: try settle()
        }
        switch action {
        case .sessionBegan(let startUs): try beginSession(startUs: startUs)
        case .periodBegan(let startUs, let continues): try beginPeriod(startUs: startUs, continues: continues)
        case .trackBegan(let kind, let format, let bytes): try beginTrack(kind, format, bytes)
        case .chunk(let kind, let fragment): try append(kind, fragment)
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
            $0.hasPrefix(JournalName.prefix) || SegmentContainer.holds($0) || $0 == DayManifest.name
        }
        let claimed = shipper?.takeClaim(directory.key, stream: stream)
        for _ in 0..<4 {
            let id = nextID ?? claimed?.id ?? RecordingLayout.newID(atUs: startUs)
            // Other nodes put their objects where these go, too.
            if shipper != nil, claimed?.id != id || claimed?.isGranted != true { hasPlainNames = false }
            nextID = nil
            var line = JournalLine(.session, at: clock.next())
            line.version = 1
            line.id = id
            line.stream = stream
            line.node = node
            line.startUs = startUs
            do throws(StoreError) {
                let file = try store.appendingNow(try directory.object(JournalName.of(id)), exclusively: true)
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
        try settle()
        guard let ending = session else { return }
        for file in files.values { file.abandon() }
        files = [:]
        isManifestDue = false
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
        ended = []
        settled = []
        isManifestDue = false
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
        isManifestDue = true
    }

    // MARK: Segments

    private func append(_ kind: LaneKind, _ fragment: Fragment) throws(StoreError) {
        guard let track = session?.periods.last?.tracks.first(where: { $0.kind == kind }) else { return }
        if files[kind] == nil {
            if ended.contains(where: { $0.line.kind == kind }) { try settle() }
            try journal?.checkIsThere()
            let number = segmentNumbers[kind, default: 0] + 1
            segmentNumbers[kind] = number
            files[kind] = try store.createNow(try directory.object(track.objectName(number)))
        }
        guard let file = files[kind], let number = segmentNumbers[kind] else { return }
        let offset = file.size
        try file.append(fragment.head, fragment.media)
        live?.add(fragment, at: offset, to: kind, number: number)
    }

    private func endSegment(
        _ kind: LaneKind, time: Int64, duration: Int64, samples: Int, startsWithSync: Bool
    ) throws(StoreError) {
        guard let file = files.removeValue(forKey: kind), let number = segmentNumbers[kind],
            let period = session?.periods.last?.number
        else { return }
        var line = JournalLine(.segment, at: 0)
        line.period = period
        line.kind = kind
        line.number = number
        line.time = time
        line.duration = duration
        line.bytes = file.size
        line.samples = samples
        line.sync = startsWithSync ? nil : false
        ended.append(EndedSegment(file: file, line: line, endedNs: WallClock.monotonicNs()))
        // Tracks are cut within a few packets of each other, and storage takes hardly longer for two segments than for one.
        if files.isEmpty { try settle() }
    }

    /// Call after the last action of a batch: does what one of its later actions could have made needless. A track that has stopped must
    /// not keep the other's segment from being seen, either.
    func endBatch() throws(StoreError) {
        if let first = ended.first, WallClock.monotonicNs() &- first.endedNs > Self.settleNs { try settle() }
        if isManifestDue { try publish(isDue: true) }
    }

    private static let settleNs: UInt64 = 1_000_000_000

    /// Makes the segments that have ended durable and tells of them.
    private func settle() throws(StoreError) {
        guard !ended.isEmpty else { return }
        let segments = ended
        ended = []
        try journal?.checkIsThere()
        try PendingFile.commit(segments.map(\.file))
        var lines: [JournalLine] = []
        for segment in segments {
            var line = segment.line
            line.at = clock.next()
            lines.append(line)
        }
        let ends = try write(lines)
        for ((segment, line), end) in zip(zip(segments, lines), ends) {
            guard let kind = line.kind else { continue }
            budget.add(media: segment.file.size)
            uncache(behind: segment.file)
            ship(segment.file, kind, finishedUs: line.at, journalEnd: end)
            settled.append(kind)
        }
        try publish(isDue: false)
    }

    /// The tracks whose last segment has become durable since the last call, in that order.
    func takeSettled() -> [LaneKind] {
        defer { settled = [] }
        return settled
    }

    /// The newest segment and the open one stay in memory for players at the live edge; who comes later reads from the disk, once for
    /// all. Older ones would only push out what others read, and where memory is lent by a host each page taken anew costs several times
    /// the write itself. What is shipped is read once more and leaves the spool then.
    private func uncache(behind file: PendingFile) {
        guard shipper == nil, file.size >= Self.uncachedBytesMin else { return }
        cached.append(file.key)
        if cached.count > Self.cachedSegmentsMax { store.uncacheNow(cached.removeFirst()) }
    }

    private static let cachedSegmentsMax = 1
    private static let uncachedBytesMin: Int64 = 256 << 10

    // MARK: Journal and manifest

    private func write(_ line: JournalLine) throws(StoreError) {
        _ = try write([line])
    }

    /// - Returns: where each line ends in the journal.
    private func write(_ lines: [JournalLine]) throws(StoreError) -> [Int64] {
        var bytes: [UInt8] = []
        let ends = lines.map { line in
            bytes += line.encoded()
            return journalBytes + Int64(bytes.count)
        }
        try journal?.append(bytes)
        journalBytes += Int64(bytes.count)
        for line in lines { live?.apply(line) }
        return ends
    }

    /// Writes the manifest when it has to be or when its budget allows. With a spool nobody reads this one before the recording ends:
    /// the remote store has its own.
    private func publish(isDue: Bool) throws(StoreError) {
        guard let session, isDue || (shipper == nil && budget.allows(manifestBytes)) else { return }
        if isDue {
            isManifestDue = false
            directory.expire()
        }
        // After a power failure the next start writes it anew, from the journals.
        manifestBytes = Int64(
            try directory.writeManifest(
                own: session, publishUs: clock.next(), segmentSeconds: segmentSeconds, isFlushed: isDue))
        budget.spend(manifestBytes)
    }

    /// A segment is durable and in the journal: it may go to the remote store, the initialization object of its track before it.
    private func ship(_ file: PendingFile, _ kind: LaneKind, finishedUs: Int64, journalEnd: Int64) {
        guard let shipper, let id = session?.id else { return }
        let segment = ShipPlan.Object(
            name: file.key.name, bytes: file.size, finishedUs: finishedUs, journalEnd: journalEnd)
        shipper.finished((initializations.removeValue(forKey: kind).map { [$0] } ?? []) + [segment], of: id)
    }
}
