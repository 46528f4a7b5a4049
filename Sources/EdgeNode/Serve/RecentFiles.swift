import HTTP
import Store
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Small objects, open for a second after they were found: they are asked for many times in that second, and only the first time is the
/// file system asked. What this process deletes is forgotten at once, what another one deletes or changes after a second. Any thread.
final class RecentFiles: Sendable {
    /// An object and the answer's header, complete, so that nobody has to add to it.
    struct Found: Sendable {
        let object: RecordedObject
        let headers: HTTPHeaders
        let file: HTTPFile
    }

    private struct Entry {
        let found: Found
        let until: ContinuousClock.Instant
        let deletions: UInt64
    }

    /// How long the file system's word is taken.
    static let lifetime = Duration.seconds(1)
    /// Open files. With `fileBytesMax` this bounds what deleted files still take of the disk until somebody asks for an object.
    static let countMax = 128
    /// Larger ones are seldom sent from memory, and sending them costs more than finding them.
    static let fileBytesMax: Int64 = 512 << 10
    /// A manifest that nobody has written for so long is that of a recording that has ended.
    static let settledSeconds: Int64 = 60

    private let entries = Mutex<[String: Entry]>([:])

    /// What was found under this path less than a second ago, when nothing was deleted since.
    /// - Parameter deletions: how many objects the store has deleted, now.
    func found(_ path: String, deletions: UInt64, now: ContinuousClock.Instant = .now) -> Found? {
        entries.withLock { entries in
            guard let entry = entries[path] else { return nil }
            guard entry.deletions == deletions, now < entry.until else {
                entries[path] = nil
                return nil
            }
            return entry.found
        }
    }

    /// Remembers a file, when its name is one that is written once or nobody writes it any more.
    /// - Parameters:
    ///   - path: as it was asked for.
    ///   - deletions: how many objects the store had deleted before the file was looked for.
    ///   - unixSeconds: the time that file systems go by.
    func keep(
        _ file: HTTPFile, _ object: RecordedObject, path: String, deletions: UInt64, now: ContinuousClock.Instant = .now,
        unixSeconds: Int64 = Int64(time(nil))
    ) {
        guard file.count <= Self.fileBytesMax else { return }
        guard object.kind.isImmutable || file.modified < unixSeconds - Self.settledSeconds else { return }
        let found = Found(object: object, headers: file.completed(object.headers), file: file)
        entries.withLock { entries in
            if entries.count >= Self.countMax {
                entries = entries.filter { $0.value.deletions == deletions && now < $0.value.until }
                if entries.count >= Self.countMax { entries = [:] }
            }
            entries[path] = Entry(found: found, until: now + Self.lifetime, deletions: deletions)
        }
    }
}
