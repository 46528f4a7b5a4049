import Media

/// Why a clip cannot be made of what was recorded.
public enum ClipError: Error, Equatable, Sendable {
    /// Bytes that are no initialization or media segment of one track; `box` is where reading stopped.
    case malformed(box: String)
    /// A fragment or box of so many bytes is more than is held in memory at once.
    case tooLarge(bytes: Int64)
    /// A segment ends inside a box.
    case truncated
}

/// One track of a clip, read from an initialization segment (ISO/IEC 14496-12 8.3).
///
/// Two stretches of a recording fit into one track of a file when their `sampleDescription` and `timescale` are the same.
public struct ClipTrack: Equatable, Sendable {
    /// Ticks a second of the track's media.
    public let timescale: Int64
    /// The whole `stsd` box: everything a decoder is set up by.
    public let sampleDescription: [UInt8]
    /// What samples are when their fragment does not say (`trex`).
    let defaults: SampleDefaults
    /// The whole `trak` box without an edit list, and where in it `tkhd` ends and its track identifier stands.
    let trak: [UInt8]
    let trackIDOffset: Int
    let tkhdEnd: Int
    /// The whole `mvhd` box and its ticks a second.
    let mvhd: [UInt8]
    let movieTimescale: Int64

    /// Reads `ftyp` and `moov` of one track. Any bytes may come in.
    public init(initialization bytes: [UInt8]) throws(ClipError) {
        guard let moov = Box.topLevel("moov", bytes) else { throw .malformed(box: "moov") }
        guard let mvhd = moov.child("mvhd", bytes), mvhd.end - mvhd.body >= 100 else { throw .malformed(box: "mvhd") }
        let isLongMovie = bytes[mvhd.body] == 1
        guard let movieTimescale = bytes.integer(4, at: mvhd.body + (isLongMovie ? 20 : 12), end: mvhd.end),
            movieTimescale > 0
        else { throw .malformed(box: "mvhd") }
        guard let trak = moov.child("trak", bytes), let mdia = trak.child("mdia", bytes),
            let mdhd = mdia.child("mdhd", bytes),
            let stsd = mdia.child("minf", bytes)?.child("stbl", bytes)?.child("stsd", bytes)
        else { throw .malformed(box: "trak") }
        let isLongMedia = bytes[mdhd.body] == 1
        guard let timescale = bytes.integer(4, at: mdhd.body + (isLongMedia ? 20 : 12), end: mdhd.end), timescale > 0 else {
            throw .malformed(box: "mdhd")
        }
        guard bytes.integer(4, at: stsd.body + 4, end: stsd.end) == 1 else { throw .malformed(box: "stsd") }
        guard let trex = moov.child("mvex", bytes)?.child("trex", bytes), let defaults = SampleDefaults(bytes, trex: trex) else {
            throw .malformed(box: "trex")
        }
        let edited = try Self.withoutEdits(bytes, trak)
        self.trak = edited.trak
        (tkhdEnd, trackIDOffset) = (edited.tkhdEnd, edited.trackIDOffset)
        self.timescale = timescale
        self.movieTimescale = movieTimescale
        self.defaults = defaults
        self.mvhd = Array(bytes[mvhd.start..<mvhd.end])
        sampleDescription = Array(bytes[stsd.start..<stsd.end])
    }

    private static func withoutEdits(
        _ bytes: [UInt8], _ trak: Box
    ) throws(ClipError) -> (trak: [UInt8], tkhdEnd: Int, trackIDOffset: Int) {
        var out = BoxWriter()
        var tkhdEnd = 0
        var identifier = 0
        out.box("trak") { out in
            var position = trak.body
            while let box = Box(bytes, at: position, end: trak.end) {
                position = box.end
                if box.type == "edts" { continue }
                if box.type == "tkhd", box.end - box.body >= 84 {
                    identifier = out.bytes.count + (box.body - box.start) + (bytes[box.body] == 1 ? 20 : 12)
                    tkhdEnd = out.bytes.count + box.end - box.start
                }
                out.bytes += bytes[box.start..<box.end]
            }
        }
        guard tkhdEnd > 0 else { throw .malformed(box: "tkhd") }
        return (out.bytes, tkhdEnd, identifier)
    }

