import Journal
import Media
import Store

/// Finishes sessions whose writer died or lost its storage: whole fragments are kept, what is torn is cut off, and the session is closed.
struct SessionRepair {
    let store: FileStore
    let clock: UpdateClock
    let segmentSeconds: Double
    /// Told of how many segments of a journal are gone, once it says so itself.
    let lost: (ObjectKey, Int) -> Void
    private let head: (ObjectKey) throws(StoreError) -> ObjectInfo
    /// Larger segments are not salvaged, because they are read whole.
    static let segmentBytesMax = 512 << 20

    /// - Parameter head: what storage says of an object; replaceable in tests.
    init(
        store: FileStore, clock: UpdateClock, segmentSeconds: Double, lost: @escaping (ObjectKey, Int) -> Void,
        head: ((ObjectKey) throws(StoreError) -> ObjectInfo)? = nil
    ) {
        self.store = store
        self.clock = clock
        self.segmentSeconds = segmentSeconds
        self.lost = lost
        if let head { self.head = head } else { self.head = { (key) throws(StoreError) in try store.headNow(key) } }
    }

    enum Outcome: Equatable {
        /// It has ended, now or before.
        case ended(RecordedSession)
        /// Nothing of it was worth keeping, and its journal went last.
        case removed
        /// Its writer lives, or its journal is gone or was none.
        case left

        var session: RecordedSession? {
            if case .ended(let session) = self { return session }
            return nil
        }
    }

    /// Closes the session of a journal. Throws what storage says; the session is open then, and this may be done again.
    func repair(_ journalKey: ObjectKey, reason: String) throws(StoreError) -> Outcome {
        guard let parent = journalKey.parent else { return .left }
        var directory = SessionDirectory(store: store, key: parent)
        let journal: AppendFile
        do throws(StoreError) {
            journal = try store.appendingNow(journalKey, exclusively: false)
        } catch {
            // Someone removed it, and has taken responsibility with it.
            guard error == .notFound else { throw error }
            return .left
        }
        guard journal.claim() else { return .left }
        let bytes = try store.readNow(journalKey, limit: JournalName.bytesMax)
        guard let (read, wholeBytes) = RecordedSession.read(bytes, directory: parent.path) else {
            try store.deleteNow(journalKey)
            return .left
        }
        guard !read.isEnded else { return .ended(read) }
        if wholeBytes < bytes.count { try journal.truncate(to: Int64(wholeBytes)) }
        let log = try UploadLog(store: store, journal: journalKey)
        var work = Work(repair: self, directory: directory, journal: journal, log: log, uploads: try log.read(), session: read)
        // What comes behind the journal's last segment is kept also where that one is gone.
        try work.salvage()
        let gone = try work.checkSegments()
        if gone > 0 { lost(journalKey, gone) }
        try work.salvage()
        try removeLeftovers(in: directory)
        guard work.session.hasSegments else {
            try directory.remove(work.session)
            try directory.writeManifest(own: nil, publishUs: clock.next(), segmentSeconds: segmentSeconds)
            return .removed
        }
        try directory.removeUnused(of: work.session)
        let line = work.session.closingLine(at: clock.next(), reason: reason)
        var ended = work.session
        ended.apply(line)
        try directory.writeManifest(
            own: ended, publishUs: clock.next(), segmentSeconds: segmentSeconds
        ) { () throws(StoreError) in try journal.append(line.encoded()) }
        return .ended(ended)
    }

    /// Manifests and initialization objects that never got their names; their writers hold the lock while they exist.
    private func removeLeftovers(in directory: SessionDirectory) throws(StoreError) {
        try store.withLockNow(directory.key) { () throws(StoreError) in
            for name in try store.temporaryNamesNow(in: directory.key) where name.hasPrefix(".") {
                try store.deleteNow(try directory.object(name))
            }
        }
    }

    private struct Work {
        let repair: SessionRepair
        let directory: SessionDirectory
        let journal: AppendFile
        let log: UploadLog
        /// What is not here any more because it is in the remote store; uploads go on meanwhile.
        var uploads: UploadLog.Contents
        var session: RecordedSession

        /// All of them with one flush.
        mutating func write(_ lines: [JournalLine]) throws(StoreError) {
            guard !lines.isEmpty else { return }
            try journal.append(lines.flatMap { $0.encoded() })
            for line in lines { session.apply(line) }
        }

        /// A segment that is gone leaves a hole; what its track ends with may still be salvaged.
        ///
        /// - Returns: how many are gone.
        mutating func checkSegments() throws(StoreError) -> Int {
            var missing: [(name: String, bytes: Int64?)] = []
            for track in session.periods.flatMap(\.tracks) where !track.segments.isEmpty {
                if try !isThere(track.initialization, bytes: nil) { missing.append((track.initialization, nil)) }
                for segment in track.segments {
                    let name = track.objectName(segment.number)
                    if try !isThere(name, bytes: segment.bytes) { missing.append((name, segment.bytes)) }
                }
            }
            // What was sent meanwhile was noted before its file went.
            if !missing.isEmpty { uploads = try log.read() }
            let gone = Set(missing.filter { !uploads.has($0.name, bytes: $0.bytes) }.map(\.name))
            let before = session.segmentCount
            try write(session.lines(losing: { gone.contains($0) }, clock: repair.clock))
            return before - session.segmentCount
        }

        /// Throws whatever storage says but that it is not there: what is gone is so for good.
        private func isThere(_ name: String, bytes: Int64?) throws(StoreError) -> Bool {
            if uploads.has(name, bytes: bytes) { return true }
            // A name that storage does not take has nothing.
            guard let key = try? directory.object(name) else { return false }
            do throws(StoreError) {
                let info = try repair.head(key)
                return info.size == bytes ?? info.size
            } catch {
                guard error == .notFound else { throw error }
                return false
            }
        }

        /// Segments of the last Period that are not in the journal: under their names, or unfinished.
        mutating func salvage() throws(StoreError) {
            guard let period = session.periods.last else { return }
            for track in period.tracks {
                var number = track.nextNumber
                var expected = track.endTicks
                while let next = try salvage(track, number: number, period: period.number, expected: expected) {
                    expected = next
                    number += 1
                }
            }
        }

        /// The end of the segment in media time; nil when there is none or it does not continue.
        private mutating func salvage(
            _ track: RecordedSession.Track, number: Int, period: Int, expected: Int64?
        ) throws(StoreError) -> Int64? {
            let name = track.objectName(number)
            let key = try directory.object(name)
            let temporary = try directory.object(name + FileStore.temporarySuffix)
            let isFinished = try isThere(name, bytes: nil)
            if !isFinished { guard try isThere(temporary.name, bytes: nil) else { return nil } }
            if try !isThere(track.initialization, bytes: nil) {
                uploads = try log.read()
                guard uploads.has(track.initialization, bytes: nil) else { return nil }
            }
            let source = isFinished ? key : temporary
            let bytes = try repair.store.readNow(source, limit: SessionRepair.segmentBytesMax)
            let scan = FragmentScanner(bytes)
            let found = track.line(
                salvaging: scan, number: number, ofPeriod: period, after: expected, at: repair.clock.next())
            guard let line = found, !isFinished || scan.wholeBytes == bytes.count else {
                try repair.store.deleteNow(source)
                return nil
            }
            if isFinished {
                try repair.store.deleteNow(temporary)
            } else {
                try repair.store.adoptNow(temporaryName: temporary.name, as: key, size: Int64(scan.wholeBytes))
            }
            try write([line])
            return line.time.flatMap { time in line.duration.map { time + $0 } }
        }
    }
}
