/// How far a node's clock is behind ours, from the times it writes into its records.
///
/// A record takes a moment to get here, never less than none, so the smallest of many differences is the truest: it is too large by the
/// shortest way only, a millisecond or two.
struct ClockOffset: Equatable {
    /// A minute or so of heartbeats; after a node's clock was set back, so long the old word counts.
    private static let samplesMax = 32
    private var samples: [Int64] = []
    private var next = 0

    /// What to add to the node's times to get ours, milliseconds; nil before its first record.
    var ms: Int64? { samples.min() }

    /// Takes one record in.
    /// - Parameters:
    ///   - madeMs: when it was made, by the node's clock.
    ///   - arrivedMs: when it came, by ours.
    mutating func note(madeMs: Int64, arrivedMs: Int64) {
        let (difference, isOverflow) = arrivedMs.subtractingReportingOverflow(madeMs)
        guard !isOverflow else { return }
        if samples.count < Self.samplesMax { samples.append(difference) } else { samples[next] = difference }
        next = (next + 1) % Self.samplesMax
    }

    /// A restarted node may have another clock.
    mutating func forget() { (samples, next) = ([], 0) }
}
