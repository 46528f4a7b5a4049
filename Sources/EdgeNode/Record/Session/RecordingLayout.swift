import Media
import Store
import Synchronization

/// Where recordings are and what their objects are called.
enum RecordingLayout {
    /// `{stream}/YYYY/MM/DD`, the UTC day, or the directory that was asked for, with the day in place of `%Y`, `%m` and `%d`.
    static func directory(stream: String, base: ObjectKey?, atUs: Int64) throws(StoreError) -> ObjectKey {
        let day = ISO8601.date(microseconds: atUs)
        let (year, month, date) = (padded(day.year, 4), padded(day.month, 2), padded(day.day, 2))
        guard let base else { return try ObjectKey("\(stream)/\(year)/\(month)/\(date)") }
        guard rotates(base) else { return base }
        return try ObjectKey(base.path.replacing("%Y", with: year).replacing("%m", with: month).replacing("%d", with: date))
    }

    /// Whether each day has a directory of its own; else one directory takes all.
    static func rotates(_ base: ObjectKey?) -> Bool { base?.path.contains("%d") ?? true }

    /// The first Period of the first session in a directory has the plain names; all others carry the session's id, so that no
    /// name is ever used twice.
    static func names(
        _ kind: LaneKind, _ container: SegmentContainer, session: String, period: Int, isPlain: Bool
    ) -> (initialization: String, prefix: String) {
        let mark = isPlain && period == 1 ? "" : "_\(session)" + (period == 1 ? "" : "p\(period)")
        let head = kind == .video ? "" : "audio_"
        return ("\(head)init\(mark).\(container.suffix)", "\(head)seg\(mark)_")
    }

    /// A session's id: the second it was asked for and a random part, in letters and digits.
    static func newID(atUs: Int64) -> String {
        let random = String(UInt32.random(in: 0..<2_176_782_336), radix: 36)
        return String(max(0, atUs / 1_000_000), radix: 36) + String(repeating: "0", count: 6 - random.count) + random
    }

    /// The session a journal belongs to.
    static func id(ofJournal key: ObjectKey) -> String? {
        guard SessionDirectory.isJournal(key) else { return nil }
        return String(key.name.dropFirst(SessionDirectory.journalPrefix.count).dropLast(SessionDirectory.journalSuffix.count))
    }

    private static func padded(_ value: Int, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}

/// Hands out times of change, Unix microseconds, each one only once, because an index asks for what changed since one of them.
final class UpdateClock: Sendable {
    private let last = Mutex<Int64>(0)
    /// The time of day, Unix microseconds.
    let now: @Sendable () -> Int64

    init(now: @escaping @Sendable () -> Int64) {
        self.now = now
    }

    func next() -> Int64 {
        last.withLock { last in
            last = max(last + 1, now())
            return last
        }
    }

    /// Times up to this one have been used, by an earlier process.
    func skip(past time: Int64) {
        last.withLock { $0 = max($0, time) }
    }
}
