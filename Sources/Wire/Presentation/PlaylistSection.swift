import Media

/// A stretch of a media playlist that needs no discontinuity: a period in one rendition.
///
/// What is gone from the middle of a period keeps its numbers and its time here, so that everything behind it keeps its own, in a list
/// that grows (RFC 8216 6.2.1) and beside the other rendition.
struct PlaylistSection: Sendable {
    /// What stands for a stretch of the line in one rendition.
    enum Filling {
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
    /// What was there, in order.
    private var gone: [Missing] = []
    /// Parts of its youngest segments.
    var live: [LiveEdge.Segment] = []
    /// It is being written.
    var isOpen = false

    init(filling: Filling, entry: TimelineTrack, source: String, node: String, wallStartUs: Int64) {
        (self.filling, self.entry, self.source, self.node) = (filling, entry, source, node)
        self.wallStartUs = wallStartUs
    }

    /// One of the segments that are gone, with its share of the time that is missing, and what stands for it.
    private struct Missing {
        var segment: IndexedSegment
        var filling: Filling
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
        gone.removeAll { $0.segment.number < first.number }
        wallStartUs += Timeline.scaled(first.time - old.time, from: entry.track.timescale, to: 1_000_000)
    }

    /// How many of its last segments take that many seconds together; all where they are shorter.
    func count(inLast seconds: Double) -> Int {
        guard let last = segments.last else { return 0 }
        let start = last.time + last.duration - Int64((seconds * Double(entry.track.timescale)).rounded(.up))
        let before = segments.partitioningIndex { $0.time > start } + gone.partitioningIndex { $0.segment.time > start }
        return min(count, count - before + 1)
    }

    // MARK: Holes

    /// Adds what goes on behind a hole.
    ///
    /// Players leave gaps out: where all renditions have one they stay together then, and where one alone lacks something they do with
    /// silence in its place.
    /// - Parameters:
    ///   - gap: when all renditions lack something, in this one's media time.
    ///   - longest: seconds that no segment takes more than.
    mutating func append(_ other: PlaylistSection, gap: Range<Int64>, longest: Int) {
        guard let last = segments.last, let next = other.segments.first else { return }
        let (count, start) = (next.number - last.number - 1, last.time + last.duration)
        let alone = Silence(beside: entry.track).map { Filling.silence($0) } ?? .gap
        for place in 0..<count {
            let time = start + (next.time - start) / count * place
            let end = place == count - 1 ? next.time : start + (next.time - start) / count * (place + 1)
            let duration = min(end - time, Int64(longest) * entry.track.timescale)
            gone.append(
                Missing(
                    segment: IndexedSegment(number: last.number + 1 + place, time: time, duration: duration),
                    filling: gap.contains(time + duration / 2) ? .gap : alone))
        }
        entry.track.segments.append(other.segments)
        (live, isOpen) = (other.live, other.isOpen)
    }

    /// Its segments but for some first ones in order, and what stands for each.
    func forEach(dropping first: Int, _ body: (IndexedSegment, Filling) -> Void) {
        var gone = gone[...]
        var passed = gone.isEmpty ? first : 0
        func tell(_ segment: IndexedSegment, _ filling: Filling) {
            passed += 1
            if passed > first { body(segment, filling) }
        }
        for segment in segments.dropFirst(passed) {
            while let missing = gone.first, missing.segment.number < segment.number {
                tell(missing.segment, missing.filling)
                gone.removeFirst()
            }
            tell(segment, filling)
        }
    }
}

extension Silence {
    /// What can stand between segments of a track, with its initialization; nil where nothing can.
    fileprivate init?(beside track: IndexedTrack) {
        guard track.kind == Timeline.Rendition.audio.rawValue else { return nil }
        self.init(codecs: track.codecs, sampleRate: track.sampleRate ?? Int(track.timescale), channels: track.channels ?? 2)
        if timescale != track.timescale { return nil }
    }
}

extension TimelinePeriod {
    /// No recording has more segments of a track: with so many it goes on as another one.
    private static let numberMax: Int64 = 200_000

    /// Whether another one is what follows behind a hole in this one, in every track.
    func isContinued(by other: TimelinePeriod) -> Bool {
        node == other.node && tracks.count == other.tracks.count
            && zip(tracks, other.tracks).allSatisfy { entry, next in
                guard let last = entry.track.segments.last, let first = next.track.segments.first else { return false }
                let (endTime, endNumber) = (last.time + last.duration, last.number + 1)
                return entry.track.segmentPrefix == next.track.segmentPrefix && first.number <= Self.numberMax
                    && (first.number == endNumber ? first.time == endTime : first.number > endNumber && first.time >= endTime)
            }
    }

    /// What the first track lacks between this period and the one that continues it, in the media time of another of that one's tracks.
    func hole(before other: TimelinePeriod, in entry: TimelineTrack) -> Range<Int64> {
        guard let lead = other.tracks.first, let next = lead.track.segments.first, let last = tracks.first?.track.segments.last
        else { return 0..<0 }
        let start = Timeline.instant(last.time + last.duration, of: lead, in: entry)
        return start..<max(start, Timeline.instant(next.time, of: lead, in: entry))
    }
}
