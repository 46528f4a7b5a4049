import TestThreads
import Testing

@testable import MediaPlane

extension SRTPReceiver.Outcome {
    var plainCount: Int? { if case .plain(let count) = self { count } else { nil } }
    var reason: DropReason? { if case .dropped(let reason) = self { reason } else { nil } }
}

/// Class boxes: the test macros cannot hold noncopyable values.
final class Sender {
    private var sender: SRTPSender
    init(_ profile: SRTPProfile, _ master: SRTPMasterKey) throws { sender = try SRTPSender(profile: profile, master: master) }

    func rtp(_ packet: [UInt8], headerBytes: Int = 12, rollover: UInt64 = 0) -> [UInt8] {
        let extended = rollover << 16 | UInt64(packet[2]) << 8 | UInt64(packet[3])
        return packet.withUnsafeBytes { bytes in
            output(packet.count) {
                sender.protectRTP(
                    header: .init(rebasing: bytes[..<headerBytes]), payload: .init(rebasing: bytes[headerBytes...]),
                    extendedSequence: extended, into: $0)
            }
        }
    }

    func rtcp(_ packet: [UInt8]) -> [UInt8] {
        packet.withUnsafeBytes { bytes in output(packet.count) { sender.protectRTCP(bytes, into: $0) } }
    }

    private func output(_ count: Int, _ write: (UnsafeMutableRawPointer) -> Int) -> [UInt8] {
        let out = UnsafeMutableRawBufferPointer.allocate(byteCount: count + Limits.srtpTrailerBytes, alignment: 1)
        defer { out.deallocate() }
        guard let base = out.baseAddress else { return [] }
        return Array(out.prefix(write(base)))
    }
}

final class Receiver {
    private var receiver: SRTPReceiver
    init(_ profile: SRTPProfile, _ master: SRTPMasterKey) throws { receiver = try SRTPReceiver(profile: profile, master: master) }
    var sourceCount: Int { receiver.sourceCount }

    func rtp(_ packet: [UInt8]) -> (plain: [UInt8]?, reason: DropReason?) {
        var bytes = packet
        let outcome = bytes.withUnsafeMutableBytes { receiver.unprotectRTP($0) }
        return (outcome.plainCount.map { Array(bytes.prefix($0)) }, outcome.reason)
    }

    func rtcp(_ packet: [UInt8]) -> (plain: [UInt8]?, reason: DropReason?) {
        var bytes = packet
        let outcome = bytes.withUnsafeMutableBytes { receiver.unprotectRTCP($0) }
        return (outcome.plainCount.map { Array(bytes.prefix($0)) }, outcome.reason)
    }
}

@Suite("SRTP (RFC 3711, RFC 7714)", .offThePool)
struct SRTPTests {
    static func master(_ profile: SRTPProfile) -> SRTPMasterKey {
        SRTPMasterKey(key: Array(0..<16), salt: (0..<profile.saltBytes).map { UInt8(0xA0 + $0) })
    }

    @Test("key derivation vectors (RFC 3711 B.3)")
    func derivation() throws {
        let master = SRTPMasterKey(
            key: hex("E1F97A0D3E018BE0D64FA32C06DE4139"), salt: hex("0EC675AD498AFEEBB6960B3AABE6"))
        #expect(try SRTPCipher.derive(master, label: 0, count: 16) == hex("C61E7A93744F39EE10734AFE3FF7A087"))
        #expect(try SRTPCipher.derive(master, label: 2, count: 14) == hex("30CBBC08863D8C85D49DB34A9AE1"))
        #expect(try SRTPCipher.derive(master, label: 1, count: 20) == hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"))
    }

    @Test("AES-CM keystream (RFC 3711 B.2)")
    func counterMode() throws {
        let cipher = try SRTPCipher(
            profile: .aes128CMSHA1_80, key: hex("2B7E151628AED2A6ABF7158809CF4F3C"), salt: hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"),
            authenticationKey: [], encrypts: true)
        var bytes = [UInt8](repeating: 0, count: 32)
        let isDone = bytes.withUnsafeMutableBytes { place in
            cipher.counterMode(ssrc: 0, index: 0, input: place.baseAddress, count: 32, into: place.baseAddress!)
        }
        #expect(isDone)
        #expect(bytes == hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB"))
    }

