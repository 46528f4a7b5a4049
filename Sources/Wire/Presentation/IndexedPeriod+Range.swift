extension IndexedPeriod {
    /// The period with only the segments that touch a range of wall clock; an absent bound is none.
    public func touching(fromUs: Int64?, toUs: Int64?) -> IndexedPeriod {
        guard fromUs != nil || toUs != nil else { return self }
        var result = self
        for index in result.tracks.indices {
            let track = result.tracks[index]
            let range = track.mediaRange(periodStartUs: startUs, fromUs: fromUs, toUs: toUs)
            result.tracks[index].segments = track.segments.touching(range.lowerBound, range.upperBound)
        }
        return result
    }
}

extension IndexedTrack {
    /// A range of wall clock in ticks of the track.
    package func mediaRange(periodStartUs: Int64, fromUs: Int64?, toUs: Int64?) -> Range<Int64> {
        func ticks(_ us: Int64) -> Int64 {
            let offset = us.subtractingReportingOverflow(periodStartUs)
            guard !offset.overflow else { return us < periodStartUs ? Int64.min : Int64.max }
            // Doubles are exact enough to choose segments by, and cannot overflow.
            let value = Double(offset.partialValue) * Double(timescale) / 1_000_000 + Double(timeAtStart)
            return value >= 9e18 ? Int64.max : value <= -9e18 ? Int64.min : Int64(value)
        }
        let lower = fromUs.map(ticks) ?? Int64.min
        let upper = toUs.map(ticks) ?? Int64.max
        return lower..<max(lower, upper)
    }
}
