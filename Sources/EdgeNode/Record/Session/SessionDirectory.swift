import Glibc
import Journal
import Log
import Media
import Store

/// A directory that sessions share: which are in it, and its manifest. Every change happens under the directory's lock, so nodes with
/// one file system in common do not undo each other's.
struct SessionDirectory {
    let store: FileStore
    let key: ObjectKey

    private var cache: [ObjectKey: (etag: String, modifiedUs: Int64, session: RecordedSession)] = [:]
    private var relistNs: UInt64 = 0
    /// Journals that cannot be read, as was told already.
    private var unreadable: Set<ObjectKey> = []
    /// The last look passed over one.
    private var isPassingOver = false
    private static let log = Logger("record")

    /// How long others' new sessions may go unseen; a long recording's directory takes a while to list, and gets so many times that
    /// while of rest.
    static let relistNsMax: UInt64 = 20_000_000_000
    static let rest: UInt64 = 100
    private static let pageMax = 10_000

    init(store: FileStore, key: ObjectKey) {
        self.store = store
        self.key = key
    }

    func object(_ name: String) throws(StoreError) -> ObjectKey {
        try key.appending(name)
    }

    /// Names of the files in the directory itself.
    func names() throws(StoreError) -> [String] {
        try list("").map(\.key.name)
    }

    /// Files in the directory itself whose names begin so.
    func list(_ prefix: String) throws(StoreError) -> [ObjectInfo] {
        var found: [ObjectInfo] = []
        var after: String?
        repeat {
            let page = try store.listNow(prefix: key.path + "/" + prefix, after: after, limit: Self.pageMax)
            found += page.objects.filter { $0.key.parent == key }
            after = page.continuation
        } while after != nil
        return found
    }

    /// All sessions in the directory but those that are deleted, others that have been silent for long as ended; journals that have not
    /// changed are not read again. One that cannot be read keeps nobody from recording beside it, and is shown as it was read last.
    mutating func sessions(except own: String? = nil) throws(StoreError) -> [RecordedSession] {
        var found: [ObjectKey: (etag: String, modifiedUs: Int64, session: RecordedSession)] = [:]
        isPassingOver = false
        for info in try journals() where info.key.name != own.map(JournalName.of) {
            if let known = cache[info.key], known.etag == info.etag {
                found[info.key] = known
                continue
            }
            switch try read(info.key) {
            case .bytes(let bytes):
                guard let (session, _) = RecordedSession.read(bytes, directory: key.path) else { continue }
                found[info.key] = (info.etag, info.modifiedUs, session)
            case .unreadable:
                isPassingOver = true
                // With its old tag, so that the next look tries again.
                found[info.key] = cache[info.key]
            case .gone: continue
            }
        }
        cache = found
        let nowUs = WallClock.realtimeUs()
        return found.values.map { $0.session.shown(modifiedUs: $0.modifiedUs, nowUs: nowUs) }.filter { !$0.isDeleting }
    }

    private enum Reading {
        case bytes([UInt8])
        case gone
        /// While others can be read.
        case unreadable
    }

    private mutating func read(_ journal: ObjectKey) throws(StoreError) -> Reading {
        do throws(StoreError) {
            return .bytes(try store.readNow(journal, limit: JournalName.bytesMax))
        } catch {
            switch error {
            case .notFound: return .gone
            case .denied, .failed(_, EFBIG), .failed(_, EIO):
                if unreadable.insert(journal).inserted {
                    Self.log.error("a journal cannot be read and is passed over", ["journal": journal.path, "error": "\(error)"])
                }
                return .unreadable
            default: throw error
            }
        }
    }

    private mutating func journals() throws(StoreError) -> [ObjectInfo] {
        let nowNs = WallClock.monotonicNs()
        if nowNs < relistNs { return try knownJournals() }
        let listed = try list(JournalName.prefix).filter { JournalName.isOne($0.key) }
        let listedNs = WallClock.monotonicNs()
        relistNs = listedNs &+ min(Self.relistNsMax, (listedNs &- nowNs) &* Self.rest)
        return listed
    }

    /// Those of the last listing, as they are now. One that can't be looked at must not be left out of the manifest.
    private func knownJournals() throws(StoreError) -> [ObjectInfo] {
        var found: [ObjectInfo] = []
        for key in cache.keys {
            do throws(StoreError) {
                found.append(try store.headNow(key))
            } catch {
                guard error == .notFound else { throw error }
            }
        }
        return found
    }

    /// The next manifest shows what is there then, whatever looking takes.
    mutating func expire() {
        relistNs = 0
    }

    /// Writes the manifest of what is in the directory, or removes it when nothing is; `own` is newer than its journal.
    ///
    /// - Parameter finally: done before anyone else may write a manifest.
    /// - Returns: bytes of the manifest.
    @discardableResult
    mutating func writeManifest(
        own: RecordedSession?, publishUs: Int64, segmentSeconds: Double, isFlushed: Bool = true,
        finally: () throws(StoreError) -> Void = {}
    ) throws(StoreError) -> Int {
        try store.withLockNow(key) { () throws(StoreError) in
            let bytes = try writeUnlocked(
                own: own, publishUs: publishUs, segmentSeconds: segmentSeconds, isFlushed: isFlushed)
            try finally()
            return bytes
        }
    }

    private mutating func writeUnlocked(
        own: RecordedSession?, publishUs: Int64, segmentSeconds: Double, isFlushed: Bool
    ) throws(StoreError) -> Int {
        let all = try sessions(except: own?.id) + (own.map { [$0] } ?? [])
        let manifest = try object(DayManifest.name)
        guard let mpd = DayManifest.render(all, publishUs: publishUs, segmentSeconds: segmentSeconds) else {
            // It may be the one of a journal that could not be read.
            if all.isEmpty, !isPassingOver { try store.deleteNow(manifest) }
            return 0
        }
        let bytes = mpd.utf8
        if isFlushed { try store.putNow(manifest, bytes, ifAbsent: false) } else { try store.putUnflushedNow(manifest, bytes) }
        return bytes.count
    }

    /// Removes initialization objects of tracks that never got a segment; no manifest will name them.
    func removeUnused(of session: RecordedSession) throws(StoreError) {
        for track in session.periods.flatMap(\.tracks) where track.segments.isEmpty {
            try store.deleteNow(try object(track.initialization))
        }
    }

    /// Removes a session's objects and its journal, the journal last, so that an interruption can be taken up again.
    func remove(_ session: RecordedSession) throws(StoreError) {
        for track in session.periods.flatMap(\.tracks) {
            for segment in track.segments { try store.deleteNow(try object(track.objectName(segment.number))) }
            try store.deleteNow(try object(track.initialization))
        }
        try store.deleteNow(try object(UploadLog.name(session.id)))
        try store.deleteNow(try object(JournalName.of(session.id)))
    }
}
