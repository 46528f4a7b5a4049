/// Parameter sets that a publisher tells of in its SDP only, as a packet for those who have no part in that.
public enum ParameterSetPacket {
    /// What fits a datagram beside its headers.
    private static let bytesMax = 1200

    /// The RTP payload, a STAP-A (RFC 6184 section 5.7.1), of the `sprop-parameter-sets` in H.264's format parameters (section 8.1).
    ///
    /// - Returns: nil without sets of both kinds, and where they aren't what they should be.
    public static func h264(fmtp: String) -> [UInt8]? {
        let sets = SpropParameters.sets(["sprop-parameter-sets"], of: fmtp).filter { set in
            set.first.map { $0 & 0x1F == 7 || $0 & 0x1F == 8 } ?? false
        }
        let sequences = sets.filter { $0[0] & 0x1F == 7 }
        guard !sequences.isEmpty, sequences.count < sets.count, sequences.allSatisfy({ (try? H264SPS(nal: $0)) != nil }) else {
            return nil
        }
        let importance = sets.map { $0[0] & 0x60 }.max() ?? 0
        let units = sets.flatMap { [UInt8(truncatingIfNeeded: $0.count >> 8), UInt8(truncatingIfNeeded: $0.count)] + $0 }
        return units.count < bytesMax ? [24 | importance] + units : nil
    }
}
