import TestThreads
import Testing

@testable import MediaPlane

@Suite("Full ICE agent: the side that dials (RFC 8445 sections 7.2 and 7.3.1.1, consent RFC 7675)")
struct ICEFullAgentTests {
    private static let ours = ICECredentialPair(ufrag: "our1", password: "ourpasswordourpassword")
    private static let theirs = ICECredentialPair(ufrag: "peer", password: "peerpasswordpeerpassword")
    private static let a = SocketAddress(ipv4: 0x0A00_0001, port: 1000)
    private static let b = SocketAddress(ipv4: 0x0A00_0001, port: 2000)
    private static let stranger = SocketAddress(ipv4: 0x0A00_0009, port: 9)
    private static let ms: UInt64 = 1_000_000

    private final class Fixture {
        var agent = ICEAgent(
            role: .controlling, credentials: .init(local: ours, remote: theirs), candidates: [a, b], seed: 7, now: 1)
        var output = TransportOutput()

        /// What is due at `now`, as messages.
        func tick(_ now: UInt64) -> [(SocketAddress, STUNMessage)] {
            output.removeAll()
            agent.handleTimeout(now: now, output: &output)
            return sent
        }

        var sent: [(SocketAddress, STUNMessage)] {
            (0..<output.count).compactMap { index in
                (try? STUNMessage(parsing: output.bytes(at: index))).map { (output.address(at: index), $0) }
            }
        }

        struct Reply {
            var type = STUNType.success
            var error: Int?
            var password: String? = theirs.password
            var transaction: STUNTransaction?
        }

        func answer(
            _ check: STUNMessage, _ reply: Reply = Reply(), from: SocketAddress, at now: UInt64
        ) -> DropReason? {
            receive(from: from, at: now, type: reply.type, transaction: reply.transaction ?? check.transaction) { writer in
                if let error = reply.error { writer.errorCode(error) } else { writer.xorMappedAddress(a) }
                if let password = reply.password { writer.messageIntegrity(HMACSHA1(key: password)) }
            }
        }

        func request(role: UInt16, tieBreaker: UInt64, nominates: Bool = false, from: SocketAddress, at now: UInt64)
            -> DropReason?
        {
            output.removeAll()
            return receive(from: from, at: now, type: .request, transaction: STUNTransaction(high: 9, low: tieBreaker)) {
                writer in
                writer.username(ours.ufrag, theirs.ufrag)
                writer.u64(role, tieBreaker)
                if nominates { writer.flag(STUNAttribute.useCandidate) }
                writer.messageIntegrity(HMACSHA1(key: ours.password))
            }
        }

        private func receive(
            from: SocketAddress, at now: UInt64, type: STUNType, transaction: STUNTransaction, _ body: (inout STUNWriter) -> Void
        ) -> DropReason? {
            var bytes = [UInt8](repeating: 0, count: 300)
            let count = bytes.withUnsafeMutableBytes { place in
                var writer = STUNWriter(place, type: type, transaction: transaction)
                body(&writer)
                return writer.finish()
            }
            return bytes.prefix(count).withUnsafeBytes { agent.receive($0, from: from, now: now, output: &output) }
        }
    }

    @Test("every candidate is checked, nominating, and again with the same transaction until it answers")
    func repeats() throws {
        let fixture = Fixture()
        let first = fixture.tick(1)
        #expect(first.map(\.0) == [Self.a, Self.b])
        #expect(first.allSatisfy { $0.1.useCandidate && $0.1.hasControlling && $0.1.tieBreaker != 0 && $0.1.priority > 0 })
        #expect(Set(first.map(\.1.transaction)).count == 2)
        var now: UInt64 = 1
        var times: [UInt64] = []
        while times.count < 20 {
            now = fixture.agent.nextCheckNs
            let again = fixture.tick(now)
            #expect(again.map(\.1.transaction) == first.map(\.1.transaction))
            times.append(now)
        }
        let gaps = zip(times, times.dropFirst()).map { $1 - $0 }
        #expect(gaps.first == 100 * Self.ms && gaps.last == 1000 * Self.ms)
        #expect(fixture.agent.selected == nil && fixture.agent.bestAddress == nil)
        // The answer to any of them is good.
        #expect(fixture.answer(first[1].1, from: Self.b, at: now) == nil)
        #expect(fixture.agent.selectedAddress == Self.b)
        let later = fixture.tick(fixture.agent.nextCheckNs)
        #expect(later.map(\.0) == [Self.a] && later.allSatisfy { !$0.1.useCandidate })
    }

