/// Writes VP8 as WebM into memory: the head of a live file, then Clusters that are whole in themselves (RFC 8794, RFC 9559).
///
/// Written by hand because libavformat's muxer decides by itself where a Cluster ends. Times are in milliseconds, as WebM asks for; a
/// sample's decoding time must be the sum of all durations before it. Not thread-safe; belongs to the thread that feeds it.
public final class ClusterWriter: SampleWriter {
    /// EBML header, Segment of unknown size, Info and Tracks.
    public let initSegment: [UInt8]
    /// What is written.
    public let format: TrackFormat

    private var pending: [Sample] = []
    private var nextTime: Int64?

    /// Throws `unsupported` for what is not VP8.
    public init(format: TrackFormat) throws(FragmentWriterError) {
        guard case .vp8(let video) = format else { throw .unsupported }
        self.format = format
        initSegment = Self.head(video)
    }

    /// Adds a sample; throws `discontinuous` when it does not start where the one before it ended.
    public func append(_ sample: Sample) throws(FragmentWriterError) {
        let expected = nextTime ?? sample.time
        guard sample.time == expected, sample.duration > 0, sample.time >= 0 else {
            throw .discontinuous(expected: expected, got: sample.time)
        }
        guard sample.compositionOffset == 0 else { throw .unsupported }
        nextTime = sample.time + sample.duration
        pending.append(sample)
    }

    /// Ends the open Cluster and returns it; nil when no sample is in it.
    public func finish(beginsSegment: Bool) -> Fragment? {
        guard let first = pending.first, let nextTime else { return nil }
        defer { pending = [] }
        var out: [UInt8] = []
        var rest = pending[...]
        while let first = rest.first {
            // Times in a Cluster are 16 bits with a sign.
            let start = Self.milliseconds(first.time)
            let part = rest.prefix { Self.milliseconds($0.time) - start < 30_000 }
            rest = rest.dropFirst(part.count)
            out += Self.cluster(part, start: start)
        }
        return Fragment(
            head: out, media: [], time: first.time, duration: nextTime - first.time, startsWithSync: first.isSync)
    }

    /// Rounded, so that errors do not add up.
    static func milliseconds(_ ticks: Int64) -> Int64 { (ticks + 45) / 90 }

    // MARK: Elements

    private static func head(_ video: VP8Format) -> [UInt8] {
        let header = EBML.element(
            0x1A45_DFA3,
            EBML.element(0x4286, 1) + EBML.element(0x42F7, 1) + EBML.element(0x42F2, 4) + EBML.element(0x42F3, 8)
                + EBML.element(0x4282, Array("webm".utf8)) + EBML.element(0x4287, 4) + EBML.element(0x4285, 2))
        let info = EBML.element(
            0x1549_A966,
            EBML.element(0x2AD7B1, 1_000_000) + EBML.element(0x4D80, Array("Tributary".utf8))
                + EBML.element(0x5741, Array("Tributary".utf8)))
        let size = EBML.element(0xE0, EBML.element(0xB0, UInt64(video.width)) + EBML.element(0xBA, UInt64(video.height)))
        let entry = EBML.element(
            0xAE,
            EBML.element(0xD7, 1) + EBML.element(0x73C5, 1) + EBML.element(0x83, 1) + EBML.element(0x9C, 0)
                + EBML.element(0x86, Array("V_VP8".utf8)) + size)
        let unknownSize: [UInt8] = [0x01] + [UInt8](repeating: 0xFF, count: 7)
        return header + EBML.identifier(0x1853_8067) + unknownSize + info + EBML.element(0x1654_AE6B, entry)
    }

    /// All blocks but the last are simple ones; the last says how long it lasts, because none in its Cluster follows.
    private static func cluster(_ samples: ArraySlice<Sample>, start: Int64) -> [UInt8] {
        var content = EBML.element(0xE7, UInt64(start))
        for (index, sample) in samples.enumerated() {
            let time = UInt64(milliseconds(sample.time) - start)
            let place: [UInt8] = [0x81, UInt8(truncatingIfNeeded: time >> 8), UInt8(truncatingIfNeeded: time)]
            guard index == samples.count - 1 else {
                content += EBML.element(0xA3, place + [sample.isSync ? 0x80 : 0] + sample.data)
                continue
            }
            let duration = milliseconds(sample.time + sample.duration) - milliseconds(sample.time)
            // What refers to no other block is a key frame.
            let reference = sample.isSync ? [] : EBML.element(0xFB, [0xFF])
            content += EBML.element(
                0xA0, EBML.element(0xA1, place + [0] + sample.data) + EBML.element(0x9B, UInt64(max(0, duration))) + reference)
        }
        return EBML.element(0x1F43_B675, content)
    }
}

