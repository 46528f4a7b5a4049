import TestThreads
import Testing

@testable import MediaPlane

@Suite("Hostile input never traps, never allocates state, never ends a session", .offThePool)
struct TransportFuzzTests {
    private static let hello: [UInt8] = {
        // One ClientHello fragment with a plausible header and an empty body.
        let body: [UInt8] =
            [1, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0, 42, 0xFE, 0xFD] + [UInt8](repeating: 5, count: 32) + [
                0, 0, 0, 2, 0xC0, 0x2B, 1, 0,
            ]
        return [22, 0xFE, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, UInt8(body.count)] + body
    }()

    @Test("STUN parser takes 50,000 damaged messages")
    func stun() {
        var mutator = Mutator(seed: 101)
        let seeds = [STUNTests.request, STUNTests.answer4, STUNTests.answer6]
        var parsed = 0
        for round in 0..<50_000 {
            let bytes = mutator.mutate(seeds[round % seeds.count])
            let message = try? STUNTests.parse(bytes)
            guard let message else { continue }
            parsed += 1
            _ = bytes.withUnsafeBytes { message.isAuthentic($0, key: HMACSHA1(key: "k")) }
            _ = bytes.withUnsafeBytes { message.localUfrag(in: $0) }
        }
        #expect(parsed < 50_000)
    }

    @Test("attributes without fingerprint take 50,000 damaged messages")
    func stunWithoutFingerprint() {
        var mutator = Mutator(seed: 102)
        var head = STUNTests.request
        head.removeLast(8)
        for _ in 0..<50_000 {
            var bytes = mutator.mutate(head)
            // A right length lets the walk over the attributes begin.
            bytes.removeLast(bytes.count % 4)
            guard bytes.count >= 20 else { continue }
            bytes[0] = 0
            bytes[1] = 1
            bytes[2] = UInt8((bytes.count - 20) >> 8)
            bytes[3] = UInt8((bytes.count - 20) & 0xFF)
            bytes.replaceSubrange(4..<8, with: [0x21, 0x12, 0xA4, 0x42])
            _ = try? STUNTests.parse(bytes)
        }
    }

    @Test("DTLS gate: what it lets through is whole records")
    func gate() {
        var mutator = Mutator(seed: 103)
        #expect(Self.hello.withUnsafeBytes { DTLSRecord.refusal($0, role: .server) } == nil)
        #expect(Self.hello.withUnsafeBytes { DTLSRecord.refusal($0, role: .client) } == .dtlsUnexpected)
        let alert: [UInt8] = [21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40]
        #expect(alert.withUnsafeBytes { DTLSRecord.refusal($0, role: .client) } == .dtlsUnexpected)
        for _ in 0..<50_000 {
            let bytes = mutator.mutate(Self.hello + Self.hello)
            let isPlausible = bytes.withUnsafeBytes { DTLSRecord.refusal($0, role: .server) == nil }
            let run = bytes.withUnsafeBytes { DTLSRecord.runBytes($0, limit: .max) }
            #expect(run <= bytes.count)
            if isPlausible { #expect(run == bytes.count) }
        }
    }

    @Test("a connected pair survives 20,000 damaged datagrams of every kind and its media goes on")
    func connected() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock)
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            var mutator = Mutator(seed: 104)
            let rtp = pair.client.protect(rtpPacket(ssrc: 3, sequence: 1, payload: [UInt8](repeating: 4, count: 100)))
            let rtcp = pair.client.protectControl([0x80, 201, 0, 1, 0, 0, 0, 9])
            let seeds = [rtp, rtcp, STUNTests.request, Self.hello]
            for round in 0..<20_000 {
                let bytes = mutator.mutate(seeds[round % seeds.count])
                let from = round % 3 == 0 ? SocketAddress(ipv4: 5, port: UInt16(round % 1000)) : pair.clientAddress
                let received = pair.feedServer(bytes, from: from)
                if bytes != rtp && bytes != rtcp {
                    #expect(received != .rtp(count: rtp.count - 16) && received != .rtcp(count: 8))
                }
            }
            #expect(pair.server.paths == [pair.clientAddress])
            pair.run(limitMs: 100)
            #expect(pair.isConnected)
            let fresh = rtpPacket(ssrc: 3, sequence: 50, payload: [1])
            #expect(pair.feedServer(pair.client.protect(fresh), from: pair.clientAddress) == .rtp(count: 13))
        }
    }

    @Test("damaged handshakes do not keep the pair from connecting", arguments: 0..<20, [false, true])
    func handshaking(seed: Int, serverIsDTLSClient: Bool) throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock, seed: UInt64(seed), serverIsDTLSClient: serverIsDTLSClient)
            var mutator = Mutator(seed: UInt64(seed))
            pair.run(limitMs: 15)
            for _ in 0..<3 { _ = pair.feedServer(mutator.mutate(Self.hello), from: pair.clientAddress) }
            #expect(pair.run(limitMs: 10_000) { $0.isConnected }, "\(pair.server.state) \(pair.client.state)")
        }
    }

    @Test("every length from 0 to 2000 of every first byte from a stranger is a counted drop")
    func strangers() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock)
            var counters = DropCounters()
            for length in stride(from: 0, through: 2000, by: 13) {
                for first in stride(from: 0, to: 256, by: 5) {
                    var bytes = [UInt8](repeating: UInt8(length & 0xFF), count: length)
                    if length > 0 { bytes[0] = UInt8(first) }
                    guard case .dropped(let reason) = pair.feedServer(bytes, from: SocketAddress(ipv4: 1, port: 1)) else {
                        Issue.record("taken: \(first) \(length)")
                        continue
                    }
                    counters.count(reason)
                }
            }
            #expect(counters.total == 154 * 52)
            #expect(counters[.empty] == 52 && counters[.unvalidatedPath] > 0 && counters[.stunMalformed] > 0)
            #expect(pair.flightCount == 0 && pair.server.paths.isEmpty)
        }
    }
}
