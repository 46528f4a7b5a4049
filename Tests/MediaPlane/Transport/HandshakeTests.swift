import TestThreads
import Testing

@testable import MediaPlane

@Suite("Handshakes away from the loop: same outcome, whatever comes while a step is away", .offThePool)
struct HandshakeStepTests {
    @Test("both roles connect with steps that take 50 ms", arguments: [false, true])
    func connects(serverIsDTLSClient: Bool) throws {
        try withWallClock { clock in
            let rules = TransportPair.Rules(handshakeNs: 50_000_000)
            let pair = try TransportPair(clock: clock, rules: rules, serverIsDTLSClient: serverIsDTLSClient)
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            #expect(pair.stepCount >= 2)
        }
    }

    @Test("with 20 % loss and reordering 20 of 20 connect", arguments: [false, true])
    func loss(serverIsDTLSClient: Bool) throws {
        try withWallClock { clock in
            for seed in 0..<UInt64(20) {
                let rules = TransportPair.Rules(lossPercent: 20, jitterNs: 30_000_000, handshakeNs: 5_000_000)
                let pair = try TransportPair(clock: clock, seed: seed, rules: rules, serverIsDTLSClient: serverIsDTLSClient)
                #expect(pair.run(limitMs: 8000) { $0.isConnected }, "seed \(seed)")
            }
        }
    }

    @Test("media right behind the peer's last flight waits for the keys (an encoder's first picture)")
    func holdsEarlyMedia() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock, rules: .init(handshakeNs: 50_000_000), serverIsDTLSClient: true)
            #expect(pair.run(limitMs: 2000) { $0.client.state == .connected })
            #expect(pair.server.state == .handshaking)
            for sequence in 1...UInt16(40) {
                let packet = rtpPacket(ssrc: 7, sequence: sequence, payload: [UInt8(sequence)])
                pair.send(pair.client.protect(packet), from: pair.clientAddress, to: pair.serverAddress)
            }
            pair.run(limitMs: 200)
            #expect(pair.server.state == .connected)
            #expect(pair.serverPlain.count == 40 && pair.serverPlain.map { $0[12] } == (1...40).map { UInt8($0) })
        }
    }

    @Test("what may be held is bounded, and is nothing before a step is away")
    func boundsEarlyMedia() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock, rules: .init(handshakeNs: 50_000_000), serverIsDTLSClient: true)
            let packet = rtpPacket(ssrc: 7, sequence: 1, payload: [UInt8](repeating: 1, count: 60))
            #expect(pair.feedServer(packet, from: pair.clientAddress) == .dropped(.unvalidatedPath))
            #expect(pair.run(limitMs: 2000) { $0.client.state == .connected })
            // The last flight is on its way for 10 ms; then its step is away for 50.
            pair.run(limitMs: 20)
            let outcomes = (0..<100).map { _ in pair.feedServer(packet, from: pair.clientAddress) }
            #expect(outcomes.filter { $0 == Received.none }.count == Limits.heldDatagrams)
            #expect(outcomes.last == .dropped(.notConnected))
            // None of it was authentic.
            pair.run(limitMs: 200)
            #expect(pair.isConnected && pair.serverPlain.isEmpty)
        }
    }

    @Test("a flight that is repeated while its step is away changes nothing, and keys go in once")
    func repeatedFlight() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock, rules: .init(handshakeNs: 30_000_000))
            // Every datagram of the client arrives three times.
            pair.rewrite = { bytes in bytes[0] == 22 || bytes[0] == 20 ? [bytes, bytes, bytes] : nil }
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            let first = rtpPacket(ssrc: 3, sequence: 9, payload: [1])
            let protected = pair.client.protect(first)
            #expect(pair.feedServer(protected, from: pair.clientAddress) == .rtp(count: 13))
            // Keys that went in again would have forgotten what was received.
            pair.run(limitMs: 1000)
            #expect(pair.feedServer(protected, from: pair.clientAddress) == .dropped(.srtpReplay))
        }
    }

    @Test("more than a flight twice over is refused while a step is away")
    func boundsBacklog() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock, rules: .init(handshakeNs: 10_000_000_000))
            #expect(pair.run(limitMs: 1000) { $0.stepCount == 1 })
            let alert: [UInt8] = [22, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40]
            let outcomes = (0..<40).map { _ in pair.feedServer(alert, from: pair.clientAddress) }
            #expect(outcomes.filter { $0 == .dropped(.dtlsBacklog) }.count >= 40 - Limits.dtlsEventsWaiting)
        }
    }

    @Test("a step that never comes back ends with the session, not later")
    func lostStep() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock, rules: .init(handshakeNs: 60_000_000_000))
            pair.run(limitMs: 25_000)
            #expect(pair.server.state == .closed(.dtlsTimeout))
        }
    }

    @Test("a wrong certificate is refused there, too")
    func wrongCertificate() throws {
        try withWallClock { clock in
            let wrong = [PeerFingerprint(algorithm: "sha-256", bytes: [UInt8](repeating: 1, count: 32))]
            let pair = try TransportPair(clock: clock, rules: .init(handshakeNs: 5_000_000), clientFingerprint: wrong)
            pair.run(limitMs: 3000)
            #expect(pair.server.state == .closed(.fingerprintMismatch))
        }
    }
}

@Suite("How many handshakes are under way, in all and for one host")
struct HandshakeGateTests {
    @Test("one host takes its share and no more; others pass it")
    func perHost() {
        var gate = HandshakeGate(underWayMax: 4, perHostMax: 2, waitingMax: 10)
        #expect(gate.enter(1, host: 7) == .now && gate.enter(2, host: 7) == .now)
        #expect(gate.enter(3, host: 7) == .later && gate.enter(3, host: 7) == .later && gate.waiting == 1)
        #expect(gate.enter(4, host: 8) == .now)
        #expect(gate.next() == nil)
        gate.leave(host: 7)
        #expect(gate.next()?.session == 3)
        #expect(gate.next() == nil && gate.waiting == 0 && gate.underWay == 3)
    }

    @Test("who waits goes in turn, host by host, the oldest of each first")
    func turns() {
        var gate = HandshakeGate(underWayMax: 1, perHostMax: 1, waitingMax: 10)
        #expect(gate.enter(0, host: 1) == .now)
        for session in UInt64(1)...4 { #expect(gate.enter(session, host: 1) == .later) }
        for session in UInt64(11)...12 { #expect(gate.enter(session, host: 2) == .later) }
        var order: [UInt64] = []
        var host: UInt64 = 1
        for _ in 0..<6 {
            gate.leave(host: host)
            guard let next = gate.next() else { break }
            order.append(next.session)
            host = next.host
        }
        #expect(order == [1, 11, 2, 12, 3, 4])
        // Nobody overtakes a session of the same host that waits.
        #expect(gate.enter(20, host: 1) == .later)
    }

    @Test("the queue is bounded, and an empty gate remembers nobody")
    func bounds() {
        var gate = HandshakeGate(underWayMax: 1, perHostMax: 1, waitingMax: 2)
        #expect(gate.enter(1, host: 1) == .now)
        #expect(gate.enter(2, host: 1) == .later && gate.enter(3, host: 2) == .later && gate.enter(4, host: 3) == .refused)
        gate.leave(host: 1)
        while let next = gate.next() { gate.leave(host: next.host) }
        #expect(gate.underWay == 0 && gate.waiting == 0 && gate.isEmpty)
    }
}
