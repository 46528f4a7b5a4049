import Journal
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

    /// Bytes of the longest name below a directory: that of a segment that is being written.
    static let nameBytesMax: Int = {
        let prefix = names(.audio, .webm, session: newID(atUs: .max), period: 10_000, isPlain: false).prefix
        return "\(prefix)1000000000.\(SegmentContainer.webm.suffix)\(FileStore.temporarySuffix)".utf8.count
    }()

    /// A session's id: the second it was asked for and a random part, in letters and digits.
    static func newID(atUs: Int64) -> String {
        let random = String(UInt32.random(in: 0..<2_176_782_336), radix: 36)
        return String(max(0, atUs / 1_000_000), radix: 36) + String(repeating: "0", count: 6 - random.count) + random
    }

    private static func padded(_ value: Int, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
