import CAllocationCounter
import CLinux
import TestThreads
import Testing

@testable import MediaPlane

@Suite("A publisher of redundant audio data (RFC 2198)", .offThePool, .serialized)
struct RedundantLoopTests {
    static let incoming = [
        IncomingTrackSpec(
            kind: .audio, codec: .opus, clockRate: 48000, channels: 2, payloadType: 111, redPayloadType: 63, mid: "0",
            extensions: LoopBed.extensions)
    ]

    static func outgoing(red: UInt8?) -> [OutgoingTrackSpec] {
        [
            OutgoingTrackSpec(
                kind: .audio, codec: .opus, payloadType: 103, ssrc: LoopBed.viewerAudio, redPayloadType: red, clockRate: 48000,
                cname: "c")
        ]
    }

    /// The sound of packet `number`; unlike any other's.
    static func sound(_ number: Int) -> [UInt8] { [0x78] + [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 3) }

    /// Sends packet `number` with the two before it, or by itself.
    static func send(_ number: Int, _ peer: TestPeer, isRedundant: Bool = true, bytes: [UInt8]? = nil) {
        let packet = RED.packet(sound(number), older: [(1920, sound(number - 2)), (960, sound(number - 1))])
        peer.sendMedia(
            payloadType: isRedundant ? 63 : 111, sequence: UInt16(number), timestamp: UInt32(number * 960),
            ssrc: LoopBed.audioSSRC, extensions: [(4, [0x30])], payload: bytes ?? (isRedundant ? packet : sound(number)))
    }

    @Test(
        "who agreed on it gets the blocks under its own payload types, others and readers the primary block", arguments: [1, 2])
    func forwards(loops: Int) async throws {
        let bed = try LoopBed(loops: loops)
        let tap = try await bed.plane.tap(stream: LoopBed.stream)
        let (publisher, _) = try await bed.publisher(loop: 0, tracks: Self.incoming)
        let (plain, plainHandle) = try await bed.viewer(loop: loops - 1, tracks: Self.outgoing(red: nil))
        let (whole, _) = try await bed.viewer(loop: loops - 1, tracks: Self.outgoing(red: 63))
        for number in 10..<20 { Self.send(number, publisher, isRedundant: number != 15) }
        #expect(plain.run { $0.packets(LoopBed.viewerAudio).count == 10 })
        #expect(whole.run { $0.packets(LoopBed.viewerAudio).count == 10 })
        let alone = plain.packets(LoopBed.viewerAudio)
        #expect(alone.map(\.payload) == (10..<20).map(Self.sound))
        #expect(alone.allSatisfy { $0.header.payloadType == 103 })
        let packets = whole.packets(LoopBed.viewerAudio)
        let expected = (10..<20).map { number in
            number == 15
                ? Self.sound(15)
                : RED.packet(
                    Self.sound(number), older: [(1920, Self.sound(number - 2)), (960, Self.sound(number - 1))], payloadType: 103)
        }
        #expect(packets.map(\.payload) == expected)
        #expect(packets.map(\.header.payloadType) == (10..<20).map { $0 == 15 ? 103 : 63 })
        for heard in [alone, packets] {
            #expect(heard.map { $0.header.sequence &- heard[0].header.sequence } == Array(0..<10))
            #expect(heard.map { $0.header.timestamp &- heard[0].header.timestamp } == (0..<10).map { UInt32($0 * 960) })
        }
        var seen: [StreamTapTests.Seen] = []
        publisher.run { _ in
            StreamTapTests.drain(tap, into: &seen)
            return seen.count >= 11
        }
        let read = seen.compactMap { if case .packet(_, _, _, _, let payload) = $0 { payload } else { nil } }
        #expect(read == (10..<20).map(Self.sound))
        // What is counted as sent is what was sent.
        #expect(plain.run { $0.senderReports.last?.packets == 10 })
        #expect(plain.senderReports.last?.octets == 40)
        #expect(await bed.plane.snapshot(of: plainHandle)?.packets == 10)
        await bed.plane.shutdown()
    }

