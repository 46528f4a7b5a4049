import Cluster

/// What came to a recording since it was last told of.
public struct RecordingGrowth: Sendable, Equatable {
    /// Periods from the one that grew, with only the new segments.
    public var periods: [IndexedPeriod]
    /// How many segments each track of the first of them had before.
    public var known: [Int]
    /// Every configuration of the recording with its peak bandwidth; there are no segments in them.
    public var configurations: [IndexedTrack]

    /// What a node's answer adds; nil when it tells everything, and when something in it can't be meant.
    public init?(_ detail: RecordingDetail) {
        guard let first = detail.first, (0...1_000_000).contains(first), let grown = detail.periods.first else { return nil }
        periods = IndexedPeriod.periods(of: detail).map { period in
            var period = period
            period.ordinal += first
            return period
        }
        known = grown.tracks.map { $0.known ?? 0 }
        configurations = detail.tracks.compactMap { track in
            IndexedTrack(
                RecordingPeriodTrack(track: 0, initObject: "", segmentPrefix: "", mediaTimeOffset: 0, segments: []),
                described: track)
        }
        guard periods.map(\.tracks.count) == detail.periods.map(\.tracks.count), configurations.count == detail.tracks.count,
            known.allSatisfy({ $0 >= 0 })
        else { return nil }
    }
}
