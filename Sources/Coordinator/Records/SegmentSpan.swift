import Media
import Presentation

/// Up to 512 segments without a break as one row: a row for each would take a second to read for a month.
///
/// Numbers of those that do not begin with a sync sample are listed beside, which are few or none.
/// Durations stand as text, `360000*200 359970`: SQL itself could make them of the rows of an older file.
struct SegmentSpan {
    static let segmentsMax: Int64 = 512

    var number: Int64
    var time: Int64
    var end: Int64
    var count: Int
    var durations: String
    var unsynced = ""

    /// The rows for segments; a row begins where numbers or times break, and at each multiple of 512.
    static func spans(of segments: SegmentRuns) -> [SegmentSpan] {
        var spans: [SegmentSpan] = []
        for var run in segments.runs {
            while run.count > 0 {
                let room = Int(segmentsMax - run.number % segmentsMax)
                let count = min(room, run.count)
                let text = count == 1 ? "\(run.duration)" : "\(run.duration)*\(count)"
                let end = run.time + run.duration * Int64(count)
                if let last = spans.last, last.number + Int64(last.count) == run.number, last.end == run.time,
                    run.number % segmentsMax != 0
                {
                    spans[spans.count - 1].count += count
                    spans[spans.count - 1].end = end
                    spans[spans.count - 1].durations += " " + text
                } else {
                    spans.append(SegmentSpan(number: run.number, time: run.time, end: end, count: count, durations: text))
                }
                run = SegmentRuns.Run(
                    number: run.number + Int64(count), time: end, duration: run.duration, count: run.count - count)
            }
        }
        for number in segments.unsynced {
            guard let place = spans.lastIndex(where: { $0.number <= number }) else { continue }
            spans[place].unsynced += (spans[place].unsynced.isEmpty ? "" : " ") + String(number)
        }
        return spans
    }

    /// Adds what a row holds to `segments`. What is no number ends it: the file is ours, but may be damaged.
    static func read(number: Int64, time: Int64, durations: UnsafeBufferPointer<UInt8>, into segments: inout SegmentRuns) {
        withUnsafeTemporaryAllocation(of: SegmentRuns.Run.self, capacity: Int(segmentsMax)) { runs in
            var row = Row(number: number, time: time, runs: runs)
            row.read(UnsafeRawBufferPointer(durations))
            segments.append(contentsOf: UnsafeBufferPointer(rebasing: runs[..<row.count]))
        }
    }

    /// A row while it is being read.
    private struct Row {
        var number: Int64
        var time: Int64
        let runs: UnsafeMutableBufferPointer<SegmentRuns.Run>
        var count = 0

        mutating func read(_ bytes: UnsafeRawBufferPointer) {
            var values: (duration: Int64, count: Int64) = (0, 1)
            var isCount = false
            var offset = 0
            while offset < bytes.count {
                // The common case first: a number at once.
                if values.duration == 0, let short = Decimal.readShort(bytes, at: offset) {
                    values.duration = Int64(short.value)
                    offset += short.digits
                    continue
                }
                let byte = bytes[offset]
                offset += 1
                switch byte {
                case 0x20:
                    guard add(values.duration, values.count) else { return }
                    (values, isCount) = ((0, 1), false)
                case 0x30...0x39 where isCount: values.count = values.count &* 10 &+ Int64(byte & 15)
                case 0x30...0x39: values.duration = values.duration &* 10 &+ Int64(byte & 15)
                case 0x2A: (values.count, isCount) = (0, true)
                default: return
                }
            }
            _ = add(values.duration, values.count)
        }

        /// - Returns: false when a row can't hold more.
        private mutating func add(_ duration: Int64, _ segments: Int64) -> Bool {
            guard duration > 0, segments > 0, segments <= segmentsMax, duration <= UInt32.max else { return true }
            guard count < runs.count else { return false }
            let run = SegmentRuns.Run(number: number, time: time, duration: duration, count: Int(segments))
            runs.initializeElement(at: count, to: run)
            count += 1
            number &+= segments
            time &+= duration &* segments
            return true
        }
    }

    /// The numbers of a row's segments that do not begin with a sync sample.
    static func unsynced(in text: UnsafeBufferPointer<UInt8>) -> [Int64] {
        text.split(separator: 0x20).compactMap { Int64(String(decoding: $0, as: UTF8.self)) }
    }
}
