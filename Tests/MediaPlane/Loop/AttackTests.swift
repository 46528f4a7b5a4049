import CLinux
import TestThreads
import Testing

@testable import MediaPlane

@Suite("What one peer can do to others", .offThePool, .serialized)
struct AttackTests {
    @Test(
        "a publisher is let send so many packets and bytes in a second, and another one's share is its own",
        arguments: [
            (1, MediaLimits.publisherPacketsPerSecond), (1400, MediaLimits.publisherBytesPerSecond / 1400),
            (200, MediaLimits.publisherPacketsPerSecond),
        ])
    func publisherShare(bytes: Int, most: Int) throws {
        func side() throws -> PublisherSide {
            try PublisherSide(
                PublisherSpec(stream: LoopBed.stream, session: "p", transport: TestPeer().spec, tracks: LoopBed.incoming()))
        }
        var loud = try side()
        var quiet = try side()
        for second in 5..<8 as Range<UInt64> {
            var admitted = 0
            var refusedQuiet = 0
            for packet in 0..<UInt64(100_000) {
                let now = second * 1_000_000_000 + packet * 10_000
                if loud.admits(bytes, now: now) { admitted += 1 }
                if packet % 200 == 0, !quiet.admits(1200, now: now) { refusedQuiet += 1 }
            }
            #expect(admitted == most && refusedQuiet == 0)
        }
    }

    /// Everything a viewer may ask of a publisher, in one compound: a picture, twice; packets that were never sent; no bandwidth at all.
    private static func demands(_ command: UInt8) -> [UInt8] {
        func word(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * UInt32($0))) } }
        let (own, media) = (word(0x0BAD_0001), word(LoopBed.viewerVideo))
        let report = [0x80, 201, 0, 1] + own
        let loss = [0x81, 206, 0, 2] + own + media
        let intra = [0x84, 206, 0, 4] + own + word(0) + media + [command, 0, 0, 0]
        let missing = [0x81, 205, 0, 5] + own + media + word(0x1234_FFFF) + word(0x5678_FFFF) + word(0x9ABC_FFFF)
        let estimate = [0x8F, 206, 0, 5] + own + word(0) + Array("REMB".utf8) + [1, 0, 0, 0] + media
        return report + loss + intra + missing + estimate
    }

    @Test("of a viewer's storm of PLI, FIR, NACK and REMB 0 the publisher hears requests at its own interval, and nothing else")
    func viewerStorm() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher(tracks: LoopBed.incoming(twcc: false))
        let (viewer, _) = try await bed.viewer()
        let (other, _) = try await bed.viewer()
        var encoder = Encoder()
        let began = tributary_monotonic_ns()
        for round in 0..<40 {
            encoder.frame(publisher, key: round % 10 == 0)
            for index in 0..<25 { viewer.sendRawReports(Self.demands(UInt8(truncatingIfNeeded: round * 25 + index))) }
            publisher.step()
            viewer.step()
            other.step()
        }
        let sent = encoder.sentPayloads.count
        #expect(other.run { $0.packets(LoopBed.viewerVideo).count == sent })
        // A REMB says that everything before it was read as well; the node's own comes about once a second.
        #expect(publisher.run { $0.feedbackCount(.estimatedBitrate) > 1 })
        let seconds = Double(tributary_monotonic_ns() - began) / 1e9
        let requests = publisher.feedbackCount(.pictureLoss) + publisher.feedbackCount(.fullIntra)
        #expect(Double(requests) <= 2 + seconds / (Double(KeyframeRequester.intervalNs) / 1e9))
        #expect(publisher.nackedSequences.isEmpty)
        var least = UInt64.max
        publisher.forEachReport { part, bytes in
            guard let feedback = FeedbackHeader(part, in: bytes), let bitrate = feedback.estimatedBitrate(in: bytes) else {
                return
            }
            least = min(least, bitrate)
        }
        #expect(least > 100_000 && least < .max)
        await bed.plane.shutdown()
    }
}

@Suite("Captured packets sent again", .offThePool)
struct ReplayTests {
    @Test("SRTP from the same address is dropped, is neither media nor a sign of life")
    func media() throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock)
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            let packets = (1...UInt16(20)).map { pair.client.protect(rtpPacket(ssrc: 5, sequence: $0, payload: [UInt8($0)])) }
            for packet in packets { pair.send(packet, from: pair.clientAddress, to: pair.serverAddress) }
            pair.run(limitMs: 100)
            #expect(pair.serverPlain.count == 20)
            let heard = pair.server.lastHeardNs
            pair.rewrite = { _ in [] }
            var outcomes: Set<String> = []
            for _ in 0..<31 {
                for packet in packets { outcomes.insert("\(pair.feedServer(packet, from: pair.clientAddress))") }
                if pair.server.state == .connected { #expect(pair.server.lastHeardNs == heard) }
                pair.run(limitMs: 1000)
            }
            #expect(outcomes == ["\(Received.dropped(.srtpReplay))", "\(Received.dropped(.closed))"])
            #expect(pair.serverPlain.count == 20 && pair.server.state == .closed(.consentExpired))
        }
    }

    @Test(
        "a check that nominates, sent again from elsewhere, gets an answer and two probes, and moves nothing", arguments: [1, 40])
    func check(times: Int) throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock)
            var checks: [[UInt8]] = []
            pair.rewrite = { bytes in
                if bytes[0] == 0, bytes[1] == 1 { checks.append(bytes) }
                return nil
            }
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            let captured = try #require(checks.last)
            let elsewhere = SocketAddress(ipv4: 0xC633_6401, port: 53)
            // Our own checks bear the name of the peer's first.
            var probes = 0
            pair.rewrite = { bytes in
                if bytes[0] == 0, bytes[1] == 1, Array(bytes[24..<28]) == Array("cli1".utf8) { probes += 1 }
                return nil
            }
            // The path in use is silent for as long as between two checks of a viewer's.
            pair.run(limitMs: 600)
            for _ in 0..<times {
                _ = pair.feedServer(captured, from: elsewhere)
                pair.run(limitMs: 500)
                #expect(pair.server.selectedAddress == pair.clientAddress)
            }
            #expect(probes == Limits.probesPerRequest)
            let packet = rtpPacket(ssrc: 9, sequence: 1, payload: [1])
            pair.send(pair.server.protect(packet), from: pair.serverAddress, to: pair.clientAddress)
            pair.run(limitMs: 100)
            #expect(pair.clientPlain.count == 1 && pair.isConnected)
        }
    }
}
