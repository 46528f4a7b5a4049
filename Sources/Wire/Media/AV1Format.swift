/// The sequence header of an AV1 track and what follows from it (AV1 specification 5.5).
public struct AV1Format: Equatable, Sendable {
    /// The sequence header's OBU, with its size field.
    public let sequenceHeader: [UInt8]
    /// seq_profile, 0 for Main.
    public let profile: Int
    /// seq_level_idx of operating point 0, 8 for level 4.0.
    public let level: Int
    /// seq_tier of operating point 0: 0 Main, 1 High.
    public let tier: Int
    /// Bits of a sample: 8, 10 or 12.
    public let bitDepth: Int
    /// There is no chroma.
    public let isMonochrome: Bool
    /// subsampling_x and subsampling_y.
    public let subsampling: (x: Bool, y: Bool)
    /// chroma_sample_position.
    public let chromaPosition: Int
    /// max_frame_width_minus_1 plus 1.
    public let width: Int
    /// max_frame_height_minus_1 plus 1.
    public let height: Int

    /// Formats are the same when their sequence headers are.
    public static func == (left: AV1Format, right: AV1Format) -> Bool { left.sequenceHeader == right.sequenceHeader }

    /// Reads the payload of a sequence header OBU, without header and size.
    ///
    /// Throws when it ends early, or says something no sequence can have.
    public init(sequenceHeader payload: [UInt8]) throws(BitstreamError) {
        var reader = BitReader(payload)
        profile = Int(try reader.bits(3))
        guard profile <= 2 else { throw .invalid(field: "seq_profile") }
        try reader.skip(1)
        let isReduced = try reader.flag()
        (level, tier) = isReduced ? (Int(try reader.bits(5)), 0) : try Self.operatingPoint(&reader)
        (width, height) = try Self.frameSize(&reader)
        if isReduced { try reader.skip(3) } else { try Self.skipTools(&reader) }
        // enable_superres, enable_cdef, enable_restoration
        try reader.skip(3)
        let color = try Color(&reader, profile: profile)
        bitDepth = color.bitDepth
        isMonochrome = color.isMonochrome
        subsampling = color.subsampling
        chromaPosition = color.chromaPosition
        self.sequenceHeader = AV1Unit.encode(header: [0x0A], payload: payload[...])
    }

    /// The codecs parameter, such as `av01.0.04M.08` (AV1 codec ISO media file format binding, section 5).
    public var codecs: String {
        let digits = { (value: Int) in value < 10 ? "0\(value)" : "\(value)" }
        return "av01.\(profile).\(digits(level))\(tier == 0 ? "M" : "H").\(digits(bitDepth))"
    }

    /// AV1CodecConfigurationRecord (the binding's section 2.3).
    public var decoderConfiguration: [UInt8] {
        var flags = UInt8(tier) << 7
        if bitDepth > 8 { flags |= 0x40 }
        if bitDepth == 12 { flags |= 0x20 }
        if isMonochrome { flags |= 0x10 }
        if subsampling.x { flags |= 0x08 }
        if subsampling.y { flags |= 0x04 }
        return [0x81, UInt8(profile) << 5 | UInt8(level), flags | UInt8(chromaPosition), 0] + sequenceHeader
    }

    // MARK: Syntax (5.5.1)

    /// timing_info, decoder_model_info and all operating points; returns level and tier of the first.
    private static func operatingPoint(_ reader: inout BitReader) throws(BitstreamError) -> (level: Int, tier: Int) {
        var delayBits: Int?
        if try reader.flag() {
            try reader.skip(64)
            if try reader.flag() { try skipVariableLength(&reader) }
            if try reader.flag() {
                delayBits = Int(try reader.bits(5)) + 1
                try reader.skip(42)
            }
        }
        let hasDisplayDelay = try reader.flag()
        var first: (level: Int, tier: Int)?
        for _ in 0...Int(try reader.bits(5)) {
            try reader.skip(12)
            let level = Int(try reader.bits(5))
            let tier = level > 7 ? Int(try reader.bits(1)) : 0
            if let delayBits, try reader.flag() { try reader.skip(2 * delayBits + 1) }
            if hasDisplayDelay, try reader.flag() { try reader.skip(4) }
            first = first ?? (level, tier)
        }
        return first ?? (0, 0)
    }

    /// uvlc() (4.10.3).
    private static func skipVariableLength(_ reader: inout BitReader) throws(BitstreamError) {
        var zeros = 0
        while try !reader.flag() {
            zeros += 1
            guard zeros < 32 else { return }
        }
        try reader.skip(zeros)
    }

