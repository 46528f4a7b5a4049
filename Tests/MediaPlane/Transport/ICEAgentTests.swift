import Testing

@testable import MediaPlane

@Suite("ICE-lite agent (RFC 8445, consent RFC 7675)")
struct ICEAgentTests {
    private static let ours = ICECredentialPair(ufrag: "our1", password: "ourpasswordourpassword")
    private static let theirs = ICECredentialPair(ufrag: "peer", password: "peerpasswordpeerpassword")
    private static let a = SocketAddress(ipv4: 0x0A00_0001, port: 1000)
    private static let b = SocketAddress(ipv4: 0x0A00_0001, port: 2000)
    private static let ms: UInt64 = 1_000_000

    /// A lite agent with what it wants sent.
    private final class Fixture {
        var agent = ICEAgent(
            role: .lite, credentials: .init(local: ours, remote: theirs), candidates: [], seed: 7, now: 1)
        var output = TransportOutput()
        var transaction: UInt64 = 0

        struct Request {
            var uses = true
            var priority: UInt32? = 100
            var nomination: UInt32?
            var isControlled = false
            var unknown = false
            var local = ours
            var password: String?
            var hasIntegrity = true
            var caller = theirs.ufrag
        }

        func request(_ request: Request = Request(), from: SocketAddress, at now: UInt64, repeatLast: Bool = false) -> DropReason?
        {
            output.removeAll()
            if !repeatLast { transaction += 1 }
            var bytes = [UInt8](repeating: 0, count: 400)
            let count = bytes.withUnsafeMutableBytes { place in
                var writer = STUNWriter(place, type: .request, transaction: STUNTransaction(high: 1, low: transaction))
                writer.username(request.local.ufrag, request.caller)
                if let priority = request.priority { writer.u32(STUNAttribute.priority, priority) }
                if let nomination = request.nomination { writer.u32(STUNAttribute.nomination, nomination) }
                if request.uses { writer.flag(STUNAttribute.useCandidate) }
                if request.isControlled { writer.u64(STUNAttribute.iceControlled, 1) }
                if request.unknown { writer.u32(0x7FFF, 1) }
                if request.hasIntegrity { writer.messageIntegrity(HMACSHA1(key: request.password ?? request.local.password)) }
                return writer.finish()
            }
            return bytes.prefix(count).withUnsafeBytes { agent.receive($0, from: from, now: now, output: &output) }
        }

        /// The answers and probes of the last call.
        var sent: [(SocketAddress, STUNMessage)] {
            (0..<output.count).compactMap { index in
                (try? STUNMessage(parsing: output.bytes(at: index))).map { (output.address(at: index), $0) }
            }
        }

        /// Answers the agent's last probe as the peer would.
        func answerProbe(from: SocketAddress, at now: UInt64, password: String = theirs.password) -> DropReason? {
            guard let probe = sent.last(where: { $0.1.type == .request })?.1 else { return .empty }
            var bytes = [UInt8](repeating: 0, count: 200)
            let count = bytes.withUnsafeMutableBytes { place in
                var writer = STUNWriter(place, type: .success, transaction: probe.transaction)
                writer.xorMappedAddress(a)
                writer.messageIntegrity(HMACSHA1(key: password))
                return writer.finish()
            }
            return bytes.prefix(count).withUnsafeBytes { agent.receive($0, from: from, now: now, output: &output) }
        }
    }

    @Test("a request without PRIORITY and role attributes is answered and selects its path")
    func toleratesSparseRequests() {
        let fixture = Fixture()
        #expect(fixture.request(.init(priority: nil), from: Self.a, at: 5) == nil)
        #expect(fixture.agent.selectedAddress == Self.a)
        #expect(fixture.sent.count == 1)
        #expect(fixture.sent[0].1.type == .success && fixture.sent[0].1.mappedAddress == Self.a)
        let isSigned = fixture.sent[0].1.isAuthentic(fixture.output.bytes(at: 0), key: HMACSHA1(key: Self.ours.password))
        #expect(isSigned)
    }