    /// The `trak` of a clip: with its own identifier, and an edit that hides what comes before `hiddenTicks`.
    func trak(id: UInt32, hiddenTicks: Int64) -> [UInt8] {
        var out = BoxWriter()
        out.box("trak") { out in
            out.bytes += trak[8..<tkhdEnd]
            if hiddenTicks > 0 {
                out.box("edts") { out in
                    out.fullBox("elst", version: 1, flags: 0) { out in
                        out.integer(1, 4)
                        // 0: to the end of all fragments (8.6.6.3 with movie fragments).
                        out.integer(0, 8)
                        out.integer(UInt64(bitPattern: hiddenTicks), 8)
                        out.integer(1 << 16, 4)
                    }
                }
            }
            out.bytes += trak[tkhdEnd...]
            out.overwrite(UInt64(id), 4, at: trackIDOffset)
        }
        return out.bytes
    }
}

/// Defaults of a track's samples: `trex` (8.8.3), overridden by `tfhd` (8.8.7).
struct SampleDefaults: Equatable, Sendable {
    var duration: Int64
    var size: Int64
    var flags: Int64

    init?(_ bytes: [UInt8], trex: Box) {
        guard let duration = bytes.integer(4, at: trex.body + 12, end: trex.end),
            let size = bytes.integer(4, at: trex.body + 16, end: trex.end),
            let flags = bytes.integer(4, at: trex.body + 20, end: trex.end)
        else { return nil }
        (self.duration, self.size, self.flags) = (duration, size, flags)
    }

    /// Nil when the box ends before what its flags promise.
    func overridden(_ bytes: [UInt8], tfhd: Box) -> SampleDefaults? {
        guard let present = bytes.integer(4, at: tfhd.body, end: tfhd.end) else { return nil }
        var result = self
        var position = tfhd.body + 8
        for (mask, width) in [(0x01, 8), (0x02, 4), (0x08, 4), (0x10, 4), (0x20, 4)] where present & Int64(mask) != 0 {
            guard position + width <= tfhd.end else { return nil }
            // base_data_offset may be any 64 bits; it is not used.
            let value = bytes.integer(width, at: position, end: tfhd.end) ?? 0
            position += width
            switch mask {
            case 0x08: result.duration = value
            case 0x10: result.size = value
            case 0x20: result.flags = value
            default: break
            }
        }
        return result
    }
}

extension Box {
    /// The first box of a type that stands in no other.
    static func topLevel(_ type: String, _ bytes: [UInt8]) -> Box? {
        var position = 0
        while let box = Box(bytes, at: position, end: bytes.count) {
            if box.type == type { return box }
            position = box.end
        }
        return nil
    }
}

/// Writes boxes whose size is known when they are closed.
struct BoxWriter {
    var bytes: [UInt8] = []

    mutating func integer(_ value: UInt64, _ width: Int) {
        for shift in stride(from: (width - 1) * 8, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    mutating func overwrite(_ value: UInt64, _ width: Int, at position: Int) {
        for index in 0..<width { bytes[position + index] = UInt8(truncatingIfNeeded: value >> ((width - 1 - index) * 8)) }
    }

    mutating func box(_ type: String, _ content: (inout BoxWriter) -> Void) {
        let start = bytes.count
        integer(0, 4)
        bytes += type.utf8
        content(&self)
        overwrite(UInt64(bytes.count - start), 4, at: start)
    }

    mutating func fullBox(_ type: String, version: UInt64, flags: UInt64, _ content: (inout BoxWriter) -> Void) {
        box(type) { out in
            out.integer(version << 24 | flags, 4)
            content(&out)
        }
    }
}
