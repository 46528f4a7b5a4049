/// What a recorder needs of an H.265 sequence parameter set (ITU-T H.265 7.3.2.2.1): picture size after cropping, profile, tier, level.
public struct H265SPS: Equatable, Sendable {
    /// The general part of profile_tier_level (7.3.3) as it stands in the bitstream: 12 bytes from general_profile_space to
    /// general_level_idc.
    public let profileTierLevel: [UInt8]
    /// sps_seq_parameter_set_id, 0 to 15.
    public let id: Int
    /// sps_max_sub_layers_minus1 plus 1, 1 to 7.
    public let temporalLayers: Int
    /// sps_temporal_id_nesting_flag.
    public let isTemporallyNested: Bool
    /// chroma_format_idc, 1 for 4:2:0.
    public let chromaFormat: Int
    /// bit_depth_luma_minus8.
    public let lumaDepthMinus8: Int
    /// bit_depth_chroma_minus8.
    public let chromaDepthMinus8: Int
    /// Picture width in luma samples inside the conformance window.
    public let width: Int
    /// Picture height in luma samples inside the conformance window.
    public let height: Int
    /// sps_max_num_reorder_pics of the highest sub-layer: how many pictures may precede one in decoding order and follow it in output.
    public let reorderedPicturesMax: Int

    /// Reads a whole NAL unit of type 33, header included.
    ///
    /// Throws when it ends early, or says something no picture can have.
    public init(nal: [UInt8]) throws(BitstreamError) {
        guard nal.count > 2, nal[0] & 0xFE == 33 << 1 else { throw .invalid(field: "nal_unit_type") }
        var reader = BitReader(rbspOf: nal.dropFirst(2))
        try reader.skip(4)
        let subLayers = Int(try reader.bits(3))
        guard subLayers < 7 else { throw .invalid(field: "sps_max_sub_layers_minus1") }
        temporalLayers = subLayers + 1
        isTemporallyNested = try reader.flag()
        var general: [UInt8] = []
        for _ in 0..<12 { general.append(UInt8(truncatingIfNeeded: try reader.bits(8))) }
        profileTierLevel = general
        try Self.skipSubLayers(&reader, count: subLayers)
        id = try reader.unsigned("sps_seq_parameter_set_id", max: 15)
        chromaFormat = try reader.unsigned("chroma_format_idc", max: 3)
        let hasSeparatePlanes = chromaFormat == 3 ? try reader.flag() : false
        let size = try Self.pictureSize(&reader, chromaFormat: hasSeparatePlanes ? 0 : chromaFormat)
        width = size.width
        height = size.height
        lumaDepthMinus8 = try reader.unsigned("bit_depth_luma_minus8", max: 7)
        chromaDepthMinus8 = try reader.unsigned("bit_depth_chroma_minus8", max: 7)
        _ = try reader.unsigned("log2_max_pic_order_cnt_lsb_minus4", max: 12)
        var reordered = 0
        for _ in try reader.flag() ? 0...subLayers : subLayers...subLayers {
            _ = try reader.unsigned("sps_max_dec_pic_buffering_minus1", max: 15)
            reordered = try reader.unsigned("sps_max_num_reorder_pics", max: 15)
            _ = try reader.unsigned("sps_max_latency_increase_plus1", max: UInt32.max - 1)
        }
        reorderedPicturesMax = reordered
    }

    /// The codecs parameter of a track with out-of-band parameter sets, such as `hvc1.1.6.L93.B0` (ISO/IEC 14496-15 annex E.3).
    public var codecs: String {
        let head = profileTierLevel[0]
        let space = ["", "A", "B", "C"][Int(head >> 6)]
        var compatibility: UInt32 = 0
        for byte in profileTierLevel[1...4] { compatibility = compatibility << 8 | UInt32(byte) }
        var reversed: UInt32 = 0
        for bit in 0..<32 where compatibility >> UInt32(bit) & 1 == 1 { reversed |= 1 << UInt32(31 - bit) }
        var parts = [
            "hvc1", "\(space)\(head & 0x1F)", String(reversed, radix: 16, uppercase: true),
            "\(head & 0x20 == 0 ? "L" : "H")\(profileTierLevel[11])",
        ]
        let constraints = profileTierLevel[5...10]
        let used = constraints.lastIndex { $0 != 0 }.map { constraints[...$0] } ?? []
        parts += used.map { String($0, radix: 16, uppercase: true) }
        return parts.joined(separator: ".")
    }

    /// The part of profile_tier_level that tells of sub-layers.
    private static func skipSubLayers(_ reader: inout BitReader, count: Int) throws(BitstreamError) {
        guard count > 0 else { return }
        var bits = 0
        for _ in 0..<count {
            if try reader.flag() { bits += 88 }
            if try reader.flag() { bits += 8 }
        }
        try reader.skip((8 - count) * 2 + bits)
    }

    private static func pictureSize(
        _ reader: inout BitReader, chromaFormat: Int
    ) throws(BitstreamError) -> (width: Int, height: Int) {
        // 16,888 samples a side is past level 6.2.
        var width = try reader.unsigned("pic_width_in_luma_samples", max: 16_888)
        var height = try reader.unsigned("pic_height_in_luma_samples", max: 16_888)
        if try reader.flag() {
            let unitX = chromaFormat == 1 || chromaFormat == 2 ? 2 : 1
            let unitY = chromaFormat == 1 ? 2 : 1
            for _ in 0..<2 { width -= unitX * (try reader.unsigned("conf_win_offset", max: 16_888)) }
            for _ in 0..<2 { height -= unitY * (try reader.unsigned("conf_win_offset", max: 16_888)) }
        }
        guard width > 0, height > 0 else { throw .invalid(field: "conformance_window") }
        return (width, height)
    }
}
