/// What a sender's reports say of its clock (RFC 3550 6.4.1): the newest that agree with each other, and when that clock was stepped.
///
/// Clocks of senders are set while they send, and both tracks' reports show it, but not at the same moment. Comparing one from before
/// with one from after would tear sound and pictures apart by the step, so a step counts only once the next report confirms it, and
/// two tracks are compared only when the reports of both come from the same side of it.
struct ReportHistory {
    /// A sender's wall clock and a timestamp of the same moment.
    struct Report {
        let ntpNs: Int64
        let mediaNs: Int64
        let arrivalNs: UInt64

        var offsetNs: Int64 { ntpNs - mediaNs }
    }

    /// The newest reports that follow each other, oldest first.
    private var agreed: [Report] = []
    /// A report that does not follow them; the next one tells which is right.
    private var odd: Report?
    private var oddInARow = 0
    /// When the first report came after a step of the sender's clock; 0 for none.
    private var steppedNs: UInt64 = 0

    /// So many are looked at: their middle hides a sender's jitter, and a clock that drifts has not gone far meanwhile.
    private static let count = 5

    /// Takes the next report.
    mutating func add(_ report: Report) {
        guard let last = agreed.last else {
            agreed = [report]
            offsetNs = middleNs
            return
        }
        if Self.follows(report, last) {
            agreed.append(report)
            if agreed.count > Self.count { agreed.removeFirst() }
            odd = nil
            oddInARow = 0
        } else if let first = odd, Self.follows(report, first) {
            agreed = [first, report]
            steppedNs = first.arrivalNs
            odd = nil
            oddInARow = 0
        } else {
            odd = report
            oddInARow += 1
        }
        offsetNs = middleNs
    }

    /// To the sender's wall clock from media time; nil before the first report, or while reports make no sense.
    private(set) var offsetNs: Int64?

    private var middleNs: Int64? {
        guard !agreed.isEmpty, oddInARow < 3 else { return nil }
        let sorted = agreed.map(\.offsetNs).sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : sorted[middle - 1] + (sorted[middle] - sorted[middle - 1]) / 2
    }

    /// Both speak of the same clock: neither was stepped after the other's newest report.
    func isComparable(with other: ReportHistory) -> Bool {
        guard let newest = agreed.last?.arrivalNs, let others = other.agreed.last?.arrivalNs else { return false }
        return newest >= other.steppedNs && others >= steppedNs
    }

    /// Media, the sender's clock and ours went on by the same, as exactly as senders know what time it is.
    private static func follows(_ new: Report, _ old: Report) -> Bool {
        let passedNs = new.ntpNs - old.ntpNs
        let mediaNs = new.mediaNs - old.mediaNs
        let arrivedNs = Int64(clamping: new.arrivalNs) - Int64(clamping: old.arrivalNs)
        return passedNs > 0 && abs(passedNs - mediaNs) <= passedNs / 1000 + 50_000_000
            && abs(passedNs - arrivedNs) <= passedNs / 5 + 500_000_000
    }
}
