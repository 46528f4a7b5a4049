import CSRTP
import TestThreads
import Testing

@testable import MediaPlane

/// One direction of libsrtp2, the reference ours is compared with.
private final class Oracle {
    private var session: srtp_t?
    private let key: UnsafeMutableBufferPointer<UInt8>

    private static let isReady: Bool = srtp_init() == srtp_err_status_ok

    init?(_ profile: SRTPProfile, _ master: SRTPMasterKey, inbound: Bool) {
        guard Self.isReady else { return nil }
        let bytes = master.key + master.salt
        key = .allocate(capacity: bytes.count)
        _ = key.initialize(from: bytes)
        var policy = srtp_policy_t()
        switch profile {
        case .aeadAES128GCM:
            srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp)
            srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp)
        case .aes128CMSHA1_80:
            srtp_crypto_policy_set_rtp_default(&policy.rtp)
            srtp_crypto_policy_set_rtcp_default(&policy.rtcp)
        }
        policy.ssrc.type = inbound ? ssrc_any_inbound : ssrc_any_outbound
        policy.key = key.baseAddress
        policy.window_size = 1024
        guard srtp_create(&session, &policy) == srtp_err_status_ok else { return nil }
    }

    deinit {
        srtp_dealloc(session)
        key.deallocate()
    }

    func run(
        _ packet: [UInt8], _ call: (srtp_t?, UnsafeMutableRawPointer?, UnsafeMutablePointer<Int32>?) -> srtp_err_status_t
    ) -> [UInt8]? {
        var bytes = packet + [UInt8](repeating: 0, count: 64)
        var count = Int32(packet.count)
        let status = bytes.withUnsafeMutableBytes { call(session, $0.baseAddress, &count) }
        return status == srtp_err_status_ok ? Array(bytes.prefix(Int(count))) : nil
    }
}

@Suite("SRTP against libsrtp2", .offThePool, .serialized)
struct SRTPOracleTests {
    /// Packet indices with a jump now and then, over a sequence wrap.
    private static func indices(seed: UInt64, jump: Int) -> [UInt64] {
        var random = Mutator.Random(seed: seed)
        var index: UInt64 = 65_000
        return (0..<1200).map { _ in
            index += UInt64(Int.random(in: 0..<20, using: &random) == 0 ? jump : 1)
            return index
        }
    }

    private static func packet(_ index: UInt64, _ mutator: inout Mutator) -> (bytes: [UInt8], headerBytes: Int) {
        let words = mutator.below(3)
        let csrcs = mutator.below(3)
        let bytes = rtpPacket(
            ssrc: 0xDEAD_0001, sequence: UInt16(truncatingIfNeeded: index), payload: mutator.bytes(mutator.below(1200)),
            extensionWords: words, csrcs: csrcs)
        return (bytes, 12 + 4 * csrcs + (words > 0 ? 4 + 4 * words : 0))
    }

    @Test("libsrtp2 reads what we send", arguments: SRTPProfile.allCases)
    func ours(profile: SRTPProfile) throws {
        let oracle = try #require(Oracle(profile, SRTPTests.master(profile), inbound: true))
        let sender = try Sender(profile, SRTPTests.master(profile))
        var mutator = Mutator(seed: 11)
        // libsrtp2 starts at rollover 0, as a peer does; our numbering starts there too.
        for index in Self.indices(seed: 1, jump: 2000) {
            let (plain, headerBytes) = Self.packet(index, &mutator)
            let sealed = sender.rtp(plain, headerBytes: headerBytes, rollover: index >> 16)
            #expect(oracle.run(sealed) { srtp_unprotect($0, $1, $2) } == plain, "index \(index)")
            guard index % 10 == 0 else { continue }
            let report = [0x80, 200, 0, 6, 0, 0, 0, 9] + mutator.bytes(4 * (1 + mutator.below(20)))
            #expect(oracle.run(sender.rtcp(report)) { srtp_unprotect_rtcp($0, $1, $2) } == report)
        }
    }

    @Test("we read what libsrtp2 sends", arguments: SRTPProfile.allCases)
    func theirs(profile: SRTPProfile) throws {
        let oracle = try #require(Oracle(profile, SRTPTests.master(profile), inbound: false))
        let receiver = try Receiver(profile, SRTPTests.master(profile))
        var mutator = Mutator(seed: 12)
        var held: [([UInt8], [UInt8])] = []
        for index in Self.indices(seed: 2, jump: 10) {
            let (plain, _) = Self.packet(index, &mutator)
            let sealed = try #require(oracle.run(plain) { srtp_protect($0, $1, $2) })
            held.append((sealed, plain))
            // Up to 16 packets wait, and leave in random order.
            guard held.count > 16 else { continue }
            let (bytes, expected) = held.remove(at: mutator.below(held.count))
            #expect(receiver.rtp(bytes).plain == expected, "index \(index)")
            #expect(receiver.rtp(bytes).reason == .srtpReplay)
            guard index % 10 == 0 else { continue }
            let report = [0x80, 200, 0, 6, 0, 0, 0, 9] + mutator.bytes(4 * (1 + mutator.below(20)))
            let sealedReport = try #require(oracle.run(report) { srtp_protect_rtcp($0, $1, $2) })
            #expect(receiver.rtcp(sealedReport).plain == report)
            #expect(receiver.rtcp(sealedReport).reason == .srtpReplay)
        }
    }

    @Test("damaged packets: both refuse the same ones", arguments: SRTPProfile.allCases)
    func damaged(profile: SRTPProfile) throws {
        let oracle = try #require(Oracle(profile, SRTPTests.master(profile), inbound: true))
        let receiver = try Receiver(profile, SRTPTests.master(profile))
        let sender = try Sender(profile, SRTPTests.master(profile))
        var mutator = Mutator(seed: 13)
        for index in UInt64(1)..<3000 {
            let (plain, headerBytes) = Self.packet(index, &mutator)
            let sealed = sender.rtp(plain, headerBytes: headerBytes)
            let bytes = mutator.mutate(sealed)
            guard bytes.count <= 1500, bytes != sealed else { continue }
            let theirs = bytes.count >= 12 ? oracle.run(bytes) { srtp_unprotect($0, $1, $2) } : nil
            #expect(receiver.rtp(bytes).plain == theirs)
        }
    }
}
