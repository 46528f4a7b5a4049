import Journal
import Media
import Store
import Synchronization

/// Where recordings are and what their objects are called.
enum RecordingLayout {
    /// `{stream}/YYYY/MM/DD`, the UTC day, or the directory that was asked for, with the day in place of `%Y`, `%m` and `%d`.
    static func directory(stream: String, base: ObjectKey?, atUs: Int64) throws(StoreError) -> ObjectKey {
        let day = day(atUs: atUs)
        guard let base else { return try ObjectKey("\(stream)/\(day)") }
        guard rotates(base) else { return base }
        let (year, month, date) = (day.prefix(4), day.dropFirst(5).prefix(2), day.suffix(2))
        return try ObjectKey(base.path.replacing("%Y", with: year).replacing("%m", with: month).replacing("%d", with: date))
    }

    /// The UTC day as directories end in it: `YYYY/MM/DD`.
    static func day(atUs: Int64) -> String {
        let day = ISO8601.date(microseconds: atUs)
        return "\(padded(day.year, 4))/\(padded(day.month, 2))/\(padded(day.day, 2))"
    }

    /// The day that a directory is of, by its path; nil for one that tells none. Nothing was begun earlier in one that is named by its day; what
    /// is in a fixed one that only looks so is looked at later than it might be.
    static func day(of directory: ObjectKey) -> String? {
        let parts = directory.path.split(separator: "/", omittingEmptySubsequences: false).suffix(3)
        let isDay = zip(parts, [4, 2, 2]).allSatisfy { part, count in
            part.utf8.count == count && part.utf8.allSatisfy { (0x30...0x39).contains($0) }
        }
        return parts.count == 3 && isDay ? parts.joined(separator: "/") : nil
    }

    /// Whether each day has a directory of its own; else one directory takes all.
    static func rotates(_ base: ObjectKey?) -> Bool { base?.path.contains("%d") ?? true }

    /// The first Period of the first session in a directory has the plain names; all others carry the session's id, so that no
    /// name is ever used twice.
    static func names(
        _ kind: LaneKind, _ container: SegmentContainer, session: String, period: Int, isPlain: Bool
    ) -> (initialization: String, prefix: String) {
        let mark = isPlain && period == 1 ? "" : OwnedNames.mark(of: session, period: period)
        let head = kind == .video ? "" : "audio_"
        return ("\(head)init\(mark).\(container.suffix)", "\(head)seg\(mark)_")
    }

    /// Bytes of the longest name below a directory: that of a segment that is being written.
    static let nameBytesMax: Int = {
        let prefix = names(.audio, .webm, session: newID(atUs: .max), period: 10_000, isPlain: false).prefix
        return "\(prefix)1000000000.\(SegmentContainer.webm.suffix)\(FileStore.temporarySuffix)".utf8.count
    }()

    /// A session's id: the second it was asked for and a random part, in letters and digits, twelve of them until 2038.
    static func newID(atUs: Int64) -> String {
        let random = String(UInt32.random(in: 0..<2_176_782_336), radix: 36)
        return padded(String(max(0, atUs / 1_000_000), radix: 36), 6) + padded(random, 6)
    }

    private static func padded(_ value: Int, _ width: Int) -> String { padded(String(value), width) }

    private static func padded(_ digits: String, _ width: Int) -> String {
        String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
