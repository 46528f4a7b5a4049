extension AccessUnit {
    /// Larger than any real frame; guards memory against a sender that never ends one.
    static let bytesMax = 16 << 20
}

/// What samples and offers of H.264 and H.265 have in common.
extension [UInt8] {
    /// Adds a NAL unit behind its length in four bytes (ISO/IEC 14496-15 5.3.2, 8.3.2); false when the sample would become too large.
    mutating func append(sized nal: [UInt8]) -> Bool {
        guard count + nal.count <= AccessUnit.bytesMax else { return false }
        let size = UInt32(nal.count)
        for shift in [24, 16, 8, 0] as [UInt32] { append(UInt8(truncatingIfNeeded: size >> shift)) }
        append(contentsOf: nal)
        return true
    }
}

enum SpropParameters {
    /// The parameter sets in the named parameters of an fmtp line (RFC 6184 8.1, RFC 7798 7.1); what is not base64 is empty.
    static func sets(_ names: Set<String>, of fmtp: String) -> [[UInt8]] {
        fmtp.split(separator: ";").flatMap { parameter -> [[UInt8]] in
            let pair = parameter.drop { $0 == " " }.split(separator: "=", maxSplits: 1)
            guard pair.count == 2, names.contains(pair[0].lowercased()) else { return [] }
            return pair[1].split(separator: ",").map { Base64.decode($0) }
        }
    }
}
