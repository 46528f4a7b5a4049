import Media

/// The segments of a track, kept as runs of equal length: a month is more than a million segments, and most are alike.
public struct SegmentRuns: RandomAccessCollection, Sendable, Equatable {
    /// Segments that follow each other in number and time and are equally long; times in the track's timescale. The same as a manifest
    /// has them, so that a month of them need not be copied.
    public typealias Run = MPD.TimelineEntry

    /// In order.
    public private(set) var runs: [Run] = []
    /// Place of the first segment of each run.
    private var places: [UInt32] = []
    /// How many segments there are.
    public private(set) var count = 0
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
    /// `count`.
    public var endIndex: Int { count }

    /// The segment at a place; finds its run by halving.
    public subscript(position: Int) -> IndexedSegment {
        let index = places.partitioningIndex { $0 > UInt32(clamping: position) } - 1
        let run = runs[index]
        let offset = Int64(position - Int(places[index]))
        return IndexedSegment(
            number: run.number + offset, time: run.time + offset * run.duration, duration: run.duration,
            startsWithSync: unsynced.isEmpty || !isUnsynced(run.number + offset))
    }

    private func isUnsynced(_ number: Int64) -> Bool {
        let place = unsynced.partitioningIndex { $0 >= number }
        return place < unsynced.count && unsynced[place] == number
    }

    /// Adds a segment behind the last.
    public mutating func append(_ segment: IndexedSegment) {
        append(Run(number: segment.number, time: segment.time, duration: segment.duration, count: 1))
        if !segment.startsWithSync { unsynced.append(segment.number) }
    }

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

    /// Adds a run of segments that begin with sync samples behind the last segment, to the last run when it goes on with it.
    public mutating func append(_ run: Run) {
        guard run.count > 0 else { return }
        if let last = runs.last, last.duration == run.duration, last.nextNumber == run.number, last.end == run.time {
            runs[runs.count - 1].count += run.count
        } else {
            runs.append(run)
            places.append(UInt32(clamping: count))
        }
        count += run.count
    }

    /// Adds runs that follow each other; the same as adding one by one, but for millions of them.
    public mutating func append(contentsOf more: UnsafeBufferPointer<Run>) {
        guard let first = more.first else { return }
        append(first)
        var isPlain = true
        for index in more.indices.dropFirst() where more[index].count < 1 || more[index].duration == more[index - 1].duration {
            isPlain = false
        }
        guard isPlain else {
            for run in more.dropFirst() { append(run) }
            return
        }
        let rest = more.dropFirst()
        runs.append(contentsOf: rest)
        for run in rest {
            places.append(UInt32(clamping: count))
            count += run.count
        }
    }

    /// Makes room for runs to come.
    public mutating func reserveRuns(_ runs: Int) {
        self.runs.reserveCapacity(runs)
        places.reserveCapacity(runs)
    }

    /// The segments at some places.
    public func part(_ range: Range<Int>) -> SegmentRuns {
        guard range != 0..<count else { return self }
        var result = SegmentRuns()
        guard !range.isEmpty else { return result }
        var index = places.partitioningIndex { $0 > UInt32(clamping: range.lowerBound) } - 1
        while index < runs.count, places[index] < UInt32(clamping: range.upperBound) {
            let run = runs[index]
            let first = Swift.max(0, range.lowerBound - Int(places[index]))
            let end = Swift.min(run.count, range.upperBound - Int(places[index]))
            result.append(
                Run(
                    number: run.number + Int64(first), time: run.time + Int64(first) * run.duration, duration: run.duration,
                    count: end - first))
            index += 1
        }
        if !unsynced.isEmpty, let first = result.runs.first?.number, let next = result.runs.last?.nextNumber {
            result.unsynced = unsynced.filter { $0 >= first && $0 < next }
        }
        return result
    }

    /// The segments that end after `start` and begin before `end`.
    public func touching(_ start: Int64, _ end: Int64) -> SegmentRuns {
        let first = partitioningIndex { $0.time + $0.duration > start }
        let last = partitioningIndex { $0.time >= end }
        return part(first..<Swift.max(first, last))
    }

    /// Parts in which each segment follows its forerunner in number and in time.
    public var unbroken: [SegmentRuns] {
        var starts: [Int] = []
        for index in runs.indices {
            if index > 0, runs[index - 1].nextNumber == runs[index].number, runs[index - 1].end == runs[index].time { continue }
            starts.append(Int(places[index]))
        }
        guard starts.count > 1 else { return isEmpty ? [] : [self] }
        return zip(starts, starts.dropFirst() + [count]).map { part($0..<$1) }
    }

    /// The longest duration; 0 without segments.
    public var longest: Int64 { runs.reduce(0) { Swift.max($0, $1.duration) } }
}

extension SegmentRuns: ExpressibleByArrayLiteral {
    /// Segments in order of their numbers.
    public init(arrayLiteral elements: IndexedSegment...) { self.init(elements) }
}

extension RandomAccessCollection where Index == Int {
    /// The first index of which `holds`, which must hold for all behind it.
    func partitioningIndex(where holds: (Element) -> Bool) -> Int {
        var (low, high) = (startIndex, endIndex)
        while low < high {
            let middle = low + (high - low) / 2
            if holds(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
