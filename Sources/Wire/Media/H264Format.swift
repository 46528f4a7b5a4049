/// The parameter sets of an H.264 track and what follows from them.
public struct H264Format: Equatable, Sendable {
    /// Sequence parameter sets, whole NAL units, by rising id.
    public let sps: [[UInt8]]
    /// Picture parameter sets, whole NAL units, by rising id.
    public let pps: [[UInt8]]
    /// The first sequence parameter set, read.
    public let first: H264SPS

    /// Throws when the first sequence parameter set cannot be read, or a set of either kind is missing or too long for `avcC`.
    public init(sps: [[UInt8]], pps: [[UInt8]]) throws(BitstreamError) {
        guard let head = sps.first, sps.count <= 31 else { throw .invalid(field: "sps") }
        guard !pps.isEmpty, pps.count <= 255 else { throw .invalid(field: "pps") }
        guard (sps + pps).allSatisfy({ !$0.isEmpty && $0.count <= 65535 }) else { throw .invalid(field: "length") }
        first = try H264SPS(nal: head)
        self.sps = sps
        self.pps = pps
    }

    /// AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.3.3.1), four-byte NAL lengths.
    public var decoderConfiguration: [UInt8] {
        var record: [UInt8] = [1, first.profile, first.constraints, first.level, 0xFF, 0xE0 | UInt8(sps.count)]
        for set in sps { Self.append(set, to: &record) }
        record.append(UInt8(pps.count))
        for set in pps { Self.append(set, to: &record) }
        if ![66, 77, 88].contains(first.profile) {
            record.append(0xFC | UInt8(first.chromaFormat))
            record.append(0xF8 | UInt8(first.lumaDepthMinus8))
            record.append(0xF8 | UInt8(first.chromaDepthMinus8))
            record.append(0)
        }
        return record
    }

    private static func append(_ set: [UInt8], to record: inout [UInt8]) {
        record.append(UInt8(truncatingIfNeeded: set.count >> 8))
        record.append(UInt8(truncatingIfNeeded: set.count))
        record.append(contentsOf: set)
    }
}

/// Parameter sets seen so far, latest of each id (RFC 6184 8.4, H.264 7.4.1.2.1).
struct H264ParameterSets: Sendable {
    private var sps: [Int: [UInt8]] = [:]
    private var pps: [Int: (nal: [UInt8], spsID: Int)] = [:]

    /// Keeps one; a set that cannot be read is left out.
    mutating func insert(_ nal: [UInt8]) {
        guard let header = nal.first, nal.count <= 65535 else { return }
        switch header & 0x1F {
        case 7:
            guard let set = try? H264SPS(nal: nal) else { return }
            sps[set.id] = nal
        case 8:
            var reader = BitReader(rbspOf: nal.dropFirst())
            guard let id = try? reader.unsigned("pic_parameter_set_id", max: 255), pps.count < 255 || pps[id] != nil,
                let spsID = try? reader.unsigned("seq_parameter_set_id", max: 31)
            else { return }
            pps[id] = (nal, spsID)
        default:
            break
        }
    }

    /// Reads `sprop-parameter-sets` of an fmtp line (RFC 6184 8.1); what is not base64 is left out.
    mutating func insert(fmtp: String) {
        for set in SpropParameters.sets(["sprop-parameter-sets"], of: fmtp) { insert(set) }
    }

    /// So many bytes of a slice are enough to find what it refers to.
    static let sliceHeadBytes = 24

    /// The picture parameter set that a slice refers to (H.264 7.3.3); nil when its header cannot be read.
    static func reference(of slice: [UInt8]) -> Int? {
        var reader = BitReader(rbspOf: slice.prefix(sliceHeadBytes).dropFirst())
        guard (try? reader.unsigned("first_mb_in_slice", max: 1 << 24)) != nil,
            (try? reader.unsigned("slice_type", max: 9)) != nil
        else { return nil }
        return try? reader.unsigned("pic_parameter_set_id", max: 255)
    }

    /// What a decoder needs from a picture on that refers to this set: its sequence parameter set, and all picture parameter sets that
    /// go with that. Nil while one of them is missing.
    func format(ofPicture id: Int) -> H264Format? {
        guard let spsID = pps[id]?.spsID, let active = sps[spsID] else { return nil }
        let fitting = pps.filter { $0.value.spsID == spsID }.sorted { $0.key < $1.key }
        return try? H264Format(sps: [active], pps: fitting.map(\.value.nal))
    }
}

/// Base64 of short parameters (RFC 4648 section 4), without Foundation.
enum Base64 {
    static func decode(_ text: Substring) -> [UInt8] {
        var out: [UInt8] = []
        var accumulator: UInt32 = 0
        var bits = 0
        for character in text.utf8 {
            let value: UInt32
            switch character {
            case 0x41...0x5A: value = UInt32(character) - 0x41
            case 0x61...0x7A: value = UInt32(character) - 0x61 + 26
            case 0x30...0x39: value = UInt32(character) - 0x30 + 52
            case 0x2B, 0x2D: value = 62
            case 0x2F, 0x5F: value = 63
            case 0x3D, 0x20: continue
            default: return []
            }
            accumulator = accumulator << 6 | value
            bits += 6
            if bits >= 8 {
                bits -= 8
                out.append(UInt8(truncatingIfNeeded: accumulator >> UInt32(bits)))
                accumulator &= (1 << UInt32(bits)) - 1
            }
        }
        return out
    }
}
