import Media

extension IndexedPeriod {
    /// The period with only the segments that touch a range of wall clock, and those before that are needed to decode them; an absent
    /// bound is none.
    public func touching(fromUs: Int64?, toUs: Int64?) -> IndexedPeriod {
        guard fromUs != nil || toUs != nil else { return self }
        let fromUs = fromUs.map { min($0, decodableUs(at: $0)) }
        var result = self
        for index in result.tracks.indices {
            let track = result.tracks[index]
            let range = track.mediaRange(periodStartUs: startUs, fromUs: fromUs, toUs: toUs)
            result.tracks[index].segments = track.segments.touching(range.lowerBound, range.upperBound)
        }
        return result
    }

    /// A track begins with a segment that decoding cannot begin with.
    public var beginsUnsynced: Bool { tracks.contains { $0.segments.first?.startsWithSync == false } }

    /// Where decoding must begin to show what was at an instant; the instant itself where nothing is known.
    private func decodableUs(at us: Int64) -> Int64 {
        tracks.compactMap { track -> Int64? in
            guard !track.segments.unsynced.isEmpty else { return nil }
            let start = track.mediaRange(periodStartUs: startUs, fromUs: us, toUs: nil).lowerBound
            let first = track.segments.partitioningIndex { $0.time + $0.duration > start }
            guard first < track.segments.count, !track.segments[first].startsWithSync,
                let sync = track.segments.lastSync(upTo: first)
            else { return nil }
            // Rounded up: the segment before must not touch it.
            let ticks = track.segments[sync].time - track.timeAtStart
            return startUs + Timeline.scaled(ticks, from: track.timescale, to: 1_000_000) + 1
        }.min() ?? us
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
