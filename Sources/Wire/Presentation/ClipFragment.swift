import Media

/// One fragment of a track, `moof` and `mdat`, taken apart into samples (ISO/IEC 14496-12 8.8).
public struct ClipFragment: Equatable, Sendable {
    /// One sample; times in the track's timescale.
    public struct Sample: Equatable, Sendable {
        /// Decoding time.
        public var time: Int64
        /// Until the next sample is decoded.
        public var duration: Int64
        /// Presentation minus decoding time; may be below 0.
        public var compositionOffset: Int64
        /// `sample_flags` (8.8.3.1).
        public var flags: UInt32
        /// Where its bytes are in `payload`.
        public var range: Range<Int>

        /// When it is shown.
        public var presentationTime: Int64 { time + compositionOffset }
        /// A decoder can start here.
        public var isSync: Bool { flags & 0x1_0000 == 0 }
    }

    /// In decoding order; never empty.
    public let samples: [Sample]
    /// The samples' bytes.
    public let payload: [UInt8]

    /// Reads a whole `moof` and the content of the `mdat` behind it. Any bytes may come in.
    init(moof bytes: [UInt8], payload: [UInt8], mdatHeader: Int, defaults: SampleDefaults) throws(ClipError) {
        guard let moof = Box(bytes, at: 0, end: bytes.count), let traf = moof.child("traf", bytes),
            let tfhd = traf.child("tfhd", bytes), let defaults = defaults.overridden(bytes, tfhd: tfhd)
        else { throw .malformed(box: "traf") }
        guard let tfdt = traf.child("tfdt", bytes),
            var time = bytes.integer(bytes[tfdt.body] == 1 ? 8 : 4, at: tfdt.body + 4, end: tfdt.end), time < Self.timeMax
        else { throw .malformed(box: "tfdt") }
        var samples: [Sample] = []
        var position = traf.body
        // Offsets count from the moof; without one, samples follow those before them.
        var place = 0
        while let box = Box(bytes, at: position, end: traf.end) {
            position = box.end
            guard box.type == "trun" else { continue }
            let run = try Run(bytes, box, defaults)
            if let offset = run.dataOffset { place = Int(offset) - moof.end - mdatHeader }
            for entry in run.entries {
                guard place >= 0, entry.size <= Int64(payload.count - min(place, payload.count)) else {
                    throw .malformed(box: "trun")
                }
                let end = place + Int(entry.size)
                samples.append(
                    Sample(
                        time: time, duration: entry.duration, compositionOffset: entry.compositionOffset, flags: entry.flags,
                        range: place..<end))
                place = end
                time += entry.duration
                guard time < Self.timeMax, samples.count <= Self.samplesMax else { throw .malformed(box: "trun") }
            }
        }
        guard !samples.isEmpty else { throw .malformed(box: "trun") }
        self.samples = samples
        self.payload = payload
    }

    /// Exact in a double, and far from where sums overflow.
    private static let timeMax: Int64 = 1 << 53
    private static let samplesMax = 1 << 20

    private struct Run {
        var dataOffset: Int64?
        var entries: [(duration: Int64, size: Int64, flags: UInt32, compositionOffset: Int64)] = []

        init(_ bytes: [UInt8], _ box: Box, _ defaults: SampleDefaults) throws(ClipError) {
            guard let head = bytes.integer(4, at: box.body, end: box.end),
                let count = bytes.integer(4, at: box.body + 4, end: box.end)
            else { throw .malformed(box: "trun") }
            var position = box.body + 8
            func next() throws(ClipError) -> Int64 {
                guard let value = bytes.integer(4, at: position, end: box.end) else { throw .malformed(box: "trun") }
                position += 4
                return value
            }
            if head & 0x01 != 0 { dataOffset = Int64(Int32(truncatingIfNeeded: try next())) }
            let firstFlags = head & 0x04 != 0 ? try next() : nil
            let fields = [0x100, 0x200, 0x400, 0x800].count { head & Int64($0) != 0 }
            guard count <= Int64(ClipFragment.samplesMax), Int64(box.end - position) >= count * Int64(4 * fields) else {
                throw .malformed(box: "trun")
            }
            entries.reserveCapacity(Int(count))
            for index in 0..<count {
                let duration = head & 0x100 != 0 ? try next() : defaults.duration
                let size = head & 0x200 != 0 ? try next() : defaults.size
                let own = head & 0x400 != 0 ? try next() : defaults.flags
                let flags = index == 0 ? firstFlags ?? own : own
                // Version 0 has no sign, but writers that mean one are more frequent than offsets of half a day.
                let offset = head & 0x800 != 0 ? Int64(Int32(truncatingIfNeeded: try next())) : 0
                entries.append((duration, size, UInt32(truncatingIfNeeded: flags), offset))
            }
        }
    }
}

/// Takes a segment's bytes as they come and hands out its fragments.
public struct ClipFragmentReader: Sendable {
    /// Boxes above this are not read: nothing that is recorded in chunks of a second comes near.
    public static let boxBytesMax = 64 << 20

    private let defaults: SampleDefaults
    private var buffer: [UInt8] = []
    private var moof: [UInt8]?

    /// - Parameter track: the initialization the segment belongs to.
    public init(track: ClipTrack) { defaults = track.defaults }

    /// More bytes of the segment.
    public mutating func append(_ bytes: [UInt8]) { buffer += bytes }

    /// The next whole fragment; nil when more bytes are needed.
    public mutating func next() throws(ClipError) -> ClipFragment? {
        while true {
            guard let size = try boxSize(), buffer.count >= size, let box = Box(buffer, at: 0, end: size) else { return nil }
            defer { buffer.removeFirst(size) }
            switch box.type {
            case "moof": moof = Array(buffer[..<size])
            case "mdat":
                guard let head = moof else { throw .malformed(box: "mdat") }
                moof = nil
                return try ClipFragment(
                    moof: head, payload: Array(buffer[box.body..<size]), mdatHeader: box.body, defaults: defaults)
            default: break
            }
        }
    }

    /// The segment is over. Throws `truncated` when it ended inside a box or fragment.
    public func finish() throws(ClipError) {
        guard buffer.isEmpty, moof == nil else { throw .truncated }
    }

    /// Size of the box at the front; nil when its header is not there yet.
    private func boxSize() throws(ClipError) -> Int? {
        guard var size = buffer.integer(4, at: 0, end: buffer.count), buffer.count >= 8 else { return nil }
        if size == 1 {
            guard buffer.count >= 16 else { return nil }
            guard let long = buffer.integer(8, at: 8, end: buffer.count) else { throw .malformed(box: "size") }
            size = long
            guard size >= 16 else { throw .malformed(box: "size") }
        }
        guard size >= 8 else { throw .malformed(box: "size") }
        guard size <= Int64(Self.boxBytesMax) else { throw .tooLarge(bytes: size) }
        return Int(size)
    }
}
