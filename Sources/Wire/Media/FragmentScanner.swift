/// One fragment found in a segment: `moof` and its `mdat`.
public struct FragmentSummary: Equatable, Sendable {
    /// Where the `moof` starts in the segment.
    public let offset: Int
    /// Bytes of `moof` and `mdat`.
    public let bytes: Int
    /// Decoding time of the first sample (`tfdt`), in the track's timescale.
    public let time: Int64
    /// Sum of the sample durations, in the track's timescale.
    public let duration: Int64
    /// Number of samples.
    public let samples: Int
    /// The first sample is a sync sample.
    public let startsWithSync: Bool
}

/// Reads a segment, CMAF or WebM, as far as it is whole, such as one that a killed process left behind (ISO/IEC 14496-12 8.8).
public struct FragmentScanner: Sendable {
    /// The whole fragments, in order.
    public let fragments: [FragmentSummary]
    /// Bytes from the start that belong to whole boxes and whole fragments; what follows is torn.
    public let wholeBytes: Int

    /// Never fails: bytes that are no boxes end the scan.
    public init(_ segment: [UInt8]) {
        if segment.starts(with: [0x1F, 0x43, 0xB6, 0x75]) {
            (fragments, wholeBytes) = Self.clusters(segment)
            return
        }
        var found: [FragmentSummary] = []
        var whole = 0
        var position = 0
        var moof: Box?
        while let box = Box(segment, at: position, end: segment.count) {
            position = box.end
            switch box.type {
            case "moof":
                moof = box
            case "mdat":
                guard let head = moof, let summary = Self.summary(segment, moof: head, mdat: box) else { break }
                found.append(summary)
                whole = box.end
                moof = nil
            default:
                if moof == nil { whole = box.end }
            }
        }
        fragments = found
        wholeBytes = whole
    }

    /// First decoding time and sum of durations of all whole fragments; nil without a fragment.
    public var extent: (time: Int64, duration: Int64)? {
        guard let first = fragments.first, let last = fragments.last else { return nil }
        let (end, overflow) = last.time.addingReportingOverflow(last.duration)
        return overflow || end < first.time ? nil : (first.time, end - first.time)
    }

    private static func summary(_ bytes: [UInt8], moof: Box, mdat: Box) -> FragmentSummary? {
        guard let traf = moof.child("traf", bytes), let tfhd = traf.child("tfhd", bytes), let tfdt = traf.child("tfdt", bytes),
            let trun = traf.child("trun", bytes)
        else { return nil }
        let defaults = Defaults(bytes, tfhd)
        let version = bytes[tfdt.body]
        guard
            let time = version == 1
                ? bytes.integer(8, at: tfdt.body + 4, end: tfdt.end) : bytes.integer(4, at: tfdt.body + 4, end: tfdt.end),
            let run = Run(bytes, trun, defaults), run.payload <= mdat.end - mdat.body
        else { return nil }
        return FragmentSummary(
            offset: moof.start, bytes: mdat.end - moof.start, time: time, duration: run.duration, samples: run.count,
            startsWithSync: run.firstFlags & 0x0001_0000 == 0)
    }

    /// tfhd's defaults (8.8.7).
    private struct Defaults {
        var duration: Int64 = 0
        var size: Int64 = 0
        var flags: Int64 = 0

        init(_ bytes: [UInt8], _ box: Box) {
            let present = bytes.integer(4, at: box.body, end: box.end) ?? 0
            var position = box.body + 8
            for (mask, width) in [(0x01, 8), (0x02, 4), (0x08, 4), (0x10, 4), (0x20, 4)] where present & Int64(mask) != 0 {
                let value = bytes.integer(width, at: position, end: box.end) ?? 0
                position += width
                switch mask {
                case 0x08: duration = value
                case 0x10: size = value
                case 0x20: flags = value
                default: break
                }
            }
        }
    }

    /// trun's sums (8.8.8).
    private struct Run {
        var count = 0
        var duration: Int64 = 0
        var payload: Int64 = 0
        var firstFlags: Int64 = 0

        init?(_ bytes: [UInt8], _ box: Box, _ defaults: Defaults) {
            guard let present = bytes.integer(4, at: box.body, end: box.end),
                let declared = bytes.integer(4, at: box.body + 4, end: box.end)
            else { return nil }
            var position = box.body + 8 + (present & 0x01 != 0 ? 4 : 0)
            firstFlags = defaults.flags
            if present & 0x04 != 0 {
                firstFlags = bytes.integer(4, at: position, end: box.end) ?? 0
                position += 4
            }
            let fields = [0x100, 0x200, 0x400, 0x800].filter { present & Int64($0) != 0 }
            guard declared > 0, Int64(max(0, box.end - position)) >= declared * Int64(4 * fields.count), declared < 1 << 24 else {
                return nil
            }
            count = Int(declared)
            if !fields.contains(0x100) { duration = defaults.duration &* declared }
            if !fields.contains(0x200) { payload = defaults.size &* declared }
            for index in 0..<count {
                for field in fields {
                    guard let value = bytes.integer(4, at: position, end: box.end) else { return nil }
                    position += 4
                    switch field {
                    case 0x100: duration += value
                    case 0x200: payload += value
                    case 0x400 where index == 0: firstFlags = value
                    default: break
                    }
                }
            }
        }
    }
}

/// A box's place in a byte array (ISO/IEC 14496-12 4.2).
package struct Box {
    package let type: String
    package let start: Int
    package let body: Int
    package let end: Int

    /// Nil when there is no whole box at `position`.
    package init?(_ bytes: [UInt8], at position: Int, end limit: Int) {
        guard let short = bytes.integer(4, at: position, end: limit), limit - position >= 8 else { return nil }
        var size = short
        var header = 8
        if short == 1 {
            guard let long = bytes.integer(8, at: position + 8, end: limit) else { return nil }
            size = long
            header = 16
        }
        guard size >= Int64(header), size <= Int64(limit - position) else { return nil }
        type = String(decoding: bytes[position + 4..<position + 8], as: UTF8.self)
        start = position
        body = position + header
        end = position + Int(size)
    }

    package func child(_ type: String, _ bytes: [UInt8]) -> Box? {
        var position = body
        while let box = Box(bytes, at: position, end: end) {
            if box.type == type { return box.end - box.body >= 4 ? box : nil }
            position = box.end
        }
        return nil
    }
}

extension [UInt8] {
    /// A big-endian integer of `width` bytes, nil when it would pass `end` or not fit.
    package func integer(_ width: Int, at position: Int, end: Int) -> Int64? {
        guard position >= 0, end <= count, position <= end - width else { return nil }
        var value: UInt64 = 0
        for index in position..<position + width { value = value << 8 | UInt64(self[index]) }
        return Int64(exactly: value)
    }
}
