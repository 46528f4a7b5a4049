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
        var (number, time) = (number, time)
        var values: (duration: Int64, count: Int64) = (0, 0)
        var isCount = false
        func finish(_ segments: inout SegmentRuns) {
            let count = isCount ? values.count : 1
            guard values.duration > 0, count > 0, count <= segmentsMax, values.duration <= UInt32.max else { return }
            segments.append(SegmentRuns.Run(number: number, time: time, duration: values.duration, count: Int(count)))
            number &+= count
            time &+= values.duration &* count
        }
        for byte in durations {
            switch byte {
            case 0x30...0x39 where isCount: values.count = values.count &* 10 &+ Int64(byte & 15)
            case 0x30...0x39: values.duration = values.duration &* 10 &+ Int64(byte & 15)
            case 0x2A: isCount = true
            case 0x20:
                finish(&segments)
                (values, isCount) = ((0, 0), false)
            default: return
            }
        }
        finish(&segments)
    }

    /// The numbers of a row's segments that do not begin with a sync sample.
    static func unsynced(in text: UnsafeBufferPointer<UInt8>) -> [Int64] {
        text.split(separator: 0x20).compactMap { Int64(String(decoding: $0, as: UTF8.self)) }
    }
}
