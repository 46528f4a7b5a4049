/// The parameter sets of an H.265 track and what follows from them.
public struct H265Format: Equatable, Sendable {
    /// Video parameter sets, whole NAL units, by rising id.
    public let vps: [[UInt8]]
    /// Sequence parameter sets, whole NAL units, by rising id.
    public let sps: [[UInt8]]
    /// Picture parameter sets, whole NAL units, by rising id.
    public let pps: [[UInt8]]
    /// The first sequence parameter set, read.
    public let first: H265SPS

    /// Throws when the first sequence parameter set cannot be read, or a set of a kind is missing or too long for `hvcC`.
    public init(vps: [[UInt8]], sps: [[UInt8]], pps: [[UInt8]]) throws(BitstreamError) {
        guard let head = sps.first, sps.count <= 16 else { throw .invalid(field: "sps") }
        guard !vps.isEmpty, vps.count <= 16 else { throw .invalid(field: "vps") }
        guard !pps.isEmpty, pps.count <= 64 else { throw .invalid(field: "pps") }
        guard (vps + sps + pps).allSatisfy({ $0.count > 2 && $0.count <= 65535 }) else { throw .invalid(field: "length") }
        first = try H265SPS(nal: head)
        self.vps = vps
        self.sps = sps
        self.pps = pps
    }

    /// HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 8.3.3.1), four-byte NAL lengths, all sets out of band.
    public var decoderConfiguration: [UInt8] {
        var record: [UInt8] = [1] + first.profileTierLevel
        record += [0xF0, 0, 0xFC, 0xFC | UInt8(first.chromaFormat)]
        record += [0xF8 | UInt8(first.lumaDepthMinus8), 0xF8 | UInt8(first.chromaDepthMinus8), 0, 0]
        record.append(UInt8(first.temporalLayers) << 3 | (first.isTemporallyNested ? 4 : 0) | 3)
        record.append(3)
        for (type, sets) in [(UInt8(32), vps), (33, sps), (34, pps)] {
            record += [0x80 | type, 0, UInt8(sets.count)]
            for set in sets {
                record += [UInt8(truncatingIfNeeded: set.count >> 8), UInt8(truncatingIfNeeded: set.count)]
                record += set
            }
        }
        return record
    }
}

/// Parameter sets seen so far, latest of each id (H.265 7.4.2.4.2).
struct H265ParameterSets: Sendable {
    private var vps: [Int: [UInt8]] = [:]
    private var sps: [Int: [UInt8]] = [:]
    private var pps: [Int: (nal: [UInt8], spsID: Int)] = [:]

    /// Keeps one; a set that cannot be read is left out.
    mutating func insert(_ nal: [UInt8]) {
        guard nal.count > 2, nal.count <= 65535 else { return }
        switch nal[0] >> 1 & 0x3F {
        case 32:
            vps[Int(nal[2] >> 4)] = nal
        case 33:
            guard let set = try? H265SPS(nal: nal) else { return }
            sps[set.id] = nal
        case 34:
            var reader = BitReader(rbspOf: nal.dropFirst(2))
            guard let id = try? reader.unsigned("pps_pic_parameter_set_id", max: 63),
                let spsID = try? reader.unsigned("pps_seq_parameter_set_id", max: 15)
            else { return }
            pps[id] = (nal, spsID)
        default:
            break
        }
    }

    /// Reads `sprop-vps`, `sprop-sps` and `sprop-pps` of an fmtp line (RFC 7798 7.1); what is not base64 is left out.
    mutating func insert(fmtp: String) {
        for set in SpropParameters.sets(["sprop-vps", "sprop-sps", "sprop-pps"], of: fmtp) { insert(set) }
    }

    /// The picture parameter set that the first slice segment of a random access point refers to (H.265 7.3.6.1); nil when its header
    /// cannot be read.
    static func reference(of slice: [UInt8]) -> Int? {
        var reader = BitReader(rbspOf: slice.prefix(24).dropFirst(2))
        // first_slice_segment_in_pic_flag, no_output_of_prior_pics_flag
        guard (try? reader.skip(2)) != nil else { return nil }
        return try? reader.unsigned("slice_pic_parameter_set_id", max: 63)
    }

    /// What a decoder needs from a picture on that refers to this set: its sequence and video parameter set, and all picture parameter
    /// sets that go with them. Nil while one of them is missing.
    func format(ofPicture id: Int) -> H265Format? {
        guard let spsID = pps[id]?.spsID, let active = sps[spsID], active.count > 2, let video = vps[Int(active[2] >> 4)] else {
            return nil
        }
        let fitting = pps.filter { $0.value.spsID == spsID }.sorted { $0.key < $1.key }
        return try? H265Format(vps: [video], sps: [active], pps: fitting.map(\.value.nal))
    }
}
