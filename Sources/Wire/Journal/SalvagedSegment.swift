import Media

extension RecordedSession.Track {
    /// Where the next segment would begin, in the track's timescale; nil when there is none yet.
    package var endTicks: Int64? { latest.map { $0.time + $0.duration } }
    /// What its number would be.
    package var nextNumber: Int { (latest?.number ?? 0) + 1 }

    /// The line of a segment that no journal tells of, made of what is in it; nil when it does not go on from `expected`.
    ///
    /// - Parameter expected: where the segment before it ended; nil for the first.
    package func line(
        salvaging scan: FragmentScanner, number: Int, ofPeriod period: Int, after expected: Int64?, at: Int64
    ) -> JournalLine? {
        // WebM counts in milliseconds.
        let tolerance: Int64 = container == .webm ? 90 : 0
        guard let extent = scan.extent, extent.duration > 0, abs(extent.time &- (expected ?? extent.time)) <= tolerance else {
            return nil
        }
        var line = JournalLine(.segment, at: at)
        (line.period, line.kind, line.number) = (period, kind, number)
        (line.time, line.duration) = (expected ?? extent.time, extent.duration)
        line.bytes = Int64(scan.wholeBytes)
        line.samples = scan.fragments.map(\.samples).reduce(0, +)
        line.sync = scan.fragments.first?.startsWithSync ?? true ? nil : false
        return line
    }
}