    private static func frameSize(_ reader: inout BitReader) throws(BitstreamError) -> (width: Int, height: Int) {
        let widthBits = Int(try reader.bits(4)) + 1
        let heightBits = Int(try reader.bits(4)) + 1
        return (Int(try reader.bits(widthBits)) + 1, Int(try reader.bits(heightBits)) + 1)
    }

    /// From frame_id_numbers_present_flag to order_hint_bits_minus_1.
    private static func skipTools(_ reader: inout BitReader) throws(BitstreamError) {
        if try reader.flag() { try reader.skip(7) }
        // Superblocks, filters, compound modes, warped motion, dual filter.
        try reader.skip(7)
        let hasOrderHint = try reader.flag()
        if hasOrderHint { try reader.skip(2) }
        let choosesScreenTools = try reader.flag()
        let usesScreenTools = choosesScreenTools ? true : try reader.flag()
        if usesScreenTools, try !reader.flag() { try reader.skip(1) }
        if hasOrderHint { try reader.skip(3) }
    }

    /// color_config (5.5.2).
    private struct Color {
        var bitDepth = 8
        var isMonochrome = false
        var subsampling = (x: true, y: true)
        var chromaPosition = 0

        init(_ reader: inout BitReader, profile: Int) throws(BitstreamError) {
            if try reader.flag() {
                bitDepth = 10
                if profile == 2, try reader.flag() { bitDepth = 12 }
            }
            if profile != 1 { isMonochrome = try reader.flag() }
            var description: [UInt32] = [2, 2, 2]
            if try reader.flag() {
                for index in 0..<3 { description[index] = try reader.bits(8) }
            }
            if isMonochrome {
                try reader.skip(1)
                return
            }
            // BT.709 primaries, sRGB transfer and identity matrix: RGB.
            if description == [1, 13, 0] {
                subsampling = (false, false)
                return
            }
            try reader.skip(1)
            switch profile {
            case 0: break
            case 1: subsampling = (false, false)
            default:
                subsampling = (true, false)
                if bitDepth == 12 {
                    let x = try reader.flag()
                    subsampling = (x, x ? try reader.flag() : false)
                }
            }
            if subsampling.x, subsampling.y { chromaPosition = Int(try reader.bits(2)) }
        }
    }
}

/// An open bitstream unit (AV1 specification 5.3) as RTP carries it: with or without a size.
struct AV1Unit {
    /// obu_type of 6.2.2.
    enum Kind: UInt8 {
        case sequenceHeader = 1
        case temporalDelimiter = 2
        case frameHeader = 3
        case tileGroup = 4
        case metadata = 5
        case frame = 6
        case redundantFrameHeader = 7
        case tileList = 8
        case padding = 15
    }

    /// Nil for a reserved one.
    let kind: Kind?
    /// Header bytes with obu_has_size_field set.
    let header: [UInt8]
    let payload: ArraySlice<UInt8>

    /// Nil when the bytes are no unit.
    init?(_ bytes: [UInt8]) {
        guard let first = bytes.first, first & 0x80 == 0 else { return nil }
        let headerBytes = first & 0x04 != 0 ? 2 : 1
        guard bytes.count >= headerBytes else { return nil }
        kind = Kind(rawValue: first >> 3 & 0x0F)
        header = [first & 0xFC | 0x02] + bytes[1..<headerBytes]
        guard first & 0x02 != 0 else {
            payload = bytes[headerBytes...]
            return
        }
        var position = headerBytes
        guard let size = Self.size(bytes, &position), size <= bytes.count - position else { return nil }
        payload = bytes[position..<position + size]
    }

    /// The unit with its size, as a file holds it.
    var encoded: [UInt8] { Self.encode(header: header, payload: payload) }

    static func encode(header: [UInt8], payload: ArraySlice<UInt8>) -> [UInt8] {
        var out = header
        var rest = payload.count
        repeat {
            out.append(UInt8(rest & 0x7F) | (rest > 0x7F ? 0x80 : 0))
            rest >>= 7
        } while rest > 0
        return out + payload
    }

    /// leb128() (4.10.5), moved past; nil when it is not whole or larger than 32 bits.
    static func size(_ bytes: [UInt8], _ position: inout Int) -> Int? {
        var value: UInt64 = 0
        for index in 0..<8 {
            guard position < bytes.count else { return nil }
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7F) << UInt64(7 * index)
            if byte & 0x80 == 0 { return value <= UInt64(UInt32.max) ? Int(value) : nil }
        }
        return nil
    }

    /// show_existing_frame 0, frame_type KEY_FRAME, show_frame 1 (5.9.2); of a frame or its header.
    var isShownKeyframe: Bool {
        guard let first = payload.first else { return false }
        return first & 0xF0 == 0x10
    }
}
