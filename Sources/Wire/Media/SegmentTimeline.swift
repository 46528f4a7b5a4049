extension MPD {
    /// The segments of a track in order, with their numbers, times and lengths in ticks (SegmentTimeline, ISO/IEC 23009-1 5.3.9.6).
    ///
    /// A month is more than a million of them, and in some recordings no two neighbours are equally long: of runs that follow each other
    /// only lengths are kept, eight bytes each, with number and time at every 64th.
    public struct SegmentTimeline: Equatable, Sendable {
        /// Equally long segments that follow each other.
        public struct Run: Equatable, Sendable {
            /// Number of the first one.
            public var number: Int64
            /// Its earliest presentation time.
            public var time: Int64
            /// Length of each.
            public var duration: Int64
            /// How many there are, one after the other; above 0.
            public var count: Int

            /// Segments from `time` on, each `duration` long.
            public init(number: Int64, time: Int64, duration: Int64, count: Int = 1) {
                (self.number, self.time, self.duration, self.count) = (number, time, duration, count)
            }

            /// Number of the segment that may follow.
            public var nextNumber: Int64 { number &+ Int64(count) }
            /// Where the last one ends.
            public var end: Int64 { time &+ duration &* Int64(count) }
        }

        /// A run that follows another.
        public struct Length: Equatable, Sendable {
            /// Of each segment; 32 bits are half a day at 90 kHz.
            public var duration: UInt32
            /// How many segments are that long; above 0.
            public var count: UInt32

            /// A run of equally long segments.
            public init(duration: UInt32, count: UInt32) { (self.duration, self.count) = (duration, count) }
        }

        /// Up to 64 lengths, so that no search has to walk along more.
        struct Block: Equatable, Sendable {
            var number: Int64
            var time: Int64
            /// How many segments are before it.
            var place: Int
            /// Its first length.
            var start: Int
            /// Whether it does not follow the block before it in number and time.
            var isBreak: Bool
        }

        static let blockLengths = 64

        private(set) var blocks: [Block] = []
        private(set) var lengths: [Length] = []
        private var nextNumber: Int64 = 0
        private var end: Int64 = 0
        /// How many segments there are.
        public private(set) var count = 0
        /// The longest duration; 0 without segments.
        public private(set) var longest: Int64 = 0

        /// No segments.
        public init() {}

        /// Runs in order of their numbers.
        public init(_ runs: some Sequence<Run>) {
            for run in runs { append(run) }
        }

        /// How many runs there are.
        public var runCount: Int { lengths.count }

        /// About how much memory it takes, in bytes.
        public var weight: Int {
            lengths.count * MemoryLayout<Length>.stride + blocks.count * MemoryLayout<Block>.stride
        }

        /// Makes room for runs to come.
        public mutating func reserve(runs: Int) {
            lengths.reserveCapacity(runs)
            blocks.reserveCapacity(runs / Self.blockLengths + 1)
        }

        /// Adds a run behind the last segment; to the last run where it goes on with it. Durations are kept within 32 bits.
        public mutating func append(_ run: Run) {
            guard run.count > 0 else { return }
            let length = Length(duration: UInt32(clamping: run.duration), count: UInt32(clamping: run.count))
            let isBreak = blocks.isEmpty || run.number != nextNumber || run.time != end
            if isBreak { (nextNumber, end) = (run.number, run.time) }
            if !isBreak, let last = lengths.last, last.duration == length.duration, last.count <= .max - length.count {
                lengths[lengths.count - 1].count += length.count
            } else {
                if isBreak || room == 0 { beginBlock(isBreak: isBreak) }
                lengths.append(length)
            }
            count(length)
        }

        /// Adds runs that follow each other; the same as one by one, but for millions of them.
        /// - Parameter more: no two neighbours are equally long.
        public mutating func append(number: Int64, time: Int64, _ more: UnsafeBufferPointer<Length>) {
            guard let first = more.first else { return }
            append(Run(number: number, time: time, duration: Int64(first.duration), count: Int(first.count)))
            var rest = more.dropFirst()
            while !rest.isEmpty {
                if room == 0 { beginBlock(isBreak: false) }
                let piece = UnsafeBufferPointer(rebasing: rest.prefix(room))
                lengths.append(contentsOf: piece)
                for length in piece { count(length) }
                rest = rest.dropFirst(piece.count)
            }
        }

        /// How many lengths the last block can still have.
        private var room: Int { Self.blockLengths - (lengths.count - (blocks.last?.start ?? 0)) }

        private mutating func beginBlock(isBreak: Bool) {
            blocks.append(Block(number: nextNumber, time: end, place: count, start: lengths.count, isBreak: isBreak))
        }

        @inline(__always)
        private mutating func count(_ length: Length) {
            count &+= Int(length.count)
            nextNumber &+= Int64(length.count)
            end &+= Int64(length.duration) &* Int64(length.count)
            longest = Swift.max(longest, Int64(length.duration))
        }
    }
}

