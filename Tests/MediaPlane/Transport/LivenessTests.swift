import TestThreads
import Testing

@testable import MediaPlane

@Suite("Signs of life (RFC 7675 §5.1): what the peer sent and proved, nothing else", .offThePool)
struct LivenessTests {
    /// ffmpeg 8.0 sends one Binding request and never another.
    @Test("authentic media alone keeps a session whose peer sends no more checks")
    func mediaAlone() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock)
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            pair.rewrite = { $0[0] < 4 ? [] : nil }
            for sequence in 1..<UInt16(95) {
                let packet = rtpPacket(ssrc: 5, sequence: sequence, payload: [1])
                pair.send(pair.client.protect(packet), from: pair.clientAddress, to: pair.serverAddress)
                pair.send(pair.server.protect(packet), from: pair.serverAddress, to: pair.clientAddress)
                pair.run(limitMs: 1000)
            }
            #expect(pair.isConnected && pair.elapsedMs > 90_000)
        }
    }

    @Test("a day of nothing but consent checks, one in five lost: neither side gives up, and each is asked every few seconds")
    func day() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock, rules: .init(lossPercent: 20))
            #expect(pair.run(limitMs: 8000) { $0.isConnected })
            var checks = 0
            pair.rewrite = { bytes in
                if bytes[0] == 0, bytes[1] == 1 { checks += 1 }
                return nil
            }
            for hour in 1...UInt64(24) {
                pair.run(limitMs: 3_600_000)
                #expect(pair.isConnected, "hour \(hour)")
            }
            #expect(pair.elapsedMs >= 24 * 3_600_000)
            // 2.5 to 5 s apart, more often after a loss.
            #expect((17_280...60_000).contains(checks))
            let packet = rtpPacket(ssrc: 5, sequence: 1, payload: [1])
            pair.rules.lossPercent = 0
            pair.send(pair.client.protect(packet), from: pair.clientAddress, to: pair.serverAddress)
            pair.run(limitMs: 100)
            #expect(pair.serverPlain == [packet])
        }
    }

    @Test("what cannot be authenticated, and what we send ourselves, is no sign of life")
    func rubbish() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock)
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            pair.rewrite = { _ in [] }
            for sequence in 1..<UInt16(32) {
                let forged = rtpPacket(ssrc: 5, sequence: sequence, payload: [UInt8](repeating: 3, count: 40))
                _ = pair.feedServer(forged, from: pair.clientAddress)
                _ = pair.server.protect(rtpPacket(ssrc: 9, sequence: sequence, payload: [1]))
                pair.run(limitMs: 1000)
            }
            #expect(pair.server.state == .closed(.consentExpired))
        }
    }
}
