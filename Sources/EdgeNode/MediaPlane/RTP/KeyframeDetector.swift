/// What the start of a payload says about its access unit.
struct PayloadMarks: OptionSet {
    let rawValue: UInt8
    /// Coded data of a random access point begins in this packet.
    static let keyframe = PayloadMarks(rawValue: 1)
    /// Parameter sets that precede a random access point.
    static let parameterSets = PayloadMarks(rawValue: 2)
}

/// Tells from one RTP payload whether a decoder can start there; never needs another packet.
enum KeyframeDetector {
    static func marks(_ codec: CodecID, _ payload: Span<UInt8>) -> PayloadMarks {
        switch codec {
        case .h264: h264(payload)
        case .h265: h265(payload)
        case .vp8: vp8(payload)
        case .vp9: vp9(payload)
        case .av1: av1(payload)
        case .opus, .multiopus, .pcmu, .pcma, .g722, .aac: []
        }
    }

    /// RFC 6184 §5.2: single NAL units, STAP-A and the first fragment of FU-A.
    private static func h264(_ payload: Span<UInt8>) -> PayloadMarks {
        guard payload.count >= 1 else { return [] }
        switch payload[0] & 0x1F {
        case 24: return aggregated(payload, headerBytes: 1) { h264Unit($0) }
        case 28:
            guard payload.count >= 2, payload[1] & 0x80 != 0 else { return [] }
            return h264Unit(payload[1])
        default: return h264Unit(payload[0])
        }
    }

    private static func h264Unit(_ header: UInt8) -> PayloadMarks {
        switch header & 0x1F {
        case 5: .keyframe
        case 7: .parameterSets
        default: []
        }
    }

    /// RFC 7798 §4.4: single NAL units, aggregation packets, the first fragment, and each of them in a PACI packet.
    private static func h265(_ payload: Span<UInt8>) -> PayloadMarks {
        guard payload.count >= 2 else { return [] }
        let type = payload[0] >> 1 & 0x3F
        guard type == 50 else { return h265(type, payload, at: 2) }
        // The type of what it carries, and how long its own extension is (§4.4.4).
        guard payload.count >= 4 else { return [] }
        let start = 4 + Int(payload.bigEndian16(at: 2) >> 4 & 0x1F)
        guard start < payload.count else { return [] }
        return h265(payload[2] >> 1 & 0x3F, payload, at: start)
    }

    private static func h265(_ type: UInt8, _ payload: Span<UInt8>, at start: Int) -> PayloadMarks {
        switch type {
        case 48: return aggregated(payload, headerBytes: start) { h265Unit($0 >> 1 & 0x3F) }
        case 49:
            guard payload.count > start, payload[start] & 0x80 != 0 else { return [] }
            return h265Unit(payload[start] & 0x3F)
        default: return h265Unit(type)
        }
    }

    private static func h265Unit(_ type: UInt8) -> PayloadMarks {
        switch type {
        case 16...21: .keyframe
        case 32, 33: .parameterSets
        default: []
        }
    }

    /// Walks 16-bit length prefixed units and joins what `unit` says of each one's first byte.
    private static func aggregated(_ payload: Span<UInt8>, headerBytes: Int, _ unit: (UInt8) -> PayloadMarks) -> PayloadMarks {
        var marks: PayloadMarks = []
        var offset = headerBytes
        while offset + 2 < payload.count {
            let count = Int(payload.bigEndian16(at: offset))
            guard count > 0, offset + 2 + count <= payload.count else { break }
            marks.formUnion(unit(payload[offset + 2]))
            offset += 2 + count
        }
        return marks
    }

    /// RFC 7741 §4.2–4.3: start of partition 0, and the P bit of the frame header is 0.
    private static func vp8(_ payload: Span<UInt8>) -> PayloadMarks {
        guard let header = vp8HeaderOffset(payload) else { return [] }
        return payload[header] & 0x01 == 0 ? .keyframe : []
    }

    /// Where the frame header begins, in the first packet of a frame.
    static func vp8HeaderOffset(_ payload: Span<UInt8>) -> Int? {
        guard payload.count >= 1 else { return nil }
        let first = payload[0]
        guard first & 0x17 == 0x10 else { return nil }
        var offset = 1
        if first & 0x80 != 0 {
            guard payload.count >= 2 else { return nil }
            let present = payload[1]
            offset = 2
            if present & 0x80 != 0 {
                guard payload.count > offset else { return nil }
                offset += payload[offset] & 0x80 != 0 ? 2 : 1
            }
            if present & 0x40 != 0 { offset += 1 }
            if present & 0x30 != 0 { offset += 1 }
        }
        return payload.count > offset ? offset : nil
    }

    /// RFC 9628 §4.2: not inter-predicted, begins a frame, lowest spatial layer.
    private static func vp9(_ payload: Span<UInt8>) -> PayloadMarks {
        guard payload.count >= 1 else { return [] }
        let first = payload[0]
        guard first & 0x48 == 0x08 else { return [] }
        guard first & 0x20 != 0 else { return .keyframe }
        var offset = 1
        if first & 0x80 != 0 {
            guard payload.count > offset else { return [] }
            offset += payload[offset] & 0x80 != 0 ? 2 : 1
        }
        guard payload.count > offset else { return [] }
        return payload[offset] >> 1 & 0x07 == 0 ? .keyframe : []
    }

    /// AV1 RTP §4.4: the N bit begins a coded video sequence.
    private static func av1(_ payload: Span<UInt8>) -> PayloadMarks {
        guard payload.count >= 1 else { return [] }
        return payload[0] & 0x88 == 0x08 ? .keyframe : []
    }

    /// `profile_idc`, constraint flags and `level_idc` of an SPS in this payload, as 0xPPCCLL; nil without one (RFC 6184 §8.1).
    static func h264ProfileLevel(_ payload: Span<UInt8>) -> UInt32? {
        guard payload.count >= 4 else { return nil }
        if payload[0] & 0x1F == 7 { return payload.bigEndian32(at: 0) & 0x00FF_FFFF }
        guard payload[0] & 0x1F == 24 else { return nil }
        var offset = 1
        while offset + 2 < payload.count {
            let count = Int(payload.bigEndian16(at: offset))
            guard count > 0, offset + 2 + count <= payload.count else { return nil }
            if count >= 4, payload[offset + 2] & 0x1F == 7 { return payload.bigEndian32(at: offset + 2) & 0x00FF_FFFF }
            offset += 2 + count
        }
        return nil
    }
}
