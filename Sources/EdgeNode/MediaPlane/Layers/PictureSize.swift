/// Width and height of a picture in pixels; 0 while unknown.
struct PictureSize: Equatable {
    var width: UInt16 = 0
    var height: UInt16 = 0

    var isKnown: Bool { width > 0 && height > 0 }
    var area: UInt64 { UInt64(width) * UInt64(height) }

    init() {}

    init(width: UInt16, height: UInt16) {
        self.width = width
        self.height = height
    }

    /// From the first packet of a keyframe. Nil for codecs whose layers are told apart by bit rate, and for what is cut or broken.
    init?(_ codec: CodecID, keyframe payload: Span<UInt8>) {
        switch codec {
        case .vp8: self.init(vp8: payload)
        case .vp9:
            guard let size = VP9Layer(payload)?.largest, size.isKnown else { return nil }
            self = size
        case .h264: self.init(h264: payload)
        default: return nil
        }
    }

    /// The frame header behind the payload descriptor (RFC 6386 §9.1): start code, then 14 bits each, low byte first.
    private init?(vp8 payload: Span<UInt8>) {
        guard let header = KeyframeDetector.vp8HeaderOffset(payload), payload.count >= header + 10,
            payload[header + 3] == 0x9D, payload[header + 4] == 0x01, payload[header + 5] == 0x2A
        else { return nil }
        width = UInt16(payload[header + 6]) | UInt16(payload[header + 7] & 0x3F) << 8
        height = UInt16(payload[header + 8]) | UInt16(payload[header + 9] & 0x3F) << 8
    }

    /// The sequence parameter set that precedes the picture, in a packet of its own or with others (RFC 6184 §5.6, 5.7.1). Read where it
    /// lies, for two numbers: the recorder's reader copies it and takes all it says.
    private init?(h264 payload: Span<UInt8>) {
        guard payload.count > 4 else { return nil }
        var unit = 0..<payload.count
        if payload[0] & 0x1F == 24 {
            var offset = 1
            while true {
                guard offset + 3 < payload.count else { return nil }
                unit = offset + 2..<offset + 2 + Int(payload.bigEndian16(at: offset))
                guard unit.upperBound <= payload.count, !unit.isEmpty else { return nil }
                if payload[unit.lowerBound] & 0x1F == 7 { break }
                offset = unit.upperBound
            }
        }
        guard payload[unit.lowerBound] & 0x1F == 7 else { return nil }
        var bits = ExpGolombReader(payload, unit.lowerBound + 1..<unit.upperBound)
        self.init(parameterSet: &bits)
    }

    /// ITU-T H.264 §7.3.2.1.1, as far as the size.
    private init?(parameterSet bits: inout ExpGolombReader) {
        let profile = bits.bits(8)
        _ = bits.bits(16)
        _ = bits.unsigned()
        var chroma: UInt32 = 1
        if [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135].contains(profile) {
            chroma = bits.unsigned()
            if chroma == 3 { _ = bits.bits(1) }
            _ = bits.unsigned()
            _ = bits.unsigned()
            _ = bits.bits(1)
            // Scaling lists: no encoder for real-time sends them.
            guard bits.bits(1) == 0 else { return nil }
        }
        _ = bits.unsigned()
        switch bits.unsigned() {
        case 0: _ = bits.unsigned()
        case 2: break
        default: return nil
        }
        _ = bits.unsigned()
        _ = bits.bits(1)
        let across = bits.unsigned()
        let down = bits.unsigned()
        let isFrames = bits.bits(1)
        if isFrames == 0 { _ = bits.bits(1) }
        _ = bits.bits(1)
        var cropped: (across: UInt32, down: UInt32) = (0, 0)
        if bits.bits(1) == 1 {
            let (left, right, top, bottom) = (bits.unsigned(), bits.unsigned(), bits.unsigned(), bits.unsigned())
            cropped = (
                (left &+ right) &* (chroma == 1 || chroma == 2 ? 2 : 1),
                (top &+ bottom) &* (chroma == 1 ? 2 : 1) &* (2 &- isFrames)
            )
        }
        guard !bits.isExhausted, across < 1024, down < 1024 else { return nil }
        let (wide, high) = ((across + 1) * 16, (down + 1) * 16 * (2 - isFrames))
        guard cropped.across < wide, cropped.down < high else { return nil }
        width = UInt16(clamping: wide - cropped.across)
        height = UInt16(clamping: high - cropped.down)
    }
}

/// Bits of a NAL unit without its emulation prevention bytes (ITU-T H.264 §7.4.1); past the end everything is 0.
struct ExpGolombReader {
    private var bytes = InlineArray<64, UInt8>(repeating: 0)
    private var count = 0
    private var position = 0
    private(set) var isExhausted = false

    init(_ unit: Span<UInt8>, _ range: Range<Int>) {
        var zeros = 0
        for index in range where count < bytes.count {
            let byte = unit[index]
            if zeros >= 2, byte == 3 {
                zeros = 0
                continue
            }
            zeros = byte == 0 ? zeros + 1 : 0
            bytes[count] = byte
            count += 1
        }
    }

    mutating func bits(_ wanted: Int) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<wanted {
            guard position < 8 * count else {
                isExhausted = true
                return 0
            }
            value = value << 1 | UInt32(bytes[position / 8] >> UInt8(7 - position % 8) & 1)
            position += 1
        }
        return value
    }

    /// `ue(v)`: as many zeros as bits follow the one behind them.
    mutating func unsigned() -> UInt32 {
        var zeros = 0
        while bits(1) == 0 {
            zeros += 1
            guard zeros < 32, !isExhausted else {
                isExhausted = true
                return 0
            }
        }
        return (1 << UInt32(zeros)) - 1 + bits(zeros)
    }
}