/// Elements of EBML (RFC 8794).
enum EBML {
    static func identifier(_ id: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: id >> $0) }.drop { $0 == 0 }.map(\.self)
    }

    static func element(_ id: UInt32, _ content: [UInt8]) -> [UInt8] {
        // Eight-byte sizes hold everything.
        let size = UInt64(content.count) | 1 << 56
        return identifier(id) + stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: size >> UInt64($0)) }
            + content
    }

    static func element(_ id: UInt32, _ value: UInt64) -> [UInt8] {
        let bytes = stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> UInt64($0)) }.drop { $0 == 0 }
        return element(id, bytes.isEmpty ? [0] : Array(bytes))
    }

    /// An element's place in a byte array.
    struct Element {
        let id: UInt32
        let body: Int
        let end: Int

        /// Nil when there is no whole element of known size at `position`.
        init?(_ bytes: [UInt8], at position: Int, end limit: Int) {
            guard position >= 0, position < limit, limit <= bytes.count else { return nil }
            let idBytes = bytes[position].leadingZeroBitCount + 1
            guard idBytes <= 4, position + idBytes < limit else { return nil }
            id = bytes[position..<position + idBytes].reduce(0) { $0 << 8 | UInt32($1) }
            let sizeBytes = bytes[position + idBytes].leadingZeroBitCount + 1
            guard sizeBytes <= 8, position + idBytes + sizeBytes <= limit else { return nil }
            let first = position + idBytes
            body = first + sizeBytes
            let coded = bytes[first..<body].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let size = coded & ((1 << UInt64(7 * sizeBytes)) - 1)
            guard size <= UInt64(limit - body) else { return nil }
            end = body + Int(size)
        }

        /// An unsigned integer of at most eight bytes (7.2).
        func integer(_ bytes: [UInt8]) -> UInt64? {
            guard end - body <= 8 else { return nil }
            return bytes[body..<end].reduce(0) { $0 << 8 | UInt64($1) }
        }
    }
}

extension FragmentScanner {
    /// Reads a WebM segment as `ClusterWriter` makes it: each Cluster counts as a fragment, times in ticks of 90 kHz.
    static func clusters(_ segment: [UInt8]) -> (fragments: [FragmentSummary], wholeBytes: Int) {
        var found: [FragmentSummary] = []
        var position = 0
        while let cluster = EBML.Element(segment, at: position, end: segment.count), cluster.id == 0x1F43_B675,
            let summary = summary(segment, cluster, from: position)
        {
            found.append(summary)
            position = cluster.end
        }
        return (found, position)
    }

    private static func summary(_ bytes: [UInt8], _ cluster: EBML.Element, from start: Int) -> FragmentSummary? {
        var position = cluster.body
        var time: Int64?
        var blocks: [(at: Int64, isSync: Bool)] = []
        var lastDuration: Int64 = 0
        while let element = EBML.Element(bytes, at: position, end: cluster.end) {
            position = element.end
            switch element.id {
            case 0xE7: time = element.integer(bytes).flatMap(Int64.init(exactly:))
            case 0xA3:
                guard let place = place(bytes, element) else { return nil }
                blocks.append((place, bytes[element.body + 3] & 0x80 != 0))
            case 0xA0:
                guard let block = EBML.Element(bytes, at: element.body, end: element.end), block.id == 0xA1,
                    let place = place(bytes, block), let length = EBML.Element(bytes, at: block.end, end: element.end),
                    length.id == 0x9B, let duration = length.integer(bytes).flatMap(Int64.init(exactly:))
                else { return nil }
                blocks.append((place, length.end == element.end))
                lastDuration = duration
            default: break
            }
        }
        guard position == cluster.end, let time, (0...1 << 46).contains(time), let first = blocks.first, let last = blocks.last,
            (0...1 << 32).contains(lastDuration), last.at >= first.at
        else { return nil }
        return FragmentSummary(
            offset: start, bytes: cluster.end - start, time: (time + first.at) * 90,
            duration: (last.at - first.at + lastDuration) * 90,
            samples: blocks.count, startsWithSync: first.isSync)
    }

    /// A block's time in its Cluster; nil when it is too short to have one, or lies before it.
    private static func place(_ bytes: [UInt8], _ block: EBML.Element) -> Int64? {
        guard block.end - block.body > 4, bytes[block.body] == 0x81 else { return nil }
        let place = Int16(bitPattern: UInt16(bytes[block.body + 1]) << 8 | UInt16(bytes[block.body + 2]))
        return place >= 0 ? Int64(place) : nil
    }
}
