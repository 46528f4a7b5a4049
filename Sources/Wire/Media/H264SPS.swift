/// What a recorder needs of an H.264 sequence parameter set (ITU-T H.264 7.3.2.1.1): picture size after cropping, profile, level.
public struct H264SPS: Equatable, Sendable {
    /// profile_idc, 66 for Baseline.
    public let profile: UInt8
    /// constraint_set flags and the reserved bits, as they stand in the byte.
    public let constraints: UInt8
    /// level_idc, 31 for level 3.1.
    public let level: UInt8
    /// seq_parameter_set_id, 0 to 31.
    public let id: Int
    /// chroma_format_idc, 1 for 4:2:0.
    public let chromaFormat: Int
    /// bit_depth_luma_minus8.
    public let lumaDepthMinus8: Int
    /// bit_depth_chroma_minus8.
    public let chromaDepthMinus8: Int
    /// Picture width in luma samples, cropping applied.
    public let width: Int
    /// Picture height in luma samples, cropping applied.
    public let height: Int
    /// How many pictures may precede one in decoding order and follow it in output (max_num_reorder_frames, E.2.1); nil when the set does
    /// not tell.
    public let reorderedFramesMax: Int?

    /// The RFC 6381 codecs parameter of a track with out-of-band parameter sets, such as `avc1.42e01f`.
    public var codecs: String {
        "avc1."
            + [profile, constraints, level].map { byte in
                (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }.joined()
    }

    static let profilesWithChroma: Set<UInt8> = [44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244]

    /// Reads a whole NAL unit of type 7, header byte included.
    ///
    /// Throws when it ends early, or says something no picture can have.
    public init(nal: [UInt8]) throws(BitstreamError) {
        guard let header = nal.first, header & 0x9F == 7 else { throw .invalid(field: "nal_unit_type") }
        var reader = BitReader(rbspOf: nal.dropFirst())
        profile = UInt8(try reader.bits(8))
        constraints = UInt8(try reader.bits(8))
        level = UInt8(try reader.bits(8))
        id = try reader.unsigned("seq_parameter_set_id", max: 31)
        var chroma = Chroma()
        if Self.profilesWithChroma.contains(profile) { chroma = try Chroma(&reader) }
        chromaFormat = chroma.format
        lumaDepthMinus8 = chroma.lumaDepthMinus8
        chromaDepthMinus8 = chroma.chromaDepthMinus8
        let isInOutputOrder = try Self.readOrderCount(&reader) == 2
        let size = try Self.pictureSize(&reader, chroma: chroma)
        width = size.width
        height = size.height
        // Type 2 means that output order is decoding order (8.2.1), and Baseline has no B slices.
        let told = try? H264Usability.reorderedFramesMax(&reader)
        reorderedFramesMax = isInOutputOrder || profile == 66 ? 0 : told ?? nil
    }

    private struct Chroma {
        var format = 1
        var separatePlanes = false
        var lumaDepthMinus8 = 0
        var chromaDepthMinus8 = 0

        init() {}

        init(_ reader: inout BitReader) throws(BitstreamError) {
            format = try reader.unsigned("chroma_format_idc", max: 3)
            if format == 3 { separatePlanes = try reader.flag() }
            lumaDepthMinus8 = try reader.unsigned("bit_depth_luma_minus8", max: 6)
            chromaDepthMinus8 = try reader.unsigned("bit_depth_chroma_minus8", max: 6)
            try reader.skip(1)
            guard try reader.flag() else { return }
            for list in 0..<(format == 3 ? 12 : 8) where try reader.flag() {
                try Self.skipScalingList(&reader, size: list < 6 ? 16 : 64)
            }
        }

        /// scaling_list (7.3.2.1.1.1).
        private static func skipScalingList(_ reader: inout BitReader, size: Int) throws(BitstreamError) {
            var last = 8
            var next = 8
            for _ in 0..<size {
                if next != 0 {
                    let delta = try reader.signed("delta_scale")
                    guard (-128...127).contains(delta) else { throw .invalid(field: "delta_scale") }
                    next = (last + delta + 256) % 256
                }
                if next != 0 { last = next }
            }
        }
    }

    /// Reads past the picture order count's parameters and returns its type.
    private static func readOrderCount(_ reader: inout BitReader) throws(BitstreamError) -> Int {
        _ = try reader.unsigned("log2_max_frame_num_minus4", max: 12)
        let type = try reader.unsigned("pic_order_cnt_type", max: 2)
        switch type {
        case 0:
            _ = try reader.unsigned("log2_max_pic_order_cnt_lsb_minus4", max: 12)
        case 1:
            try reader.skip(1)
            _ = try reader.signed("offset_for_non_ref_pic")
            _ = try reader.signed("offset_for_top_to_bottom_field")
            let count = try reader.unsigned("num_ref_frames_in_pic_order_cnt_cycle", max: 255)
            for _ in 0..<count { _ = try reader.signed("offset_for_ref_frame") }
        default:
            break
        }
        _ = try reader.unsigned("max_num_ref_frames", max: 16)
        try reader.skip(1)
        return type
    }

    private static func pictureSize(
        _ reader: inout BitReader, chroma: Chroma
    ) throws(BitstreamError) -> (width: Int, height: Int) {
        // 1,055 macroblocks a side is past level 6.2.
        let widthInMacroblocks = try reader.unsigned("pic_width_in_mbs_minus1", max: 1054) + 1
        let heightInMapUnits = try reader.unsigned("pic_height_in_map_units_minus1", max: 1054) + 1
        let frameMacroblocksOnly = try reader.flag()
        if !frameMacroblocksOnly { try reader.skip(1) }
        try reader.skip(1)
        let fieldFactor = frameMacroblocksOnly ? 1 : 2
        var width = widthInMacroblocks * 16
        var height = heightInMapUnits * 16 * fieldFactor
        guard try reader.flag() else { return (width, height) }
        let planar = chroma.separatePlanes || chroma.format == 0
        let unitX = planar || chroma.format == 3 ? 1 : 2
        let unitY = (planar || chroma.format != 1 ? 1 : 2) * fieldFactor
        let left = try reader.unsigned("frame_crop_left_offset", max: 65535)
        let right = try reader.unsigned("frame_crop_right_offset", max: 65535)
        let top = try reader.unsigned("frame_crop_top_offset", max: 65535)
        let bottom = try reader.unsigned("frame_crop_bottom_offset", max: 65535)
        width -= (left + right) * unitX
        height -= (top + bottom) * unitY
        guard width > 0, height > 0 else { throw .invalid(field: "frame_cropping") }
        return (width, height)
    }
}

/// Video usability information (H.264 annex E.1.1), as far as it leads to bitstream_restriction.
private enum H264Usability {
    /// Nil when the set has none or it does not tell.
    static func reorderedFramesMax(_ reader: inout BitReader) throws(BitstreamError) -> Int? {
        guard try reader.flag() else { return nil }
        // Aspect ratio, extended when its code is 255.
        if try reader.flag(), try reader.bits(8) == 255 { try reader.skip(32) }
        if try reader.flag() { try reader.skip(1) }
        if try reader.flag() {
            try reader.skip(4)
            if try reader.flag() { try reader.skip(24) }
        }
        if try reader.flag() {
            for _ in 0..<2 { _ = try reader.unsigned("chroma_sample_loc_type", max: 5) }
        }
        if try reader.flag() { try reader.skip(65) }
        var hasBuffer = false
        for _ in 0..<2 where try reader.flag() {
            hasBuffer = true
            try skipBufferParameters(&reader)
        }
        if hasBuffer { try reader.skip(1) }
        try reader.skip(1)
        guard try reader.flag() else { return nil }
        try reader.skip(1)
        for _ in 0..<4 { _ = try reader.unsigned("max_bytes_per_pic_denom", max: 16) }
        return try reader.unsigned("max_num_reorder_frames", max: 16)
    }

    /// hrd_parameters (E.1.2).
    private static func skipBufferParameters(_ reader: inout BitReader) throws(BitstreamError) {
        let count = try reader.unsigned("cpb_cnt_minus1", max: 31) + 1
        try reader.skip(8)
        for _ in 0..<count {
            _ = try reader.unsigned("bit_rate_value_minus1", max: UInt32.max - 1)
            _ = try reader.unsigned("cpb_size_value_minus1", max: UInt32.max - 1)
            try reader.skip(1)
        }
        try reader.skip(20)
    }
}
