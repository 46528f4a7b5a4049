import COpenSSL

/// The peer's direction of SRTP and SRTCP: authenticates, decrypts where the packet stands, rejects replays (RFC 3711, RFC 7714).
///
/// A source enters the table only with an authentic packet, so strangers cannot fill it. None leaves it, for what was taken once of one that was
/// forgotten would be taken again.
struct SRTPReceiver: ~Copyable {
    private struct Source {
        let ssrc: UInt32
        var window: ReplayWindow
    }

    /// Plain length, or why not.
    enum Outcome {
        case plain(Int)
        case dropped(DropReason)
    }

    let profile: SRTPProfile
    private let rtp: SRTPCipher
    private let rtcp: SRTPCipher
    private var rtpSources: [Source] = []
    private var rtcpSources: [Source] = []

    init(profile: SRTPProfile, master: SRTPMasterKey) throws(TransportError) {
        let rtp = try SRTPCipher(profile: profile, master: master, labels: .rtp, encrypts: false)
        let rtcp = try SRTPCipher(profile: profile, master: master, labels: .rtcp, encrypts: false)
        self.profile = profile
        self.rtp = rtp
        self.rtcp = rtcp
    }

    /// Sources that sent at least one authentic RTP packet.
    var sourceCount: Int { rtpSources.count }

    /// Whether a packet is numbered as one of the next of a source that has been heard, or as one of the first reports of another: media
    /// begins with any number, reports do not (RFC 3711 section 3.4). Costs no cryptography and believes nothing.
    func mayContinue(_ packet: UnsafeRawBufferPointer) -> Bool {
        if DatagramKind(packet) == .rtcp {
            let wordOffset = packet.count - 4 - (profile == .aeadAES128GCM ? 0 : profile.tagBytes)
            guard wordOffset >= 8 else { return false }
            let index = UInt64(Self.word(packet, at: wordOffset) & 0x7FFF_FFFF)
            guard let known = Self.find(Self.word(packet, at: 4), in: rtcpSources) else { return index <= Limits.reportsAhead }
            return (1...Limits.reportsAhead).contains(index &- rtcpSources[known].window.highest)
        }
        guard packet.count >= 12, let known = Self.find(Self.word(packet, at: 8), in: rtpSources) else { return false }
        let highest = rtpSources[known].window.highest
        let sequence = UInt16(truncatingIfNeeded: Self.word(packet, at: 0))
        return (1...Limits.packetsAhead).contains(Self.index(of: sequence, highest: highest) &- highest)
    }

