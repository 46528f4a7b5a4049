import TestThreads
import Testing

@testable import MediaPlane

@Suite("PeerTransport: ICE (RFC 8445), DTLS-SRTP (RFC 5764), SRTP (RFC 3711, RFC 7714)", .offThePool)
struct PeerTransportTests {
    private static let report: [UInt8] = [0x80, 201, 0, 1, 0, 0, 0, 9]

    @Test(
        "both DTLS roles and both profiles carry RTP and RTCP both ways",
        arguments: [false, true], [SRTPProfile.aeadAES128GCM, .aes128CMSHA1_80])
    func connects(serverIsDTLSClient: Bool, profile: SRTPProfile) throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock, serverIsDTLSClient: serverIsDTLSClient, profiles: [profile])
            #expect(pair.server.selectedAddress == nil)
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            #expect(pair.server.profile == profile && pair.client.profile == profile)
            #expect(pair.server.selectedAddress == pair.clientAddress)
            #expect(pair.largestDatagram <= 1200)
            for sequence in [UInt16(7), 8] {
                let packet = rtpPacket(ssrc: 5, sequence: sequence, payload: [1, 2, 3], extensionWords: 2, csrcs: 1)
                pair.send(pair.client.protect(packet, headerBytes: 28), from: pair.clientAddress, to: pair.serverAddress)
                pair.send(pair.server.protect(packet, headerBytes: 28), from: pair.serverAddress, to: pair.clientAddress)
                pair.send(pair.client.protectControl(Self.report), from: pair.clientAddress, to: pair.serverAddress)
                pair.send(pair.server.protectControl(Self.report), from: pair.serverAddress, to: pair.clientAddress)
                pair.run(limitMs: 50)
                #expect(pair.serverPlain.suffix(2) == [packet, Self.report])
                #expect(pair.clientPlain.suffix(2) == [packet, Self.report])
            }
        }
    }

    @Test("AEAD is chosen when the peer has both, whatever its order")
    func prefersAEAD() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock, profiles: [.aes128CMSHA1_80, .aeadAES128GCM])
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            #expect(pair.server.profile == .aeadAES128GCM)
        }
    }

    @Test(
        "peers with certificates on other curves connect, in both roles", arguments: ["P-224", "P-384", "P-521"], [false, true])
    func otherCurves(curve: String, serverIsDTLSClient: Bool) throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock, serverIsDTLSClient: serverIsDTLSClient, clientCurve: curve)
            #expect(pair.run(limitMs: 2000) { $0.isConnected }, "\(pair.server.state) \(pair.client.state)")
        }
    }

    @Test("each flight lost once still connects in two seconds", arguments: 0..<12, [false, true])
    func survivesLostFlight(flight: Int, serverIsDTLSClient: Bool) throws {
        try withWallClock { clock in
            let rules = TransportPair.Rules(lostFlight: flight)
            let pair = try TransportPair(clock: clock, rules: rules, serverIsDTLSClient: serverIsDTLSClient)
            #expect(pair.run(limitMs: 2000) { $0.isConnected }, "after \(pair.elapsedMs) ms")
        }
    }

    @Test("with 30 % loss and reordering 95 of 100 connect in two seconds, all in eight", arguments: [false, true])
    func survivesLoss(serverIsDTLSClient: Bool) throws {
        try withWallClock { clock in
            var inTime = 0
            for seed in 0..<100 {
                let rules = TransportPair.Rules(lossPercent: 30, jitterNs: 15_000_000)
                let pair = try TransportPair(
                    clock: clock, seed: UInt64(seed), rules: rules, serverIsDTLSClient: serverIsDTLSClient)
                #expect(pair.run(limitMs: 8000) { $0.isConnected }, "seed \(seed): \(pair.server.state) \(pair.client.state)")
                if pair.elapsedMs <= 2000 { inTime += 1 }
            }
            #expect(inTime >= 95)
        }
    }

    @Test("a wrong fingerprint ends the session before any key is used")
    func refusesWrongCertificate() throws {
        try withWallClock { clock in
            let wrong = [PeerFingerprint(algorithm: "sha-256", bytes: [UInt8](repeating: 7, count: 32))]
            let pair = try TransportPair(clock: clock, clientFingerprint: wrong)
            pair.run(limitMs: 3000)
            #expect(pair.server.state == .closed(.fingerprintMismatch))
            #expect(pair.server.profile == nil && pair.server.selectedAddress == nil)
            #expect(pair.client.state != .connected)
        }
    }

    @Test("a peer that shows no certificate gets no session (RFC 8827 section 6.5)")
    func refusesNoCertificate() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock, clientShowsCertificate: false)
            #expect(!pair.run(limitMs: 60_000) { $0.server.state == .connected })
            guard case .closed = pair.server.state else {
                Issue.record("\(pair.server.state)")
                return
            }
            #expect(pair.server.profile == nil && pair.server.selectedAddress == nil)
        }
    }

    @Test("one right fingerprint among several is enough; none of a known hash is an error")
    func acceptsAnyFingerprint() throws {
        let identity = try DTLSCertificate()
        let unknown = PeerFingerprint(algorithm: "md5", bytes: [1])
        #expect(throws: TransportError.noUsableFingerprint) {
            _ = try DTLSSession(role: .client, certificate: identity, fingerprints: [unknown], profiles: SRTPProfile.allCases)
        }
    }

    @Test("DTLS and media from an address that never passed ICE go no further")
    func dropsStrangers() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock)
            let stranger = SocketAddress(ipv4: 0x7F00_0001, port: 4444)
            let hello: [UInt8] = [22, 0xFE, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]
            #expect(pair.feedServer(hello, from: stranger) == .dropped(.unvalidatedPath))
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            let packet = pair.client.protect(rtpPacket(ssrc: 5, sequence: 7, payload: [1]))
            #expect(pair.feedServer(packet, from: stranger) == .dropped(.unvalidatedPath))
            #expect(pair.feedServer(packet, from: pair.clientAddress) == .rtp(count: 13))
            #expect(pair.feedServer(packet, from: pair.clientAddress) == .dropped(.srtpReplay))
            #expect(pair.feedServer([], from: stranger) == .dropped(.empty))
            #expect(pair.feedServer([0], from: stranger) == .dropped(.unknownProtocol))
            #expect(pair.feedServer([64, 1], from: stranger) == .dropped(.unknownProtocol))
        }
    }

    @Test("close_notify ends the other side at once", arguments: [false, true])
    func closes(serverIsDTLSClient: Bool) throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock, serverIsDTLSClient: serverIsDTLSClient)
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            pair.closeServer()
            #expect(pair.server.state == .closed(.local))
            #expect(pair.server.protect(rtpPacket(ssrc: 1, sequence: 1, payload: [])).isEmpty)
            pair.run(limitMs: 50)
            #expect(pair.client.state == .closed(.peer))
        }
    }

    @Test("silence of 30 s ends the session, checks alone keep it")
    func consent() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock)
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            pair.run(limitMs: 60_000)
            #expect(pair.isConnected)
            pair.rules.lossPercent = 100
            pair.run(limitMs: 29_000 - 5_000)
            #expect(pair.isConnected)
            pair.run(limitMs: 11_000)
            #expect(pair.server.state == .closed(.consentExpired))
            #expect(pair.client.state == .closed(.consentExpired))
        }
    }

    @Test("a peer that never comes is forgotten after 30 s")
    func iceTimeout() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock, rules: .init(lossPercent: 100))
            pair.run(limitMs: 29_900)
            #expect(pair.server.state == .new && pair.client.state == .checking)
            pair.run(limitMs: 200)
            #expect(pair.server.state == .closed(.iceTimeout))
        }
    }

    @Test("a client that changes its address keeps its media; the old address hears it until the new one is proven")
    func migrates() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock)
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            let old = pair.clientAddress
            pair.clientAddress = SocketAddress(ipv4: 0x7F00_0001, port: 9001)
            #expect(pair.run(limitMs: 12_000) { $0.server.selectedAddress == $0.clientAddress })
            #expect(pair.server.paths.contains(old))
            pair.send(
                pair.server.protect(rtpPacket(ssrc: 5, sequence: 1, payload: [1])), from: pair.serverAddress,
                to: pair.clientAddress)
            pair.run(limitMs: 20)
            #expect(pair.clientPlain.count == 1)
        }
    }

    /// Cuts a plaintext handshake record with one message into two fragments, as a ClientHello too long for one datagram is.
    private static func halves(_ record: [UInt8]) -> [[UInt8]]? {
        guard record.count > 60, record[0] == 22, record[13] == 1, record[3] == 0, record[4] == 0 else { return nil }
        let body = Array(record[25...])
        let cut = body.count / 2
        return [(0, cut), (cut, body.count)].enumerated().map { number, range in
            let count = range.1 - range.0
            var piece = Array(record[..<25])
            piece[10] = UInt8(number) &+ record[10] &* 2
            piece[11] = UInt8((count + 12) >> 8)
            piece[12] = UInt8((count + 12) & 0xFF)
            piece[20] = UInt8(range.0 >> 8)
            piece[21] = UInt8(range.0 & 0xFF)
            piece[23] = UInt8(count >> 8)
            piece[24] = UInt8(count & 0xFF)
            return piece + body[range.0..<range.1]
        }
    }

    @Test("a ClientHello in two datagrams, in either order, is put together", arguments: [false, true])
    func fragmentedHello(isReversed: Bool) throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock)
            var cuts = 0
            pair.rewrite = { bytes in
                guard let halves = Self.halves(bytes) else { return nil }
                cuts += 1
                return isReversed ? halves.reversed() : halves
            }
            #expect(pair.run(limitMs: 3000) { $0.isConnected }, "\(pair.server.state) \(pair.client.state)")
            #expect(cuts > 0)
        }
    }

    @Test("a peer without any of our profiles gets no session")
    func noCommonProfile() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock, serverProfiles: [.aeadAES128GCM], profiles: [.aes128CMSHA1_80])
            pair.run(limitMs: 3000)
            #expect(pair.server.state == .closed(.dtlsFailed))
            #expect(!pair.isConnected && pair.server.profile == nil)
        }
    }

    @Test("an ICE restart keeps DTLS and SRTP and moves to the new credentials")
    func restart() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock)
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            let server = ICECredentialPair(ufrag: "srv2", password: "secondpasswordsecondpassword")
            let client = ICECredentialPair(ufrag: "cli2", password: "thirdpasswordthirdpassword")
            pair.server.restartICE(local: server, remote: client, now: pair.now)
            pair.run(limitMs: 10_000)
            #expect(pair.isConnected)
            pair.client.restartICE(local: client, remote: server, now: pair.now)
            pair.run(limitMs: 60_000)
            #expect(pair.isConnected)
            let packet = rtpPacket(ssrc: 5, sequence: 9, payload: [1])
            #expect(pair.feedServer(pair.client.protect(packet), from: pair.clientAddress) == .rtp(count: 13))
        }
    }

    @Test("fragments that never complete end the handshake after 64 KiB")
    func boundedHandshake() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock)
            pair.run(limitMs: 15)
            // The first byte of a 16,000-byte ClientHello, again and again, each time as another record.
            for number in 0..<4000 where pair.server.state == .handshaking || number == 0 {
                var record: [UInt8] = [22, 0xFE, 0xFF, 0, 0, 0, 0, 0, 1, UInt8(number >> 8), UInt8(number & 0xFF), 0, 212]
                record += [1, 0, 0x3E, 0x80, 0, 0, 0, 0, 0, 0, 0, 200] + [UInt8](repeating: 1, count: 200)
                pair.run(limitMs: 5)
                _ = pair.feedServer(record, from: pair.clientAddress)
            }
            #expect(pair.server.state == .closed(.dtlsFailed))
        }
    }

    @Test("a way that is lost is no reason to be woken, and the next one is followed at once")
    func losesPath() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock)
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            // The flight that ended the handshake is still being repeated.
            pair.server.lose(pair.clientAddress)
            #expect(pair.server.selectedAddress == nil && pair.server.paths.isEmpty)
            #expect(pair.server.nextDeadlineNs > pair.now + 1_000_000_000)
            let packet = rtpPacket(ssrc: 3, sequence: 1, payload: [1])
            #expect(pair.feedServer(pair.client.protect(packet), from: pair.clientAddress) == .dropped(.unvalidatedPath))
            #expect(pair.run(limitMs: 6000) { $0.server.selectedAddress == $0.clientAddress })
            #expect(pair.isConnected)
        }
    }
}