    @Test("nothing is learnt from a request with a wrong password, no integrity or a foreign ufrag")
    func ignoresStrangers() {
        let fixture = Fixture()
        let foreign = ICECredentialPair(ufrag: "xxxx", password: Self.ours.password)
        #expect(fixture.request(.init(password: "wrong"), from: Self.a, at: 5) == .stunUnauthenticated)
        #expect(fixture.request(.init(hasIntegrity: false), from: Self.a, at: 5) == .stunUnauthenticated)
        #expect(fixture.request(.init(local: foreign), from: Self.a, at: 5) == .stunUnauthenticated)
        #expect(fixture.agent.paths.isEmpty && fixture.output.isEmpty)
        #expect(fixture.agent.lastHeardNs == 1)
    }

    @Test("ICE-CONTROLLED gets 487, an unknown required attribute 420, and neither becomes a path")
    func refuses() {
        let fixture = Fixture()
        _ = fixture.request(.init(isControlled: true), from: Self.a, at: 5)
        #expect(fixture.sent.first?.1.errorCode == 487)
        _ = fixture.request(.init(unknown: true), from: Self.a, at: 5)
        #expect(fixture.sent.first?.1.errorCode == 420 && fixture.sent.first?.1.type == .failure)
        #expect(fixture.agent.paths.isEmpty)
    }

