/// Which segments a clip is made of: the part of a timeline between two instants.
public struct ClipPlan: Sendable, Equatable {
    /// One track of a section.
    public struct Lane: Sendable, Equatable {
        /// Format and all segments of the period, also those before the clip: the key frame it needs may be in one.
        public var track: IndexedTrack
        /// Where the section starts and ends, in the track's timescale.
        public var ticks: Range<Int64>
        /// The segment that holds the start, or the first one.
        public var firstSegment: Int
    }

    /// The part of one period that lies in the clip.
    public struct Section: Sendable, Equatable {
        /// Alias of the node that has the objects.
        public var node: String
        /// Wall clock of its start and end, Unix microseconds.
        public var wallUs: Range<Int64>
        /// Video first.
        public var lanes: [Lane]
    }

    /// In order; never empty.
    public var sections: [Section]

    /// How long the clip is when it begins where it was asked to, microseconds.
    public var durationUs: Int64 { sections.reduce(0) { $0 + $1.wallUs.upperBound - $1.wallUs.lowerBound } }

    /// Nil when nothing was recorded in the range.
    /// - Parameters:
    ///   - timeline: of the range and at least one segment before it.
    ///   - wallUs: from when to when, Unix microseconds.
    public init?(_ timeline: Timeline, wallUs: Range<Int64>) {
        sections = timeline.periods.compactMap { Self.section(of: $0, wallUs) }
        guard !sections.isEmpty else { return nil }
    }

    private static func section(of period: TimelinePeriod, _ wanted: Range<Int64>) -> Section? {
        let period = (own: period, wallUs: period.wallStartUs..<max(period.wallStartUs, period.wallEndUs))
        let wallUs = wanted.clamped(to: period.wallUs)
        guard !wallUs.isEmpty else { return nil }
        let lanes = period.own.tracks.compactMap { entry -> Lane? in
            func ticks(_ us: Int64) -> Int64 {
                entry.presentationTimeOffset
                    + Timeline.scaled(us - period.wallUs.lowerBound, from: 1_000_000, to: entry.track.timescale)
            }
            let range = ticks(wallUs.lowerBound)..<ticks(wallUs.upperBound)
            let segments = entry.track.segments
            guard let first = segments.first, let last = segments.last, first.time < range.upperBound,
                last.time + last.duration > range.lowerBound
            else { return nil }
            return Lane(
                track: entry.track, ticks: range,
                firstSegment: segments.lastIndex { $0.time <= range.lowerBound } ?? 0)
        }
        return lanes.isEmpty ? nil : Section(node: period.own.node, wallUs: wallUs, lanes: lanes)
    }
}

/// Where a clip begins.
public enum ClipCut: String, Sendable {
    /// At the last key frame before the start that was asked for.
    case keyframe
    /// At the start that was asked for: an edit list hides what a decoder needs before it.
    case exact
}