    @Test("AEAD_AES_128_GCM encryption (RFC 7714 16.1.1)")
    func aeadVector() throws {
        let packet = hex(
            """
            8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e6973206469766973612069 6e207061727465732074726573
            """)
        let expected = hex(
            """
            f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce
            """)
        let cipher = try SRTPCipher(
            profile: .aeadAES128GCM, key: Array(0..<16), salt: hex("517569642070726f2071756f"), authenticationKey: [],
            encrypts: true)
        var out = [UInt8](repeating: 0, count: packet.count - 12 + 16)
        let isSealed = packet.withUnsafeBytes { bytes in
            out.withUnsafeMutableBytes { place in
                cipher.seal(
                    ssrc: 0x5501_A0B2, index: 0xF17B, header: .init(rebasing: bytes[..<12]), trailer: nil,
                    plain: .init(rebasing: bytes[12...]), into: place.baseAddress!)
            }
        }
        #expect(isSealed)
        #expect(out == expected)
    }

    @Test(
        "round trip over the sequence wrap with loss and reordering", arguments: SRTPProfile.allCases,
        [
            [65533, 65534, 65535, 65536, 65537], [65535, 65537, 65536, 65534], [1, 40000, 70000, 100000, 130000],
            [32767, 32768, 65534, 65600, 98000, 130000, 131071, 131072], [0, 1, 2],
        ])
    func rollover(profile: SRTPProfile, indices: [UInt64]) throws {
        let sender = try Sender(profile, Self.master(profile))
        let receiver = try Receiver(profile, Self.master(profile))
        for index in indices {
            let packet = rtpPacket(
                ssrc: 77, sequence: UInt16(truncatingIfNeeded: index), payload: [1, 2, 3, UInt8(index & 0xFF)])
            let sealed = sender.rtp(packet, rollover: index >> 16)
            #expect(receiver.rtp(sealed).plain == packet, "index \(index)")
            #expect(receiver.rtp(sealed).reason == .srtpReplay)
        }
    }

    @Test(
        "10,000 rollovers, with reordering at each; numbers of media, and a repair stream's own", arguments: SRTPProfile.allCases)
    func manyRollovers(profile: SRTPProfile) throws {
        let sender = try Sender(profile, Self.master(profile))
        let receiver = try Receiver(profile, Self.master(profile))
        var faults: [UInt64] = []
        func pass(_ index: UInt64) {
            // The repair stream carries the number of what it repairs, and is numbered otherwise.
            for (ssrc, own) in [(77, index), (78, index &+ 0x7FF0)] as [(UInt32, UInt64)] {
                let packet = rtpPacket(
                    ssrc: ssrc, sequence: UInt16(truncatingIfNeeded: own),
                    payload: [UInt8(index >> 8 & 0xFF), UInt8(index & 0xFF)])
                if receiver.rtp(sender.rtp(packet, rollover: own >> 16)).plain != packet { faults.append(own) }
            }
        }
        var position: UInt64 = 1
        pass(position)
        while position < 10_000 << 16, faults.count < 5 {
            let wrap = (position >> 16 + 1) << 16
            if position + 22_000 < wrap {
                position += 22_000
                pass(position)
            } else {
                for near in [wrap - 2, wrap - 1, wrap + 1, wrap, wrap + 2] { pass(near) }
                position = wrap + 2
            }
        }
        #expect(faults.isEmpty)
        // What was captured a whole number of rollovers ago is another packet now, and refused.
        let old = rtpPacket(ssrc: 77, sequence: UInt16(truncatingIfNeeded: position), payload: [1, 2])
        #expect(receiver.rtp(sender.rtp(old, rollover: (position >> 16) - 1)).plain == nil)
    }