    @Test("a path that is proven is asked again at leisure: its peer may have thousands to answer")
    func repeatsConsent() throws {
        let fixture = Fixture()
        let check = try #require(fixture.tick(1).first)
        #expect(fixture.answer(check.1, from: Self.a, at: 1) == nil)
        var times: [UInt64] = []
        while times.count < 20 {
            let due = fixture.agent.paths[0].nextCheckNs
            #expect(fixture.tick(due).contains { $0.0 == Self.a })
            times.append(due)
        }
        let gaps = zip(times, times.dropFirst()).map { $1 - $0 }
        #expect(gaps.first == 300 * Self.ms && gaps.last == 1000 * Self.ms)
    }

    @Test("consent is asked for every 4 to 6 s, with a new transaction each time")
    func consent() throws {
        let fixture = Fixture()
        var check = try #require(fixture.tick(1).first)
        var now: UInt64 = 1
        var seen: Set<STUNTransaction> = [check.1.transaction]
        for _ in 0..<20 {
            #expect(fixture.answer(check.1, from: Self.a, at: now) == nil)
            let due = fixture.agent.paths[0].nextCheckNs
            #expect(due - now >= 4000 * Self.ms && due - now <= 6000 * Self.ms)
            now = due
            check = try #require(fixture.tick(now).first { $0.0 == Self.a })
            #expect(seen.insert(check.1.transaction).inserted)
        }
    }

    @Test(
        "an answer that is not to our check, from where we asked, with the peer's password changes nothing",
        arguments: [
            (Fixture.Reply(), stranger, DropReason.stunUnexpected),
            (Fixture.Reply(), b, .stunUnexpected),
            (Fixture.Reply(transaction: STUNTransaction(high: 1, low: 1)), a, .stunUnexpected),
            (Fixture.Reply(password: "wrongwrongwrongwrongwrong"), a, .stunUnauthenticated),
            (Fixture.Reply(password: ours.password), a, .stunUnauthenticated),
            (Fixture.Reply(password: nil), a, .stunUnauthenticated),
            (Fixture.Reply(type: .failure, error: 487, password: nil), a, .stunUnauthenticated),
            (Fixture.Reply(type: .failure, error: 487, password: "wrongwrongwrongwrongwrong"), a, .stunUnauthenticated),
        ])
    private func hostile(reply: Fixture.Reply, from: SocketAddress, reason: DropReason) throws {
        let fixture = Fixture()
        let check = try #require(fixture.tick(1).first).1
        #expect(fixture.answer(check, reply, from: from, at: 5) == reason)
        #expect(fixture.agent.role == .controlling && fixture.agent.selected == nil)
        #expect(fixture.agent.paths.count == 2 && fixture.agent.paths.allSatisfy { !$0.isValidated })
        // The true answer is still taken, once.
        #expect(fixture.answer(check, from: Self.a, at: 6) == nil)
        #expect(fixture.answer(check, from: Self.a, at: 7) == .stunUnexpected)
    }

    @Test("an error that is no role conflict leaves the check to be repeated")
    func otherErrors() throws {
        let fixture = Fixture()
        let check = try #require(fixture.tick(1).first).1
        #expect(fixture.answer(check, .init(type: .failure, error: 400), from: Self.a, at: 5) == nil)
        #expect(fixture.agent.role == .controlling && fixture.agent.selected == nil)
        #expect(fixture.tick(100 * Self.ms + 1).contains { $0.1.transaction == check.transaction })
    }

    @Test("of two that control, the smaller tie breaker gives way")
    func conflict() throws {
        let fixture = Fixture()
        _ = fixture.tick(1)
        #expect(fixture.request(role: STUNAttribute.iceControlling, tieBreaker: 0, from: Self.a, at: 5) == nil)
        #expect(fixture.sent.map(\.1.errorCode) == [487] && fixture.agent.role == .controlling)
        let old = fixture.agent.tieBreaker
        #expect(fixture.request(role: STUNAttribute.iceControlling, tieBreaker: .max, from: Self.a, at: 6) == nil)
        #expect(fixture.sent.map(\.1.type) == [.success] && fixture.agent.role == .controlled)
        #expect(fixture.agent.tieBreaker != old)
        // From now on the peer nominates.
        let checks = fixture.tick(200 * Self.ms)
        #expect(!checks.isEmpty && checks.allSatisfy { $0.1.hasControlled && !$0.1.useCandidate })
        let check = try #require(checks.first { $0.0 == Self.b }).1
        #expect(fixture.answer(check, from: Self.b, at: 201 * Self.ms) == nil)
        #expect(fixture.agent.selected == nil)
        let role = STUNAttribute.iceControlling
        #expect(fixture.request(role: role, tieBreaker: .max, nominates: true, from: Self.b, at: 202 * Self.ms) == nil)
        #expect(fixture.agent.selectedAddress == Self.b)
    }

