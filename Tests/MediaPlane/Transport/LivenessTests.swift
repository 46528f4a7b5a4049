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
