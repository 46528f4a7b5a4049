import Cluster

extension LiveEdge {
    /// A node's word, checked; nil when its numbers can't be meant.
    /// - Parameter node: the alias it was read from.
    public init?(_ record: LiveEdgeRecord, node: String) {
        guard (0.01...60).contains(record.partSecondsMax), (0.1...3_600).contains(record.segmentSecondsMax),
            Self.isBounded(record)
        else { return nil }
        let recent = record.recordings.compactMap { entry -> RecordedMaterial? in
            guard let recording = IndexedRecording(entry.record, node: node) else { return nil }
            let periods = IndexedPeriod.periods(of: entry.detail).map { period in
                var period = period
                period.ordinal += entry.firstOrdinal
                return period
            }
            return RecordedMaterial(recording: recording, periods: periods, isGrowing: recording.status == .active)
        }
        var open = record.open.flatMap { IndexedPeriod.periods(of: $0).first }
        open?.ordinal = record.openOrdinal
        self.init(
            version: record.version, revision: record.revision, node: node, session: record.session,
            partSecondsMax: record.partSecondsMax, segmentSecondsMax: record.segmentSecondsMax, recent: recent, period: open,
            tracks: record.tracks.map { track in
                Track(
                    segmentPrefix: track.prefix,
                    segments: track.segments.map { segment in
                        let independent = Set(segment.independent)
                        return Segment(
                            number: segment.number, time: segment.t,
                            parts: segment.parts.enumerated().map {
                                Part(duration: $1, isIndependent: independent.contains($0))
                            }, isFinished: segment.finished)
                    })
            })
    }

    /// What no recorder exceeds, so that nothing made of it overflows or fills the memory.
    private static func isBounded(_ record: LiveEdgeRecord) -> Bool {
        let places = 0...1_000_000
        return record.recordings.count <= 100 && record.tracks.count <= 1_000 && places.contains(record.openOrdinal)
            && record.recordings.allSatisfy { places.contains($0.firstOrdinal) }
            && record.tracks.allSatisfy { track in
                track.segments.count <= 1_000
                    && track.segments.allSatisfy { segment in
                        (1...(1 << 50)).contains(segment.number) && (0...(1 << 53)).contains(segment.t)
                            && segment.parts.count <= 10_000
                            && segment.parts.allSatisfy { (1...(1 << 40)).contains($0) }
                    }
            }
    }
}