    @Test("487 makes us controlled, with the next check at once; a peer cannot turn us round for ever")
    func refusedRole() throws {
        let fixture = Fixture()
        var now: UInt64 = 1
        var roles: [ICERole] = []
        for _ in 0..<8 {
            let check = try #require(fixture.tick(now).first { $0.0 == Self.a }).1
            #expect(fixture.answer(check, .init(type: .failure, error: 487), from: Self.a, at: now) == nil)
            roles.append(fixture.agent.role)
            now = max(now + 1, fixture.agent.nextCheckNs)
        }
        #expect(roles.prefix(3) == [.controlled, .controlling, .controlled])
        #expect(roles.dropFirst(3).allSatisfy { $0 == .controlled })
    }

    @Test("a peer that is told of too many candidates checks eight")
    func bound() {
        let many = (1...100).map { SocketAddress(ipv4: 0x0A00_0001, port: UInt16($0)) }
        let agent = ICEAgent(
            role: .controlling, credentials: .init(local: Self.ours, remote: Self.theirs), candidates: many, seed: 1, now: 1)
        #expect(agent.paths.count == 8)
    }
}

@Suite("PeerTransport that dials: checks, DTLS client, keys (RFC 8445, RFC 5764)", .offThePool)
struct DialingTransportTests {
    @Test("two that control connect, also with 20 % loss: one of them gives way", arguments: 0..<20)
    func bothControl(seed: UInt64) throws {
        try withWallClock { clock in
            let rules = TransportPair.Rules(lossPercent: seed < 5 ? 0 : 20, jitterNs: 5_000_000)
            let pair = try TransportPair(clock: clock, seed: seed, rules: rules, serverRole: .controlling)
            #expect(pair.run(limitMs: 10_000) { $0.isConnected }, "\(pair.server.state) \(pair.client.state)")
            let packet = rtpPacket(ssrc: 5, sequence: 1, payload: [1, 2, 3])
            pair.rules.lossPercent = 0
            pair.send(pair.server.protect(packet), from: pair.serverAddress, to: pair.clientAddress)
            pair.run(limitMs: 50)
            #expect(pair.clientPlain.last == packet)
        }
    }

    @Test("a server with another certificate than its answer says gets no keys, in both DTLS roles", arguments: [false, true])
    func wrongServer(serverIsDTLSClient: Bool) throws {
        try withWallClock { clock in
            let wrong = [PeerFingerprint(algorithm: "sha-256", bytes: [UInt8](repeating: 7, count: 32))]
            let pair = try TransportPair(clock: clock, serverIsDTLSClient: serverIsDTLSClient, serverFingerprint: wrong)
            pair.run(limitMs: 3000)
            #expect(pair.client.state == .closed(.fingerprintMismatch))
            #expect(pair.client.profile == nil && pair.client.selectedAddress == nil)
            #expect(pair.client.protect(rtpPacket(ssrc: 1, sequence: 1, payload: [1])).isEmpty)
        }
    }

    @Test("a server that answers no check is given up after 30 s")
    func deafServer() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock, rules: .init(lossPercent: 100))
            pair.run(limitMs: 40_000) { $0.client.state == .closed(.iceTimeout) }
            #expect(pair.client.state == .closed(.iceTimeout))
        }
    }

    @Test("a server that goes silent is given up when consent is over")
    func silence() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock)
            // Not inside #expect: this compiler then takes the next closure of the function for this one.
            let isUp = pair.run(limitMs: 2000) { $0.isConnected }
            #expect(isUp)
            pair.rules.lossPercent = 100
            pair.run(limitMs: 40_000) { $0.client.state == .closed(.consentExpired) }
            #expect(pair.client.state == .closed(.consentExpired))
            #expect(pair.elapsedMs < 35_000)
        }
    }

    @Test("the server's goodbye ends the session at once")
    func goodbye() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock)
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            pair.closeServer()
            pair.run(limitMs: 100)
            #expect(pair.client.state == .closed(.peer))
        }
    }
}
