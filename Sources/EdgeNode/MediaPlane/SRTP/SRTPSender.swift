/// Our direction of SRTP and SRTCP (RFC 3711, RFC 7714).
///
/// The caller keeps the rollover counter: it numbers packets itself and must never give one (SSRC, index) two contents.
struct SRTPSender: ~Copyable {
    let profile: SRTPProfile
    private let rtp: SRTPCipher
    private let rtcp: SRTPCipher
    /// 31-bit SRTCP index (RFC 3711 section 3.4); one for all SSRCs of the session keeps nonces unique.
    private var rtcpIndex: UInt32 = 0

    init(profile: SRTPProfile, master: SRTPMasterKey) throws(TransportError) {
        let rtp = try SRTPCipher(profile: profile, master: master, labels: .rtp, encrypts: true)
        let rtcp = try SRTPCipher(profile: profile, master: master, labels: .rtcp, encrypts: true)
        self.profile = profile
        self.rtp = rtp
        self.rtcp = rtcp
    }

    /// Writes header, encrypted payload and tag to `out`; returns the length, 0 on failure.
    @inline(__always)
    func protectRTP(
        header: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer, extendedSequence: UInt64,
        into out: UnsafeMutableRawPointer
    ) -> Int {
        guard header.count >= 12, let headerBase = header.baseAddress else { return 0 }
        let index = extendedSequence & 0xFFFF_FFFF_FFFF
        let ssrc = UInt32(bigEndian: header.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        out.copyMemory(from: headerBase, byteCount: header.count)
        let body = out + header.count
        let count = header.count + payload.count
        if profile == .aeadAES128GCM {
            let isSealed = rtp.seal(ssrc: ssrc, index: index, header: header, trailer: nil, plain: payload, into: body)
            return isSealed ? count + 16 : 0
        }
        guard rtp.counterMode(ssrc: ssrc, index: index, input: payload.baseAddress, count: payload.count, into: body) else {
            return 0
        }
        appendTag(
            UnsafeRawBufferPointer(start: out, count: count), rollover: UInt32(truncatingIfNeeded: index >> 16), to: out + count)
        return count + 10
    }

    /// Truncated HMAC-SHA1 over the packet and the rollover counter (RFC 3711 section 4.2).
    @inline(__always)
    private func appendTag(_ packet: UnsafeRawBufferPointer, rollover: UInt32, to out: UnsafeMutableRawPointer) {
        var digest: HMACSHA1.Digest = (0, 0, 0)
        let rollover = rollover.bigEndian
        withUnsafeMutableBytes(of: &digest) { place in
            guard let base = place.baseAddress else { return }
            withUnsafeBytes(of: rollover) { rtp.sign(packet, $0, into: base) }
            out.copyMemory(from: base, byteCount: 10)
        }
    }

    /// Writes one whole SRTCP packet to `out`; returns the length, 0 for a packet shorter than its fixed header.
    mutating func protectRTCP(_ packet: UnsafeRawBufferPointer, into out: UnsafeMutableRawPointer) -> Int {
        guard packet.count >= 8, let base = packet.baseAddress else { return 0 }
        rtcpIndex = (rtcpIndex &+ 1) & 0x7FFF_FFFF
        let index = rtcpIndex
        let word = (0x8000_0000 | index).bigEndian
        let ssrc = UInt32(bigEndian: packet.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        let header = UnsafeRawBufferPointer(rebasing: packet[..<8])
        let body = UnsafeRawBufferPointer(rebasing: packet[8...])
        out.copyMemory(from: base, byteCount: 8)
        if profile == .aeadAES128GCM {
            let isSealed = withUnsafeBytes(of: word) { trailer in
                rtcp.seal(ssrc: ssrc, index: UInt64(index), header: header, trailer: trailer, plain: body, into: out + 8)
            }
            guard isSealed else { return 0 }
            (out + packet.count + 16).storeBytes(of: word, as: UInt32.self)
            return packet.count + 20
        }
        guard rtcp.counterMode(ssrc: ssrc, index: UInt64(index), input: body.baseAddress, count: body.count, into: out + 8) else {
            return 0
        }
        (out + packet.count).storeBytes(of: word, as: UInt32.self)
        let count = packet.count + 4
        var digest: HMACSHA1.Digest = (0, 0, 0)
        withUnsafeMutableBytes(of: &digest) { place in
            guard let base = place.baseAddress else { return }
            rtcp.sign(
                UnsafeRawBufferPointer(start: out, count: count), UnsafeRawBufferPointer(start: nil, count: 0), into: base)
            (out + count).copyMemory(from: base, byteCount: 10)
        }
        return count + 10
    }
}