    @Test("packets that got lost are taken from the next one, and those that come late are not sent again")
    func recovers() async throws {
        let bed = try LoopBed()
        let tap = try await bed.plane.tap(stream: LoopBed.stream)
        let (publisher, handle) = try await bed.publisher(tracks: Self.incoming)
        let (plain, _) = try await bed.viewer(tracks: Self.outgoing(red: nil))
        // One, two and three in a row; of three the first is gone for good.
        let lost: Set<UInt16> = [12, 15, 16, 20, 21, 22]
        publisher.losesOutgoing = { lost.contains($0) }
        for number in 10..<26 { Self.send(number, publisher) }
        let expected = (10..<26).filter { $0 != 20 }
        #expect(plain.run { $0.packets(LoopBed.viewerAudio).count == expected.count })
        publisher.losesOutgoing = { _ in false }
        publisher.resend(12)
        Self.send(26, publisher)
        #expect(plain.run { $0.packets(LoopBed.viewerAudio).count == expected.count + 1 })
        let heard = plain.packets(LoopBed.viewerAudio)
        #expect(heard.map(\.payload) == (expected + [26]).map(Self.sound))
        #expect(heard.map { $0.header.sequence &- heard[0].header.sequence } == (expected + [26]).map { UInt16($0 - 10) })
        #expect(heard.map { $0.header.timestamp &- heard[0].header.timestamp } == (expected + [26]).map { UInt32($0 - 10) * 960 })
        var seen: [StreamTapTests.Seen] = []
        publisher.run { _ in
            StreamTapTests.drain(tap, into: &seen)
            return seen.count >= expected.count + 2
        }
        let read = seen.compactMap { if case .packet(_, _, _, _, let payload) = $0 { payload } else { nil } }
        #expect(read == (expected + [26]).map(Self.sound))
        // What the path lost stays lost in the reports to the sender, the late one aside.
        #expect(try #require(await bed.plane.snapshot(of: handle)).lost >= 5)
        #expect(publisher.nackedSequences.isEmpty, "what wasn't agreed on isn't asked for")
        await bed.plane.shutdown()
    }

    @Test("packets that are no blocks of the codec agreed on are dropped and counted, and sound goes on")
    func hostile() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher(tracks: Self.incoming)
        let (plain, _) = try await bed.viewer(tracks: Self.outgoing(red: nil))
        let (whole, _) = try await bed.viewer(tracks: Self.outgoing(red: 63))
        Self.send(10, publisher)
        let damaged = RedundantAudioTests.samples.filter { $0.primary == nil && !$0.bytes.isEmpty && $0.payloadType != nil }
        for (place, sample) in damaged.enumerated() { Self.send(11 + place, publisher, bytes: sample.bytes) }
        Self.send(40, publisher, isRedundant: false)
        for viewer in [plain, whole] {
            #expect(viewer.run { $0.packets(LoopBed.viewerAudio).count == 2 })
            #expect(viewer.packets(LoopBed.viewerAudio).last?.payload == Self.sound(40))
        }
        // Counters are told with a tick of the loop.
        var malformed: UInt64 = 0
        while malformed < damaged.count, !Task.isCancelled {
            malformed = await bed.plane.snapshot().loops.flatMap(\.drops).filter { $0.reason == "rtpMalformed" }.map(\.count)
                .reduce(0, +)
        }
        #expect(malformed == damaged.count)
        await bed.plane.shutdown()
    }

    @Test("without an agreement its payload type is nobody's")
    func notAgreed() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher(tracks: LoopBed.incoming())
        let (plain, _) = try await bed.viewer(tracks: Self.outgoing(red: nil))
        Self.send(10, publisher, isRedundant: false)
        Self.send(11, publisher)
        Self.send(12, publisher, isRedundant: false)
        #expect(plain.run { $0.packets(LoopBed.viewerAudio).count == 2 })
        #expect(plain.packets(LoopBed.viewerAudio).map(\.payload) == [10, 12].map(Self.sound))
        await bed.plane.shutdown()
    }

    @Test("unpacking and renaming blocks allocates nothing", arguments: [nil, 63] as [UInt8?])
    func allocatesNothing(red: UInt8?) async throws {
        let loop = try SteppedLoop(segmentation: true)
        let publisher = try TestPeer()
        let spec = PublisherSpec(stream: LoopBed.stream, session: "p", transport: publisher.spec, tracks: Self.incoming)
        try await loop.add(publisher, .publisher(spec), isPublisher: true, others: [])
        let viewer = try TestPeer()
        let view = ViewerSpec(
            stream: LoopBed.stream, session: "v", transport: viewer.spec, tracks: Self.outgoing(red: red))
        try await loop.add(viewer, .viewer(view), isPublisher: false, others: [])
        func round(_ number: Int) {
            // Each fifth gets lost, so that its copy is used.
            if number % 5 != 0 { Self.send(number, publisher) }
            loop.step()
            loop.step()
            viewer.discard()
        }
        for number in 10..<60 { round(number) }
        loop.resetCounts()
        let before = loop.core.arena.pointee.totals.sent
        for number in 60..<260 { round(number) }
        #expect(loop.core.arena.pointee.totals.sent - before >= 200)
        #if !DEBUG
            if tributary_counts_allocations() { #expect(loop.allocations == 0) }
        #endif
        loop.stop()
        await loop.plane.shutdown()
    }
}