    @Test("a flood with our user fragment alone costs so many MACs, and neither the peer nor a newcomer notices")
    func foreignFlood() {
        let fixture = Fixture()
        #expect(fixture.request(from: Self.a, at: 5) == nil)
        var looked = 0
        for index in 0..<UInt32(20_000) {
            let now = UInt64(index) * 50_000
            let from = SocketAddress(ipv4: 0xC000_0000 + index, port: 9)
            let reason = fixture.request(.init(password: "wrong", caller: "none"), from: from, at: now)
            #expect(reason == .stunUnauthenticated || reason == .stunRateLimited)
            if reason == .stunUnauthenticated { looked += 1 }
            if index % 2000 == 1999 { #expect(fixture.request(.init(uses: false), from: Self.a, at: now) == nil) }
        }
        #expect(looked <= 400, "200 a second, and 200 at once")
        // The peer behind a new address names itself.
        #expect(fixture.request(from: Self.b, at: Self.ms * 1000) == nil)
        #expect(fixture.agent.paths.count == 2)
    }

    @Test("a flood from the peer's own address under another name leaves the peer its share")
    func borrowedAddress() {
        let fixture = Fixture()
        #expect(fixture.request(from: Self.a, at: 5) == nil)
        let foreign = ICECredentialPair(ufrag: "xxxx", password: Self.ours.password)
        for _ in 0..<5_000 {
            let reason = fixture.request(.init(local: foreign), from: Self.a, at: 6)
            #expect(reason == .stunUnauthenticated)
        }
        #expect(fixture.request(from: Self.a, at: 7) == nil)
    }

    @Test("a flood by somebody who knows both user fragments is bounded too, and the peer gets in by a new address all the same")
    func informedFlood() {
        let fixture = Fixture()
        #expect(fixture.request(from: Self.a, at: 5) == nil)
        var looked = 0
        var entered: UInt64?
        var random = Mutator.Random(seed: 3)
        var now: UInt64 = 0
        for index in 0..<UInt32(10_000) {
            let gap = UInt64.random(in: 1..<400_000, using: &random)
            if index % 250 == 249, entered == nil {
                let checkNs = now + UInt64.random(in: 0..<gap, using: &random)
                if fixture.request(from: Self.b, at: checkNs) == nil { entered = checkNs }
            }
            now += gap
            let from = SocketAddress(ipv4: 0xC000_0000 + index, port: 9)
            if fixture.request(.init(password: "wrong"), from: from, at: now) == .stunUnauthenticated { looked += 1 }
            if index % 1000 == 999 { #expect(fixture.request(.init(uses: false), from: Self.a, at: now) == nil) }
        }
        #expect(looked <= 2200, "1,000 a second, and 200 at once")
        #expect(entered != nil, "within two seconds, of a check every 50 ms")
    }

    @Test("a plain check on another path is answered and moves nothing")
    func plainChecks() {
        let fixture = Fixture()
        _ = fixture.request(from: Self.a, at: 5)
        for _ in 0..<5 { #expect(fixture.request(.init(uses: false), from: Self.b, at: 6) == nil) }
        #expect(fixture.agent.selectedAddress == Self.a && fixture.agent.paths.count == 2)
    }

    @Test("nominating every path in turn does not flap, one that stays nominated wins")
    func aggressiveNomination() {
        let fixture = Fixture()
        for round in 0..<UInt64(10) {
            _ = fixture.request(from: Self.a, at: 5 + round)
            _ = fixture.request(from: Self.b, at: 5 + round)
            _ = fixture.request(from: Self.b, at: 5 + round, repeatLast: true)
            #expect(fixture.agent.selectedAddress == Self.a)
        }
        _ = fixture.request(from: Self.b, at: 20)
        #expect(fixture.agent.selectedAddress == Self.b)
    }

    @Test("keep-alives that nominate two paths in turn never make a silent viewer flap")
    func keepAlives() {
        let fixture = Fixture()
        _ = fixture.request(from: Self.a, at: 5)
        _ = fixture.request(from: Self.b, at: 6)
        for round in UInt64(1)...40 {
            let now = round * 6000 * Self.ms
            _ = fixture.request(from: Self.a, at: now)
            _ = fixture.request(from: Self.b, at: now + 3000 * Self.ms)
            #expect(fixture.agent.selectedAddress == Self.a)
        }
    }

    @Test("a selected path that died gives way to one that is still nominated")
    func deadPath() {
        let fixture = Fixture()
        _ = fixture.request(from: Self.a, at: 5)
        _ = fixture.request(from: Self.b, at: 6)
        _ = fixture.request(from: Self.a, at: 7)
        _ = fixture.request(from: Self.b, at: 7 + 7001 * Self.ms)
        #expect(fixture.agent.selectedAddress == Self.b)
    }

    @Test("a higher NOMINATION wins at once, a lower one never")
    func nominationAttribute() {
        let fixture = Fixture()
        _ = fixture.request(.init(nomination: 2), from: Self.a, at: 5)
        for _ in 0..<4 { _ = fixture.request(.init(nomination: 1), from: Self.b, at: 6) }
        #expect(fixture.agent.selectedAddress == Self.a)
        _ = fixture.request(.init(nomination: 3), from: Self.b, at: 7)
        #expect(fixture.agent.selectedAddress == Self.b)
    }

    @Test("with media flowing a new address must answer a probe signed with the peer's password")
    func movesOnProof() {
        let fixture = Fixture()
        _ = fixture.request(from: Self.a, at: 5)
        fixture.agent.connected(on: Self.a, now: 6)
        let later = 3000 * Self.ms
        _ = fixture.request(from: Self.b, at: later)
        #expect(fixture.agent.selectedAddress == Self.a && fixture.agent.moving != nil)
        #expect(fixture.sent.count == 2 && fixture.sent.allSatisfy { $0.0 == Self.b })
        #expect(fixture.answerProbe(from: Self.a, at: later) == .stunUnexpected)
        #expect(fixture.answerProbe(from: Self.b, at: later, password: "guess") == .stunUnauthenticated)
        #expect(fixture.agent.selectedAddress == Self.a)
        #expect(fixture.answerProbe(from: Self.b, at: later) == nil)
        #expect(fixture.agent.selectedAddress == Self.b)
    }

    @Test(
        "when the path in use is lost, an address that only claims to be the peer's still gets no media; a TCP connection does at once"
    )
    func lostPath() {
        let fixture = Fixture()
        let connection = Self.a.by(1)
        _ = fixture.request(from: connection, at: 5)
        fixture.agent.connected(on: connection, now: 6)
        fixture.agent.remove(connection)
        #expect(fixture.agent.selectedAddress == nil && fixture.agent.paths.isEmpty)
        _ = fixture.request(from: Self.b, at: 10 * Self.ms)
        #expect(fixture.agent.selectedAddress == nil && fixture.agent.moving != nil)
        #expect(fixture.sent.contains { $0.0 == Self.b && $0.1.type == .request }, "it is asked whether it hears us")
        let next = Self.a.by(2)
        _ = fixture.request(from: next, at: 20 * Self.ms)
        #expect(fixture.agent.selectedAddress == next)
    }

    @Test("a peer that does not nominate again is followed by its media once its old address is silent")
    func followsMedia() throws {
        let fixture = Fixture()
        _ = fixture.request(from: Self.a, at: 5)
        fixture.agent.connected(on: Self.a, now: 6)
        _ = fixture.request(.init(uses: false), from: Self.b, at: 100 * Self.ms)
        let moved = try #require(fixture.agent.validatedIndex(of: Self.b))
        fixture.agent.heard(on: moved, now: 200 * Self.ms)
        #expect(fixture.agent.selectedAddress == Self.a, "packets that cross on the way are no reason")
        fixture.agent.heard(on: moved, now: 600 * Self.ms)
        #expect(fixture.agent.selectedAddress == Self.b)
        // Back and forth is possible, but not faster than silence.
        let old = try #require(fixture.agent.validatedIndex(of: Self.a))
        fixture.agent.heard(on: old, now: 700 * Self.ms)
        #expect(fixture.agent.selectedAddress == Self.b)
    }

    @Test("an unproven address costs two probes a request, never media")
    func boundsAmplification() {
        let fixture = Fixture()
        _ = fixture.request(from: Self.a, at: 5)
        fixture.agent.connected(on: Self.a, now: 6)
        var probes = 0
        var now = 3000 * Self.ms
        _ = fixture.request(from: Self.b, at: now)
        probes += fixture.sent.filter { $0.1.type == .request }.count
        for _ in 0..<100 {
            now += 100 * Self.ms
            fixture.output.removeAll()
            fixture.agent.handleTimeout(now: now, output: &fixture.output)
            probes += fixture.sent.count
        }
        #expect(probes == 2 && fixture.agent.nextCheckNs == .max)
        #expect(fixture.agent.selectedAddress == Self.a)
    }

    @Test("authentic media from a nominated address is proof as well")
    func mediaIsProof() {
        let fixture = Fixture()
        _ = fixture.request(from: Self.a, at: 5)
        fixture.agent.connected(on: Self.a, now: 6)
        _ = fixture.request(from: Self.b, at: 3000 * Self.ms)
        if let index = fixture.agent.validatedIndex(of: Self.b) { fixture.agent.heard(on: index, now: 3001 * Self.ms) }
        #expect(fixture.agent.selectedAddress == Self.b)
    }

    @Test("at most eight paths; the one silent longest goes, never the selected one")
    func capsPaths() {
        let fixture = Fixture()
        _ = fixture.request(from: Self.a, at: 5)
        for port in UInt16(1)...20 {
            _ = fixture.request(.init(uses: false), from: SocketAddress(ipv4: 9, port: port), at: 5 + UInt64(port))
        }
        #expect(fixture.agent.paths.count == 8 && fixture.agent.selectedAddress == Self.a)
        #expect(fixture.agent.validatedIndex(of: SocketAddress(ipv4: 9, port: 20)) != nil)
        #expect(fixture.agent.validatedIndex(of: SocketAddress(ipv4: 9, port: 1)) == nil)
    }

    @Test("during a restart both credentials work until the new ones are used")
    func restart() {
        let fixture = Fixture()
        let next = ICECredentialPair(ufrag: "new1", password: "newpasswordnewpassword")
        _ = fixture.request(from: Self.a, at: 5)
        fixture.agent.restart(local: next, remote: Self.theirs, now: 6)
        #expect(fixture.request(from: Self.a, at: 7) == nil)
        #expect(fixture.request(.init(local: next), from: Self.a, at: 8) == nil)
        #expect(fixture.request(from: Self.a, at: 9) == .stunUnauthenticated)
        #expect(fixture.agent.selectedAddress == Self.a)
    }

    @Test("a flood is limited per address and does not keep others out")
    func limitsRate() {
        let fixture = Fixture()
        _ = fixture.request(from: Self.a, at: 5)
        var limited = 0
        for port in UInt16(1)...1000
        where fixture.request(.init(password: "no"), from: .init(ipv4: 9, port: port), at: 6) == .stunRateLimited {
            limited += 1
        }
        #expect(limited >= 799)
        #expect(fixture.request(from: Self.a, at: 7) == nil)
    }
}
