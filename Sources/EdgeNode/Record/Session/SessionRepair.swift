import Journal
import Media
import Store

/// Finishes sessions whose writer died or lost its storage: whole fragments are kept, what is torn is cut off, and the session is closed.
struct SessionRepair {
    let store: FileStore
    let clock: UpdateClock
    let segmentSeconds: Double
    /// Larger segments are not salvaged, because they are read whole.
    static let segmentBytesMax = 512 << 20

    /// Closes the session of a journal, and returns it; nil when its writer lives, or when nothing of it was worth keeping.
    func repair(_ journalKey: ObjectKey, reason: String) throws(StoreError) -> RecordedSession? {
        guard let parent = journalKey.parent else { return nil }
        var directory = SessionDirectory(store: store, key: parent)
        let journal: AppendFile
        do throws(StoreError) {
            journal = try store.appendingNow(journalKey, exclusively: false)
        } catch {
            // Someone removed it, and has taken responsibility with it.
            guard error == .notFound else { throw error }
            return nil
        }
        guard journal.claim() else { return nil }
        let bytes = try store.readNow(journalKey, limit: JournalName.bytesMax)
        guard let (read, wholeBytes) = RecordedSession.read(bytes, directory: parent.path) else {
            try store.deleteNow(journalKey)
            return nil
        }
        guard !read.isEnded else { return read }
        if wholeBytes < bytes.count { try journal.truncate(to: Int64(wholeBytes)) }
        let uploads = try UploadLog(store: store, journal: journalKey).read()
        var work = Work(repair: self, directory: directory, journal: journal, uploads: uploads, session: read)
        try work.checkSegments()
        try work.salvage()
        try removeLeftovers(in: directory)
        guard work.session.hasSegments else {
            try directory.remove(work.session)
            try directory.writeManifest(own: nil, publishUs: clock.next(), segmentSeconds: segmentSeconds)
            return nil
        }
        try directory.removeUnused(of: work.session)
        let line = work.session.closingLine(at: clock.next(), reason: reason)
        var ended = work.session
        ended.apply(line)
        try directory.writeManifest(
            own: ended, publishUs: clock.next(), segmentSeconds: segmentSeconds
        ) { () throws(StoreError) in try journal.append(line.encoded()) }
        return ended
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
        /// What is not here any more because it is in the remote store.
        let uploads: UploadLog.Contents
        var session: RecordedSession

        mutating func write(_ line: JournalLine) throws(StoreError) {
            try journal.append(line.encoded())
            session.apply(line)
        }

        private func line(_ event: JournalLine.Event, _ period: Int, _ kind: LaneKind, number: Int) -> JournalLine {
            var line = JournalLine(event, at: repair.clock.next())
            line.period = period
            line.kind = kind
            line.number = number
            return line
        }

        /// A segment that is gone ends its track: a Period must not have holes. What comes after it stays, unlisted.
        mutating func checkSegments() throws(StoreError) {
            for period in session.periods {
                for track in period.tracks {
                    let first = track.segments.first { !isThere(track.objectName($0.number), bytes: $0.bytes) }
                    let hasInit = isThere(track.initialization, bytes: nil)
                    guard let number = hasInit ? first?.number : track.segments.first?.number else { continue }
                    try write(line(.lost, period.number, track.kind, number: number))
                }
            }
        }

        private func isThere(_ name: String, bytes: Int64?) -> Bool {
            if uploads.has(name, bytes: bytes) { return true }
            guard let key = try? directory.object(name), let info = try? repair.store.headNow(key) else { return false }
            return info.size == bytes ?? info.size
        }

        /// Segments of the last Period that are not in the journal: under their names, or unfinished.
        mutating func salvage() throws(StoreError) {
            guard let period = session.periods.last else { return }
            for track in period.tracks {
                var number = (track.segments.last?.number ?? 0) + 1
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
            let isFinished = isThere(name, bytes: nil)
            guard isFinished || isThere(temporary.name, bytes: nil), isThere(track.initialization, bytes: nil) else { return nil }
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
            try write(line)
            return line.time.flatMap { time in line.duration.map { time + $0 } }
        }
    }
}
