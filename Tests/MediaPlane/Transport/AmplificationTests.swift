import TestThreads
import Testing

@testable import MediaPlane

@Suite("What an address is sent before it has proven that it hears us", .offThePool)
struct AmplificationTests {
    private static let victim = SocketAddress(ipv4: 0xC633_6401, port: 53)
    /// The same host, as the one that a request came from.
    private static let asker = SocketAddress(ipv4: 0xC633_6401, port: 0)

    /// Bytes on the wire that the server sent to the victim, and how many it got from there.
    private final class Ledger {
        var sent = 0
        var received = 0
        /// Three times what came from there; to the host that asked for the session one flight six times over, to others four hellos where
        /// we begin.
        var most: Int { max(3 * received, hasAsked ? 6144 : begins ? 1024 : 0) }
        private let begins: Bool
        private let pair: TransportPair
        private let hasAsked: Bool
        private var output = TransportOutput()

        init(_ pair: TransportPair, hasAsked: Bool, begins: Bool = false) {
            (self.pair, self.hasAsked, self.begins) = (pair, hasAsked, begins)
        }

        func feed(_ bytes: [UInt8]) {
            var bytes = bytes
            received += bytes.count + 28
            _ = bytes.withUnsafeMutableBytes { pair.server.receive($0, from: victim, now: pair.now, output: &output) }
            note()
        }

        /// Lets time pass with nobody there.
        func wait(seconds: UInt64, _ clock: UnsafeMutablePointer<UInt64>) {
            let end = pair.now + seconds * 1_000_000_000
            while pair.server.nextDeadlineNs <= end {
                let step = max(pair.server.nextDeadlineNs, pair.now) - pair.now
                (pair.now, clock.pointee) = (pair.now + step, clock.pointee + step)
                pair.server.handleTimeout(now: pair.now, output: &output)
                note()
            }
        }

        private func note() {
            for index in 0..<output.count where output.address(at: index) == victim { sent += output.bytes(at: index).count + 28 }
            output.removeAll()
        }
    }

    /// A check and the ClientHello of somebody who has the credentials and writes the victim's address into them.
    private static func spoofed(_ pair: TransportPair) throws -> (check: [UInt8], hello: [UInt8]) {
        var seen: [[UInt8]] = []
        pair.rewrite = { bytes in
            seen.append(bytes)
            return nil
        }
        pair.run(limitMs: 400) { _ in seen.contains { $0[0] == 22 } }
        pair.rewrite = nil
        let check = try #require(seen.first { $0[0] < 2 })
        return (check, try #require(seen.first { $0[0] == 22 }))
    }

    @Test(
        "of a handshake that its victim never asked for so much and no more, and nothing before a check that was good",
        arguments: 1...4, [false, true])
    func spoofedServer(checks: Int, hasAsked: Bool) throws {
        try withWallClock { clock in
            let source = try TransportPair(clock: clock)
            let (check, hello) = try Self.spoofed(source)
            let pair = try TransportPair(clock: clock, asker: hasAsked ? Self.asker : nil)
            let ledger = Ledger(pair, hasAsked: hasAsked)
            ledger.feed(hello)
            #expect(ledger.sent == 0 && pair.server.state == .new)
            for _ in 0..<checks { ledger.feed(check) }
            #expect(ledger.sent <= ledger.received)
            for _ in 0..<checks { ledger.feed(hello) }
            #expect(pair.server.state == .handshaking && ledger.sent > 0)
            ledger.wait(seconds: 30, clock)
            #expect(ledger.sent <= ledger.most, "\(ledger.sent) for \(ledger.received)")
            #expect(pair.server.state == .closed(.dtlsTimeout))
        }
    }

    @Test("a server that begins the handshake itself keeps to the same", arguments: [false, true])
    func spoofedClient(hasAsked: Bool) throws {
        try withWallClock { clock in
            let source = try TransportPair(clock: clock)
            let (check, _) = try Self.spoofed(source)
            let pair = try TransportPair(clock: clock, serverIsDTLSClient: true, asker: hasAsked ? Self.asker : nil)
            let ledger = Ledger(pair, hasAsked: hasAsked, begins: true)
            ledger.feed(check)
            #expect(pair.server.state == .handshaking)
            ledger.wait(seconds: 30, clock)
            #expect(ledger.sent > 0 && ledger.sent <= ledger.most, "\(ledger.sent) for \(ledger.received)")
            // Its hello is repeated more often to who asked for the session; FFmpeg 8 needs the second one wherever it asked from.
            #expect((ledger.sent > 1024) == hasAsked && ledger.sent > 500)
        }
    }

    @Test("one check and a hello are enough for the whole first flight, so that an honest peer waits for nothing")
    func honest() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock, asker: nil)
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            // Check, answer and two round trips of DTLS at 10 ms each way.
            #expect(pair.elapsedMs <= 70)
        }
    }
}
