extension IndexedPeriod {
    /// The period with only the segments that touch a range of wall clock; an absent bound is none.
    public func touching(fromUs: Int64?, toUs: Int64?) -> IndexedPeriod {
        guard fromUs != nil || toUs != nil else { return self }
        var result = self
        for index in result.tracks.indices {
            let track = result.tracks[index]
            let range = track.mediaRange(periodStartUs: startUs, fromUs: fromUs, toUs: toUs)
            let segments = track.segments
            let first = segments.partitioningIndex { $0.time + $0.duration > range.lowerBound }
            let end = segments.partitioningIndex { $0.time >= range.upperBound }
            result.tracks[index].segments = Array(segments[first..<max(first, end)])
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

extension Array {
    /// The first index of which `holds`, which must hold for all behind it.
    func partitioningIndex(where holds: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if holds(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
