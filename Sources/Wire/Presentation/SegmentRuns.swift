import Media

/// The segments of a track, kept as runs of equal length: a month is more than a million segments, and most are alike.
public struct SegmentRuns: RandomAccessCollection, Sendable, Equatable {
    /// Segments that follow each other in number and time and are equally long; times in the track's timescale.
    public typealias Run = MPD.SegmentTimeline.Run
    /// One of them without number and time.
    public typealias Length = MPD.SegmentTimeline.Length

    /// Numbers, times and lengths, as a manifest has them.
    public private(set) var timeline = MPD.SegmentTimeline()
    /// Numbers of those that do not begin with a sync sample, in order: most recordings have none.
    public private(set) var unsynced: [Int64] = []

    /// No segments.
    public init() {}

    /// Segments in order of their numbers.
    public init(_ segments: some Sequence<IndexedSegment>) {
        for segment in segments { append(segment) }
    }

    /// 0.
    public var startIndex: Int { 0 }
    /// How many segments there are.
    public var endIndex: Int { timeline.count }
    /// How many segments there are.
    public var count: Int { timeline.count }

    /// The segment at a place; finds its block by halving and walks at most 64 lengths.
    public subscript(position: Int) -> IndexedSegment {
        let run = timeline[position]
        return IndexedSegment(
            number: run.number, time: run.time, duration: run.duration,
            startsWithSync: unsynced.isEmpty || !isUnsynced(run.number))
    }

    private func isUnsynced(_ number: Int64) -> Bool {
        let place = unsynced.partitioningIndex { $0 >= number }
        return place < unsynced.count && unsynced[place] == number
    }

    /// Adds a segment behind the last.
    public mutating func append(_ segment: IndexedSegment) {
        timeline.append(Run(number: segment.number, time: segment.time, duration: segment.duration))
        if !segment.startsWithSync { unsynced.append(segment.number) }
    }

    /// Adds other segments behind the last.
    public mutating func append(_ segments: SegmentRuns) {
        for run in segments.timeline { timeline.append(run) }
        noteUnsynced(segments.unsynced)
    }

    /// Adds a run of segments that begin with sync samples behind the last segment, to the last run when it goes on with it.
    public mutating func append(_ run: Run) { timeline.append(run) }

    /// Adds runs that follow each other.
    /// - Parameter lengths: no two neighbours are equally long.
    public mutating func append(number: Int64, time: Int64, _ lengths: UnsafeBufferPointer<Length>) {
        timeline.append(number: number, time: time, lengths)
    }

    /// About how much memory it takes, in bytes.
    public var weight: Int { timeline.weight + unsynced.count * MemoryLayout<Int64>.stride }

    /// Makes room for runs to come.
    public mutating func reserveRuns(_ runs: Int) { timeline.reserve(runs: runs) }

    /// Notes of segments that are there already that they do not begin with a sync sample; numbers in order, each above those noted before.
    public mutating func noteUnsynced(_ numbers: some Sequence<Int64>) {
        for number in numbers where number > unsynced.last ?? 0 { unsynced.append(number) }
    }

    /// The first place from `index` on, or with `index` itself, where decoding can begin; nil when there is none.
    public func firstSync(from index: Int) -> Int? {
        guard !unsynced.isEmpty else { return index < count ? index : nil }
        return indices[Swift.min(index, count)...].first { self[$0].startsWithSync }
    }

    /// The last place up to and with `index` where decoding can begin; nil when there is none.
    public func lastSync(upTo index: Int) -> Int? {
        guard !unsynced.isEmpty else { return index < count ? index : nil }
        return indices.prefix(index + 1).last { self[$0].startsWithSync }
    }

    /// The segments at some places.
    public func part(_ range: Range<Int>) -> SegmentRuns {
        guard range != 0..<count else { return self }
        var result = SegmentRuns()
        result.timeline = timeline.part(range)
        if !unsynced.isEmpty, let first = result.first?.number, let last = result.last?.number {
            // In a damaged index numbers may go back.
            result.unsynced = unsynced.filter { $0 >= first && $0 <= last }
        }
        return result
    }

    /// The segments that end after `start` and begin before `end`.
    public func touching(_ start: Int64, _ end: Int64) -> SegmentRuns {
        let first = partitioningIndex { $0.time &+ $0.duration > start }
        let last = partitioningIndex { $0.time >= end }
        return part(first..<Swift.max(first, last))
    }

    /// Parts in which each segment follows its forerunner in number and in time.
    public var unbroken: [SegmentRuns] {
        let breaks = timeline.breaks
        guard breaks.count > 1 else { return isEmpty ? [] : [self] }
        return zip(breaks, breaks.dropFirst() + [count]).map { part($0..<$1) }
    }

    /// The longest duration; 0 without segments.
    public var longest: Int64 { timeline.longest }
}

extension SegmentRuns: ExpressibleByArrayLiteral {
    /// Segments in order of their numbers.
    public init(arrayLiteral elements: IndexedSegment...) { self.init(elements) }
}