extension MPD.SegmentTimeline: Sequence {
    /// All runs in order.
    public func makeIterator() -> Runs { Runs(self, block: 0) }

    /// Walks along the runs.
    public struct Runs: IteratorProtocol {
        private let timeline: MPD.SegmentTimeline
        private var block: Int
        private var length: Int
        private var following: (number: Int64, time: Int64) = (0, 0)
        /// How many segments are before the next run.
        fileprivate private(set) var place: Int

        fileprivate init(_ timeline: MPD.SegmentTimeline, block: Int) {
            self.timeline = timeline
            self.block = block
            (length, place) = (0, 0)
            if block < timeline.blocks.count { (length, place) = (timeline.blocks[block].start, timeline.blocks[block].place) }
        }

        /// The next run.
        public mutating func next() -> Run? {
            guard length < timeline.lengths.count else { return nil }
            if block < timeline.blocks.count, timeline.blocks[block].start == length {
                let begun = timeline.blocks[block]
                (following, place) = ((begun.number, begun.time), begun.place)
                block += 1
            }
            let found = timeline.lengths[length]
            let run = Run(
                number: following.number, time: following.time, duration: Int64(found.duration), count: Int(found.count))
            length += 1
            following = (run.nextNumber, run.end)
            place += run.count
            return run
        }
    }

    /// The runs from the one on that holds the segment at a place.
    private func runs(from place: Int) -> Runs {
        var runs = Runs(self, block: Swift.max(0, blocks.partitioningIndex { $0.place > place } - 1))
        while true {
            var after = runs
            guard after.next() != nil, after.place <= place else { return runs }
            runs = after
        }
    }

    /// The segment at a place below `count`, as a run of one.
    public subscript(place: Int) -> Run {
        let block = blocks[blocks.partitioningIndex { $0.place > place } - 1]
        var (number, time, index) = (block.number, block.time, block.start)
        var left = place - block.place
        while left >= Int(lengths[index].count) {
            number &+= Int64(lengths[index].count)
            time &+= Int64(lengths[index].duration) &* Int64(lengths[index].count)
            left -= Int(lengths[index].count)
            index += 1
        }
        let duration = Int64(lengths[index].duration)
        return Run(number: number &+ Int64(left), time: time &+ duration &* Int64(left), duration: duration)
    }

    /// The segments at some places.
    public func part(_ range: Range<Int>) -> MPD.SegmentTimeline {
        guard range != 0..<count else { return self }
        var result = MPD.SegmentTimeline()
        guard !range.isEmpty else { return result }
        var runs = runs(from: range.lowerBound)
        while runs.place < range.upperBound {
            let before = runs.place
            guard let run = runs.next() else { break }
            let first = Swift.max(0, range.lowerBound - before)
            let end = Swift.min(run.count, range.upperBound - before)
            result.append(
                Run(
                    number: run.number &+ Int64(first), time: run.time &+ Int64(first) &* run.duration, duration: run.duration,
                    count: end - first))
        }
        return result
    }

    /// Places at which a segment does not follow the one before it in number and time, with 0.
    public var breaks: [Int] { blocks.filter(\.isBreak).map(\.place) }
}

extension RandomAccessCollection where Index == Int {
    /// The first index of which `holds`, which must hold for all behind it.
    package func partitioningIndex(where holds: (Element) -> Bool) -> Int {
        var (low, high) = (startIndex, endIndex)
        while low < high {
            let middle = low + (high - low) / 2
            if holds(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
