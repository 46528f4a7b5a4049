import TestThreads
import Testing

@testable import MediaPlane

@Suite("Media from an address that no check came from: a NAT has forgotten the peer (RFC 7675 §5.1, RFC 8445 §7.3)", .offThePool)
struct ElsewhereTests {
    private static let elsewhere = SocketAddress(ipv4: 0x7F00_0001, port: 4444)

    private static func report(_ ssrc: UInt8 = 9) -> [UInt8] { [0x80, 201, 0, 1, 0, 0, 0, ssrc] }

    /// A connected pair whose server has heard the client's media and reports, number 100 of them.
    private static func withPair(_ body: (TransportPair) throws -> Void) throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock)
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            #expect(pair.feedServer(media(100, pair), from: pair.clientAddress) == .rtp(count: 13))
            #expect(pair.feedServer(pair.client.protectControl(report()), from: pair.clientAddress) == .rtcp(count: 8))
            try body(pair)
        }
    }

    private static func media(_ sequence: UInt16, ssrc: UInt32 = 5, _ pair: TransportPair) -> [UInt8] {
        pair.client.protect(rtpPacket(ssrc: ssrc, sequence: sequence, payload: [1]))
    }

    @Test(
        "it is read at once and followed when the address has answered a check, one round trip later", arguments: [false, true])
    func follows(isControl: Bool) throws {
        try Self.withPair { pair in
            let old = pair.clientAddress
            pair.clientAddress = Self.elsewhere
            let packet = isControl ? pair.client.protectControl(Self.report()) : Self.media(101, pair)
            let expected: Received = isControl ? .rtcp(count: 8) : .rtp(count: 13)
            #expect(pair.feedServerElsewhere(packet, from: Self.elsewhere) == expected)
            #expect(pair.server.selectedAddress == old && pair.server.paths.contains(Self.elsewhere))
            #expect(pair.run(limitMs: 25) { $0.server.selectedAddress == Self.elsewhere })
        }
    }

    @Test("copies of the peer's packets get a second of checks, never media")
    func ignoresCopies() throws {
        try Self.withPair { pair in
            let old = pair.clientAddress
            let flights = pair.flightCount
            #expect(pair.feedServerElsewhere(Self.media(101, pair), from: Self.elsewhere) == .rtp(count: 13))
            for sequence in UInt16(102)..<160 {
                pair.run(limitMs: 50)
                #expect(pair.feedServer(Self.media(sequence, pair), from: Self.elsewhere) == .rtp(count: 13))
                #expect(pair.server.selectedAddress == old)
            }
            let asked = pair.flightCount - flights
            // The client's own keep-alives and their answers are among them.
            #expect((Limits.probesPerMove..<Limits.probesPerMove + 8).contains(asked))
        }
    }

    @Test("what comes from another host, by another of our addresses or by TCP is none of the peer's")
    func otherWays() throws {
        try Self.withPair { pair in
            let packet = Self.media(101, pair)
            for from in [
                SocketAddress(ipv4: 0x7F00_0002, port: 4444), Self.elsewhere.by(1), Self.elsewhere.by(OwnAddresses.firstWay),
            ] {
                #expect(pair.feedServerElsewhere(packet, from: from) == nil)
            }
        }
    }

    @Test("what is not authentic makes no path")
    func forged() throws {
        try Self.withPair { pair in
            var packet = Self.media(101, pair)
            packet[packet.count - 1] ^= 1
            #expect(pair.feedServerElsewhere(packet, from: Self.elsewhere) == .dropped(.srtpAuthentication))
            #expect(!pair.server.paths.contains(Self.elsewhere))
        }
    }

    @Test("only the next of a known source, or first reports, is looked at", arguments: SRTPProfile.allCases)
    func numbers(profile: SRTPProfile) throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock, profiles: [profile])
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            func isLookedAt(_ packet: [UInt8]) -> Bool {
                packet.withUnsafeBytes { pair.server.mayContinue($0, from: Self.elsewhere) }
            }
            var reports = (0..<80).map { _ in pair.client.protectControl(Self.report()) }
            let stray = pair.client.protectControl(Self.report(8))
            #expect(!isLookedAt(Self.media(101, pair)) && isLookedAt(reports[1]) && !isLookedAt(stray))
            _ = pair.feedServer(Self.media(100, pair), from: pair.clientAddress)
            _ = pair.feedServer(reports.removeFirst(), from: pair.clientAddress)
            let near = [101, 500, 100 + UInt16(Limits.packetsAhead)].map { isLookedAt(Self.media($0, pair)) }
            let far = [99, 100, 101 + UInt16(Limits.packetsAhead), 60000].map { isLookedAt(Self.media($0, pair)) }
            #expect(near == [true, true, true] && far == [false, false, false, false])
            #expect(!isLookedAt(Self.media(101, ssrc: 6, pair)) && !isLookedAt(stray))
            let taken = reports.map(isLookedAt)
            #expect(taken.prefix(64).allSatisfy { $0 } && !taken.suffix(15).contains(true))
            for count in 0..<40 {
                let isShort = isLookedAt(Array(reports[0].prefix(count)))
                #expect(!isShort || count >= 12, "a cut one is at most looked at")
                _ = isLookedAt(Array(Self.media(101, pair).prefix(count)))
            }
        }
    }
}
