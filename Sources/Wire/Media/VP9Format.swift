/// What a VP9 key frame says of the pictures that follow it (VP9 bitstream specification 6.2 and 7.2).
public struct VP9Format: Equatable, Sendable {
    /// 0 to 3.
    public let profile: Int
    /// Bits of a sample: 8, 10 or 12.
    public let bitDepth: Int
    /// Chroma has half the columns of luma.
    public let halvesColumns: Bool
    /// Chroma has half the rows of luma.
    public let halvesRows: Bool
    /// Samples use the whole range of values.
    public let isFullRange: Bool
    /// Picture width in luma samples, of the highest spatial layer.
    public let width: Int
    /// Picture height in luma samples, of the highest spatial layer.
    public let height: Int

    /// The level that holds this size at 60 pictures a second, which no bitstream tells, times 10 (VP9 levels, annex A).
    public var level: Int {
        let samples = width * height
        let side = max(width, height)
        return Self.levels.first { samples <= $0.samples && side <= $0.side && samples * 60 <= $0.rate }?.level ?? 62
    }

    private static let levels: [(level: Int, rate: Int, samples: Int, side: Int)] = [
        (10, 829_440, 36_864, 512), (11, 2_764_800, 73_728, 768), (20, 4_608_000, 122_880, 960),
        (21, 9_216_000, 245_760, 1344), (30, 20_736_000, 552_960, 2048), (31, 36_864_000, 983_040, 2752),
        (40, 83_558_400, 2_228_224, 4160), (41, 160_432_128, 2_228_224, 4160), (50, 311_951_360, 8_912_896, 8384),
        (51, 588_251_136, 8_912_896, 8384), (52, 1_176_502_272, 8_912_896, 8384), (60, 1_176_502_272, 35_651_584, 16_832),
        (61, 2_353_004_544, 35_651_584, 16_832),
    ]

    /// The codecs parameter, such as `vp09.00.10.08` (VP codec ISO media file format binding).
    public var codecs: String {
        let depth = bitDepth < 10 ? "0\(bitDepth)" : "\(bitDepth)"
        return "vp09.0\(profile).\(level).\(depth)"
    }

    /// A copy with the size of another layer.
    func sized(width: Int, height: Int) -> VP9Format {
        VP9Format(
            profile: profile, bitDepth: bitDepth, halvesColumns: halvesColumns, halvesRows: halvesRows, isFullRange: isFullRange,
            width: width, height: height)
    }
}

/// The start of a VP9 frame (6.2): all a recorder wants to know of it.
struct VP9FrameHeader {
    /// What the frame says of itself when it is a key frame, else nil.
    let keyframe: VP9Format?

    /// Throws when the bytes begin no frame.
    init(_ frame: [UInt8]) throws(BitstreamError) {
        // The whole uncompressed header of a key frame lies in its first bytes.
        var reader = BitReader(Array(frame.prefix(32)))
        guard try reader.bits(2) == 2 else { throw .invalid(field: "frame_marker") }
        var profile = try reader.flag() ? 1 : 0
        if try reader.flag() { profile += 2 }
        if profile == 3, try reader.flag() { throw .invalid(field: "reserved_zero") }
        let showsExisting = try reader.flag()
        let isInter = showsExisting ? true : try reader.flag()
        guard !isInter else {
            keyframe = nil
            return
        }
        try reader.skip(2)
        guard try reader.bits(24) == 0x49_8342 else { throw .invalid(field: "frame_sync_code") }
        keyframe = try Self.format(&reader, profile: profile)
    }

    private static func format(_ reader: inout BitReader, profile: Int) throws(BitstreamError) -> VP9Format {
        let depth = profile < 2 ? 8 : try reader.flag() ? 12 : 10
        var isFullRange = true
        var halves = (columns: false, rows: false)
        if try reader.bits(3) == 7 {
            guard profile & 1 == 1 else { throw .invalid(field: "color_space") }
            try reader.skip(1)
        } else {
            isFullRange = try reader.flag()
            halves = (true, true)
            if profile & 1 == 1 {
                halves = (try reader.flag(), try reader.flag())
                try reader.skip(1)
            }
        }
        let width = Int(try reader.bits(16)) + 1
        let height = Int(try reader.bits(16)) + 1
        return VP9Format(
            profile: profile, bitDepth: depth, halvesColumns: halves.columns, halvesRows: halves.rows, isFullRange: isFullRange,
            width: width, height: height)
    }
}

/// Frames of one picture as one sample: a superframe with its index (VP9 annex B), so that decoders find them.
enum VP9Superframe {
    /// Most frames that an index can tell of.
    static let framesMax = 8

    static func join(_ frames: [[UInt8]]) -> [UInt8] {
        guard frames.count > 1 else { return frames.first ?? [] }
        let largest = frames.map(\.count).max() ?? 0
        let width = largest < 1 << 8 ? 1 : largest < 1 << 16 ? 2 : largest < 1 << 24 ? 3 : 4
        let marker = 0xC0 | UInt8(width - 1) << 3 | UInt8(frames.count - 1)
        var out = frames.flatMap { $0 }
        out.append(marker)
        for frame in frames {
            for byte in 0..<width { out.append(UInt8(truncatingIfNeeded: frame.count >> (8 * byte))) }
        }
        out.append(marker)
        return out
    }
}
