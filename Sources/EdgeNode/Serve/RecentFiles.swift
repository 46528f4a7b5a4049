import HTTP
import Store
import Synchronization

/// Small objects that never change, open for a second after they were found: they are asked for many times in that second, and only the
/// first time is the file system asked. What this process deletes is forgotten at once, what another one deletes after a second. Any thread.
final class RecentFiles: Sendable {
    private struct Entry {
        let file: HTTPFile
        let until: ContinuousClock.Instant
        let deletions: UInt64
    }

    /// How long the file system's word is taken.
    static let lifetime = Duration.seconds(1)
    /// Open files. With `fileBytesMax` this bounds what deleted files still take of the disk until somebody asks for an object.
    static let countMax = 128
    /// Larger ones are seldom sent from memory, and sending them costs more than finding them.
    static let fileBytesMax: Int64 = 512 << 10

    private let entries = Mutex<[ObjectKey: Entry]>([:])

    /// The file when it was found less than a second ago, and nothing was deleted since.
    /// - Parameter deletions: how many objects the store has deleted, now.
    func file(_ key: ObjectKey, deletions: UInt64, now: ContinuousClock.Instant = .now) -> HTTPFile? {
        entries.withLock { entries in
            guard let entry = entries[key] else { return nil }
            guard entry.deletions == deletions, now < entry.until else {
                entries[key] = nil
                return nil
            }
            return entry.file
        }
    }

    /// Remembers a file, when its name is one that is written once.
    /// - Parameter deletions: how many objects the store had deleted before the file was looked for.
    func keep(_ file: HTTPFile, _ key: ObjectKey, deletions: UInt64, now: ContinuousClock.Instant = .now) {
        guard ObjectKind(key.name).isImmutable, file.count <= Self.fileBytesMax else { return }
        entries.withLock { entries in
            if entries.count >= Self.countMax {
                entries = entries.filter { $0.value.deletions == deletions && now < $0.value.until }
                if entries.count >= Self.countMax { entries = [:] }
            }
            entries[key] = Entry(file: file, until: now + Self.lifetime, deletions: deletions)
        }
    }
}