    private static func word(_ packet: UnsafeRawBufferPointer, at offset: Int) -> UInt32 {
        UInt32(bigEndian: packet.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    /// Length of the RTP header with CSRCs and extension; nil when it does not fit (RFC 3550 section 5.1).
    @inline(__always)
    private static func headerBytes(_ packet: UnsafeRawBufferPointer, trailer: Int) -> Int? {
        let room = packet.count - trailer
        guard room >= 12, packet[0] & 0xC0 == 0x80 else { return nil }
        var count = 12 + Int(packet[0] & 0x0F) * 4
        if packet[0] & 0x10 != 0 {
            guard room >= count + 4 else { return nil }
            count += 4 + 4 * (Int(packet[count + 2]) << 8 | Int(packet[count + 3]))
        }
        return count <= room ? count : nil
    }

    /// Index of a packet from its 16-bit number and the highest index so far (RFC 3711 section 3.3.1 and appendix A).
    @inline(__always)
    static func index(of sequence: UInt16, highest: UInt64) -> UInt64 {
        let rollover = highest >> 16
        let last = UInt16(truncatingIfNeeded: highest)
        let number = UInt64(sequence)
        if last < 0x8000 {
            if Int(sequence) - Int(last) > 0x8000 && rollover > 0 { return (rollover - 1) << 16 | number }
        } else if Int(last) - 0x8000 > Int(sequence) {
            return (rollover + 1) << 16 | number
        }
        return rollover << 16 | number
    }

    /// Authenticates and decrypts an SRTP packet in place.
    @inline(__always)
    mutating func unprotectRTP(_ packet: UnsafeMutableRawBufferPointer) -> Outcome {
        let tagBytes = profile.tagBytes
        guard let base = packet.baseAddress, let headerBytes = Self.headerBytes(UnsafeRawBufferPointer(packet), trailer: tagBytes)
        else { return .dropped(.rtpMalformed) }
        let sequence = UInt16(bigEndian: packet.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
        let ssrc = UInt32(bigEndian: packet.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        let known = Self.find(ssrc, in: rtpSources)
        var index = UInt64(sequence)
        if let known {
            index = Self.index(of: sequence, highest: rtpSources[known].window.highest)
            guard rtpSources[known].window.accepts(index) else { return .dropped(.srtpReplay) }
        }
        let count = packet.count - tagBytes
        let header = UnsafeRawBufferPointer(start: base, count: headerBytes)
        let body = base + headerBytes
        if profile == .aeadAES128GCM {
            guard rtp.open(ssrc: ssrc, index: index, header: header, trailer: nil, body: body, count: count - headerBytes)
            else { return .dropped(.srtpAuthentication) }
        } else {
            let rollover = UInt32(truncatingIfNeeded: index >> 16).bigEndian
            let signed = UnsafeRawBufferPointer(start: base, count: count)
            let isAuthentic = withUnsafeBytes(of: rollover) {
                Self.matches(rtp, signed, $0, tag: base + count)
            }
            guard isAuthentic, rtp.counterMode(ssrc: ssrc, index: index, input: body, count: count - headerBytes, into: body)
            else { return .dropped(.srtpAuthentication) }
        }
        if let known {
            rtpSources[known].window.insert(index)
        } else if rtpSources.count < Limits.ssrcsPerPeer {
            rtpSources.append(Source(ssrc: ssrc, window: ReplayWindow(first: index)))
        } else {
            return .dropped(.srtpTooManySources)
        }
        return .plain(count)
    }

    /// Authenticates and decrypts an SRTCP packet in place; unencrypted SRTCP (E = 0) is not accepted.
    mutating func unprotectRTCP(_ packet: UnsafeMutableRawBufferPointer) -> Outcome {
        let isAEAD = profile == .aeadAES128GCM
        let count = packet.count - profile.tagBytes - 4
        guard let base = packet.baseAddress, count >= 8, packet[0] & 0xC0 == 0x80 else { return .dropped(.rtcpMalformed) }
        let wordOffset = isAEAD ? packet.count - 4 : count
        let word = UInt32(bigEndian: packet.loadUnaligned(fromByteOffset: wordOffset, as: UInt32.self))
        guard word & 0x8000_0000 != 0 else { return .dropped(.rtcpMalformed) }
        let index = UInt64(word & 0x7FFF_FFFF)
        let ssrc = UInt32(bigEndian: packet.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        let known = Self.find(ssrc, in: rtcpSources)
        if let known {
            guard rtcpSources[known].window.accepts(index) else { return .dropped(.srtpReplay) }
        }
        let header = UnsafeRawBufferPointer(start: base, count: 8)
        let body = base + 8
        if isAEAD {
            // The tag stands right behind the ciphertext, the word behind the tag.
            let trailer = UnsafeRawBufferPointer(start: base + wordOffset, count: 4)
            guard rtcp.open(ssrc: ssrc, index: index, header: header, trailer: trailer, body: body, count: count - 8)
            else { return .dropped(.srtpAuthentication) }
        } else {
            let signed = UnsafeRawBufferPointer(start: base, count: count + 4)
            let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
            guard Self.matches(rtcp, signed, nothing, tag: base + count + 4),
                rtcp.counterMode(ssrc: ssrc, index: index, input: body, count: count - 8, into: body)
            else { return .dropped(.srtpAuthentication) }
        }
        if let known {
            rtcpSources[known].window.insert(index)
        } else if rtcpSources.count < Limits.ssrcsPerPeer {
            rtcpSources.append(Source(ssrc: ssrc, window: ReplayWindow(first: index)))
        } else {
            return .dropped(.srtpTooManySources)
        }
        return .plain(count)
    }

    @inline(__always)
    private static func find(_ ssrc: UInt32, in sources: borrowing [Source]) -> Int? {
        for index in 0..<sources.count where sources[index].ssrc == ssrc { return index }
        return nil
    }

    /// Compares an 80-bit tag in constant time.
    @inline(__always)
    private static func matches(
        _ key: borrowing SRTPCipher, _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, tag: UnsafeRawPointer
    ) -> Bool {
        var digest: HMACSHA1.Digest = (0, 0, 0)
        return withUnsafeMutableBytes(of: &digest) { place in
            guard let base = place.baseAddress else { return false }
            key.sign(first, second, into: base)
            return CRYPTO_memcmp(base, tag, 10) == 0
        }
    }
}