    @Test("window of 1024: late once is taken, twice or older is not", arguments: SRTPProfile.allCases)
    func replay(profile: SRTPProfile) throws {
        let sender = try Sender(profile, Self.master(profile))
        let receiver = try Receiver(profile, Self.master(profile))
        func sealed(_ sequence: UInt16) -> [UInt8] { sender.rtp(rtpPacket(ssrc: 1, sequence: sequence, payload: [9])) }
        #expect(receiver.rtp(sealed(5000)).plain != nil)
        #expect(receiver.rtp(sealed(5000 - 1023)).plain != nil)
        #expect(receiver.rtp(sealed(5000 - 1023)).reason == .srtpReplay)
        #expect(receiver.rtp(sealed(5000 - 1024)).reason == .srtpReplay)
        #expect(receiver.rtp(sealed(5000 + 3000)).plain != nil)
        #expect(receiver.rtp(sealed(5000 + 2999)).plain != nil)
        #expect(receiver.rtp(sealed(5000)).reason == .srtpReplay)
    }

    @Test("window agrees with a set of all indices seen")
    func windowModel() {
        var random = Mutator.Random(seed: 3)
        var window = ReplayWindow(first: 100)
        var seen: Set<UInt64> = [100]
        var highest: UInt64 = 100
        for _ in 0..<20_000 {
            let step = Int.random(in: 0..<20, using: &random) == 0 ? 3000 : 200
            let index = UInt64(max(0, Int(highest) + Int.random(in: -1500...step, using: &random)))
            let expected = index > highest || (highest - index < 1024 && !seen.contains(index))
            #expect(window.accepts(index) == expected, "\(index) of \(highest)")
            guard expected else { continue }
            window.insert(index)
            seen.insert(index)
            highest = max(highest, index)
        }
    }

    @Test("any changed bit is refused, RTP and RTCP", arguments: SRTPProfile.allCases)
    func tampering(profile: SRTPProfile) throws {
        let sender = try Sender(profile, Self.master(profile))
        let receiver = try Receiver(profile, Self.master(profile))
        let rtp = sender.rtp(rtpPacket(ssrc: 7, sequence: 9, payload: [1, 2, 3], extensionWords: 1), headerBytes: 20)
        let rtcp = sender.rtcp([0x80, 201, 0, 2, 0, 0, 0, 9, 1, 2, 3, 4])
        for bit in 0..<(rtp.count * 8) {
            var bytes = rtp
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(receiver.rtp(bytes).plain == nil, "bit \(bit)")
        }
        for bit in 0..<(rtcp.count * 8) {
            var bytes = rtcp
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(receiver.rtcp(bytes).plain == nil, "bit \(bit)")
        }
        #expect(receiver.sourceCount == 0)
        #expect(receiver.rtp(rtp).plain != nil && receiver.rtcp(rtcp).plain != nil)
    }

    @Test("sources are bounded, and strangers take no place", arguments: SRTPProfile.allCases)
    func boundedSources(profile: SRTPProfile) throws {
        let sender = try Sender(profile, Self.master(profile))
        let receiver = try Receiver(profile, Self.master(profile))
        for ssrc in UInt32(0)..<32 {
            #expect(
                receiver.rtp(rtpPacket(ssrc: 1000 + ssrc, sequence: 1, payload: [UInt8](repeating: 0, count: 40))).reason
                    == .srtpAuthentication)
            #expect(receiver.rtp(sender.rtp(rtpPacket(ssrc: ssrc, sequence: 1, payload: [1]))).plain != nil)
        }
        #expect(receiver.rtp(sender.rtp(rtpPacket(ssrc: 99, sequence: 1, payload: [1]))).reason == .srtpTooManySources)
        let stranger = rtpPacket(ssrc: 100, sequence: 1, payload: [UInt8](repeating: 0, count: 40))
        #expect(receiver.rtp(stranger).reason == .srtpAuthentication, "only the peer itself can have too many")
        #expect(receiver.sourceCount == 32)
    }

    @Test(
        "header that does not fit its packet is malformed",
        arguments: [
            [UInt8](repeating: 0x80, count: 20), hex("8f60000100000000000000010000000000000000000000000000000000000000"),
            hex("9060000100000000000000010000ffff00000000000000000000000000000000"),
        ])
    func malformed(packet: [UInt8]) throws {
        let receiver = try Receiver(.aeadAES128GCM, Self.master(.aeadAES128GCM))
        #expect(receiver.rtp(packet).reason == .rtpMalformed)
    }
}
