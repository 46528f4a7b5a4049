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
        for var run in segments.timeline {
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
    static func read(number: Int64, time: Int64, durations: UnsafeRawBufferPointer, into segments: inout SegmentRuns) {
        withUnsafeTemporaryAllocation(of: SegmentRuns.Length.self, capacity: Int(segmentsMax)) { lengths in
            var row = Row(lengths: lengths)
            row.read(durations)
            segments.append(number: number, time: time, UnsafeBufferPointer(rebasing: lengths[..<row.count]))
        }
    }

    /// A row while it is being read.
    private struct Row {
        let lengths: UnsafeMutableBufferPointer<SegmentRuns.Length>
        var count = 0
        var segmentsRead: Int64 = 0

        mutating func read(_ bytes: UnsafeRawBufferPointer) {
            var values: (duration: Int64, count: Int64) = (0, 1)
            var isCount = false
            var offset = 0
            while offset < bytes.count {
                // The common case first: a number at once, and of one segment.
                if values.duration == 0, let short = Decimal.readShort(bytes, at: offset) {
                    offset += short.digits
                    if offset < bytes.count, bytes[offset] == 0x20 {
                        guard add(Int64(short.value), 1) else { return }
                        offset += 1
                    } else {
                        values.duration = Int64(short.value)
                    }
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
            segmentsRead += segments
            guard segmentsRead <= segmentsMax else { return false }
            let length = SegmentRuns.Length(duration: UInt32(duration), count: UInt32(segments))
            if count > 0, lengths[count - 1].duration == length.duration {
                lengths[count - 1].count += length.count
            } else {
                guard count < lengths.count else { return false }
                lengths.initializeElement(at: count, to: length)
                count += 1
            }
            return true
        }
    }

    /// The numbers of a row's segments that do not begin with a sync sample.
    static func unsynced(in text: UnsafeBufferPointer<UInt8>) -> [Int64] {
        text.split(separator: 0x20).compactMap { Int64(String(decoding: $0, as: UTF8.self)) }
    }
}

/// Rows of one track as the database gave them: copied as they are, which is the least that can be done while others wait for it.
struct SpanRows: Sendable {
    private struct Row {
        let number: Int64
        let time: Int64
        /// Where its text ends; it begins where the one before ends.
        let end: Int
    }

    private var rows: [Row] = []
    private var durations: [UInt8] = []
    private var unsynced: [Int64] = []

    /// Adds a row of `number, t, durations, unsynced`; rows come in order of their numbers.
    mutating func append(_ row: any SQLRow) {
        row.withText(2) { durations += $0 }
        rows.append(Row(number: row.integer(0), time: row.integer(1), end: durations.count))
        row.withText(3) { if !$0.isEmpty { unsynced += SegmentSpan.unsynced(in: $0) } }
    }

    /// What stands in them.
    var segments: SegmentRuns {
        var segments = SegmentRuns()
        // A duration of a second or more takes five digits, and a space.
        segments.reserveRuns(durations.count / 6)
        durations.withUnsafeBytes { bytes in
            var start = 0
            for row in rows {
                let text = UnsafeRawBufferPointer(rebasing: bytes[start..<row.end])
                SegmentSpan.read(number: row.number, time: row.time, durations: text, into: &segments)
                start = row.end
            }
        }
        segments.noteUnsynced(unsynced)
        return segments
    }
}
