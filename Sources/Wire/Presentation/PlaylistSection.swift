import Media

/// A stretch of a media playlist that needs no discontinuity: a period in one rendition.
///
/// Of a line that grows, what is gone from the middle of a period keeps its numbers and its time, so that everything behind it keeps
/// its own (RFC 8216 6.2.1).
struct PlaylistSection: Sendable {
    /// What stands for a stretch of the line in one rendition.
    enum Filling: Equatable {
        /// Its own track.
        case own
        /// Silence, made when it is asked for.
        case silence(Silence)
        /// Nothing: `EXT-X-GAP`.
        case gap
    }

    var filling: Filling
    /// What is played, or what lends its times.
    var entry: TimelineTrack
    /// Of its period.
    var source: String
    var node: String
    var wallStartUs: Int64
    /// What is there.
    var segments: SegmentRuns { entry.track.segments }
    /// What was there, in order; each has its share of the time that is missing.
    private(set) var gone: [IndexedSegment] = []
    /// Parts of its youngest segments.
    var live: [LiveEdge.Segment] = []
    /// It is being written.
    var isOpen = false

    init(filling: Filling, entry: TimelineTrack, source: String, node: String, wallStartUs: Int64) {
        (self.filling, self.entry, self.source, self.node) = (filling, entry, source, node)
        self.wallStartUs = wallStartUs
    }

    /// How many segments players are told of.
    var count: Int { segments.count + gone.count }

    /// How long its segments are together.
    var seconds: Double {
        guard let first = segments.first, let last = segments.last else { return 0 }
        return Double(last.time + last.duration - first.time) / Double(entry.track.timescale)
    }

    /// Each of its segments can be decoded by itself (4.3.5.1).
    var isIndependent: Bool { if case .own = filling { segments.unsynced.isEmpty } else { true } }

    /// Leaves out the segments before one.
    mutating func begin(at number: Int64) {
        guard let old = segments.first, number > old.number else { return }
        entry.track.segments = segments.part(segments.partitioningIndex { $0.number >= number }..<segments.count)
        guard let first = segments.first else { return }
        gone.removeAll { $0.number < first.number }
        wallStartUs += Timeline.scaled(first.time - old.time, from: entry.track.timescale, to: 1_000_000)
    }

    /// How many of its last segments take that many seconds together; all where they are shorter.
    func count(inLast seconds: Double) -> Int {
        guard let last = segments.last else { return 0 }
        let start = last.time + last.duration - Int64((seconds * Double(entry.track.timescale)).rounded(.up))
        let before = segments.partitioningIndex { $0.time > start } + gone.partitioningIndex { $0.time > start }
        return min(count, count - before + 1)
    }

    // MARK: Holes

    /// Adds what goes on behind a hole.
    /// - Parameter longest: seconds that no segment takes more than.
    mutating func append(_ other: PlaylistSection, longest: Int) {
        guard let last = segments.last, let next = other.segments.first else { return }
        let count = next.number - last.number - 1
        let start = last.time + last.duration
        for place in 0..<count {
            let (time, end) = (start + (next.time - start) / count * place, start + (next.time - start) / count * (place + 1))
            let duration = (place == count - 1 ? next.time : end) - time
            gone.append(
                IndexedSegment(
                    number: last.number + 1 + place, time: time, duration: min(duration, Int64(longest) * entry.track.timescale)))
        }
        entry.track.segments.append(other.segments)
        (live, isOpen) = (other.live, other.isOpen)
    }

    /// Its segments but for some first ones in order, and whether each is there.
    func forEach(dropping first: Int, _ body: (IndexedSegment, _ isThere: Bool) -> Void) {
        var gone = gone[...]
        var passed = gone.isEmpty ? first : 0
        func tell(_ segment: IndexedSegment, isThere: Bool) {
            passed += 1
            if passed > first { body(segment, isThere) }
        }
        for segment in segments.dropFirst(passed) {
            while let missing = gone.first, missing.number < segment.number {
                tell(missing, isThere: false)
                gone.removeFirst()
            }
            tell(segment, isThere: true)
        }
    }
}

extension TimelinePeriod {
    /// No recording has more segments of a track: with so many it goes on as another one.
    private static let numberMax: Int64 = 200_000

    /// Whether another one is what follows behind a hole in this one, in every track.
    func isContinued(by other: TimelinePeriod) -> Bool {
        source == other.source && tracks.count == other.tracks.count
            && zip(tracks, other.tracks).allSatisfy { entry, next in
                guard let last = entry.track.segments.last, let first = next.track.segments.first else { return false }
                return entry.track.segmentPrefix == next.track.segmentPrefix && first.number > last.number
                    && first.number <= Self.numberMax && first.time >= last.time + last.duration
            }
    }
}
