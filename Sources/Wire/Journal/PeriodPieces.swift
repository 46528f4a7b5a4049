import Media

extension RecordedSession.Period {
    /// A stretch in which no track has a hole: a manifest counts numbers and can't leave one out within a Period.
    struct Piece {
        /// What its id has behind the Period's; empty for the first.
        let mark: String
        /// The time of day of its start, Unix microseconds.
        let startUs: Int64
        let durationUs: Int64
        /// Those that have something in it, and in their ticks where it starts.
        let tracks: [(track: RecordedSession.Track, offset: Int64)]
    }

    /// All there is of it, each segment once. What one track has while another has a hole belongs to the piece before, as if the other
    /// had ended there.
    var pieces: [Piece] {
        let filled = tracks.filter { !$0.segments.isEmpty }
        let cuts = Set(filled.flatMap(\.resumptionsUs)).sorted()
        guard !cuts.isEmpty else {
            return [Piece(mark: "", startUs: startUs, durationUs: durationUs, tracks: filled.map { ($0, 0) })]
        }
        var pieces: [Piece] = []
        var fromUs = Int64.min
        for toUs in cuts + [.max] {
            if let piece = piece(filled.compactMap { $0.part(fromUs: fromUs, toUs: toUs) }, isFirst: fromUs == .min) {
                pieces.append(piece)
            }
            fromUs = toUs
        }
        return pieces
    }

    private func piece(_ tracks: [RecordedSession.Track], isFirst: Bool) -> Piece? {
        let starts = tracks.compactMap { track in track.segments.first.map { (track, $0) } }
        guard let first = starts.min(by: { $0.0.us($0.1.time) < $1.0.us($1.1.time) }), let lead = starts.first else { return nil }
        // The first one begins where the Period does, whatever is missing there.
        let (ticks, timescale) = isFirst ? (0, 1) : (first.1.time, Int64(first.0.timescale))
        let offsetUs = isFirst ? 0 : first.0.us(ticks)
        return Piece(
            mark: isFirst ? "" : ".\(lead.0.kind == .video ? "" : lead.0.kind.rawValue)\(lead.1.number)",
            startUs: startUs + offsetUs,
            durationUs: (tracks.map(\.endUs).max() ?? offsetUs) - offsetUs,
            tracks: tracks.map { ($0, scaled(ticks, from: timescale, to: Int64($0.timescale))) })
    }

    /// Rounded down.
    private func scaled(_ ticks: Int64, from: Int64, to: Int64) -> Int64 { ticks / from * to + ticks % from * to / from }
}

extension RecordedSession.Track {
    /// Microseconds of the Period, rounded down.
    fileprivate func us(_ ticks: Int64) -> Int64 {
        ticks / Int64(timescale) * 1_000_000 + ticks % Int64(timescale) * 1_000_000 / Int64(timescale)
    }

    /// Where it goes on behind what is gone.
    fileprivate var resumptionsUs: [Int64] {
        guard !gone.isEmpty else { return [] }
        return segments.indices.filter { index in
            index > 0
                ? segments[index].number != segments[index - 1].number + 1 : (gone.first?.number ?? .max) < segments[0].number
        }.map { us(segments[$0].time) }
    }

    /// The segments of which the middle lies between two instants; nil when there are none. Tracks are cut together, but not to the
    /// microsecond.
    fileprivate func part(fromUs: Int64, toUs: Int64) -> RecordedSession.Track? {
        let first = segments.partitioningIndex { us($0.time + $0.duration / 2) >= fromUs }
        let end = segments.partitioningIndex { us($0.time + $0.duration / 2) >= toUs }
        guard first < end else { return nil }
        var part = self
        part.segments = Array(segments[first..<end])
        return part
    }
}
