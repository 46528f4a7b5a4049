import CLinux
import TestThreads
import Testing

@testable import MediaPlane

@Suite("What one side says never reaches the other as it was (RFC 8285, RFC 9143 §15, RFC 4588)", .offThePool, .serialized)
struct ForwardRulesTests {
    /// Id and value of each header extension of a packet as it arrived.
    private static func elements(_ packet: [UInt8]) throws -> [UInt8: [UInt8]] {
        let bytes = packet.span
        var reader = HeaderExtensionReader(try RTPHeader(parsing: bytes))
        var found: [UInt8: [UInt8]] = [:]
        while let element = reader.next(in: bytes) {
            found[element.id] = Array(packet[element.offset..<(element.offset + element.count)])
        }
        return found
    }

    @Test("header extensions come under the viewer's ids; the publisher's mid and its transport-wide number stay behind")
    func extensions() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        let (viewer, _) = try await bed.viewer()
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        encoder.audio(publisher)
        #expect(viewer.run { $0.media.count == 4 })
        for packet in viewer.media {
            let isVideo = packet[1] & 0x7F == 102
            let expected: [UInt8: [UInt8]] =
                isVideo ? [9: Array("v".utf8)] : [9: Array("a".utf8), 10: [0x85]]
            #expect(try Self.elements(packet) == expected)
        }
        await bed.plane.shutdown()
    }

    @Test("transport-wide feedback counts audio, retransmissions and padding too")
    func feedbackCoversEverything() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        func number(_ value: UInt16) -> [(UInt8, [UInt8])] { [(3, [UInt8(value >> 8), UInt8(value & 0xFF)])] }
        for round in 0..<UInt16(30) {
            let base = 65_500 &+ round &* 4
            publisher.sendMedia(
                payloadType: 96, sequence: 100 + 2 * round, timestamp: UInt32(round) * 3000, ssrc: LoopBed.videoSSRC,
                extensions: number(base), payload: [0x7C, 0x85, 1, 2])
            publisher.sendMedia(
                payloadType: 111, sequence: 100 + round, timestamp: UInt32(round) * 960, ssrc: LoopBed.audioSSRC,
                extensions: number(base &+ 1) + [(4, [0x30])], payload: [1, 2, 3])
            publisher.sendMedia(
                payloadType: 96, sequence: 101 + 2 * round, timestamp: UInt32(round) * 3000, ssrc: LoopBed.videoSSRC, padding: 40,
                extensions: number(base &+ 2), payload: [])
            publisher.sendMedia(
                payloadType: 97, sequence: 100 + round, timestamp: 0, ssrc: LoopBed.videoSSRC + 1, padding: 40,
                extensions: number(base &+ 3), payload: [])
        }
        var covered: Set<UInt16> = []
        publisher.run { peer in
            peer.forEachReport { part, bytes in
                guard let feedback = FeedbackHeader(part, in: bytes), feedback.kind == .transportCC else { return }
                let items = (0..<feedback.itemsCount).map { bytes[feedback.itemsOffset + $0] }
                for arrival in TransportFeedbackDecoder(items)?.arrivals ?? [] { covered.insert(arrival.sequence) }
            }
            return covered.count == 120
        }
        #expect(covered == Set((0..<120).map { 65_500 &+ UInt16($0) }))
        await bed.plane.shutdown()
    }

    @Test("the recorder sees each packet once: no padding, no probe, a retransmission as its original")
    func tapSeesMediaOnly() async throws {
        let bed = try LoopBed()
        let tap = try await bed.plane.tap(stream: LoopBed.stream)
        let (publisher, _) = try await bed.publisher()
        func send(_ sequence: UInt16, _ payload: [UInt8], padding: UInt8 = 0) {
            publisher.sendMedia(
                payloadType: 96, sequence: sequence, timestamp: 90_000, ssrc: LoopBed.videoSSRC, padding: padding,
                payload: payload)
        }
        func repair(_ sequence: UInt16, _ payload: [UInt8], padding: UInt8 = 0) {
            publisher.sendMedia(
                payloadType: 97, sequence: sequence, timestamp: 90_000, ssrc: LoopBed.videoSSRC + 1, padding: padding,
                payload: payload)
        }
        send(10, [0x7C, 0x85, 10])
        send(11, [], padding: 50)
        repair(1, [], padding: 50)
        repair(2, [0, 10])
        repair(3, [0, 12, 0x7C, 0x05, 12])
        repair(4, [0, 12, 0x7C, 0x05, 12])
        send(12, [0x7C, 0x05, 12])
        send(13, [0x7C, 0x45, 13])
        var seen: [StreamTapTests.Seen] = []
        publisher.run { _ in
            StreamTapTests.drain(tap, into: &seen)
            return seen.count >= 4
        }
        let payloads = seen.compactMap { if case .packet(_, _, _, _, let payload) = $0 { payload } else { nil } }
        #expect(payloads == [[0x7C, 0x85, 10], [0x7C, 0x05, 12], [0x7C, 0x45, 13]])
        let numbers = seen.compactMap { if case .packet(_, let number, _, _, _) = $0 { number } else { nil } }
        #expect(numbers.count == 3 && numbers[1] == numbers[0] + 1 && numbers[2] == numbers[1] + 1)
        await bed.plane.shutdown()
    }

    @Test("500 viewers that wait for a picture at the same moment cost two keyframe requests at most")
    func manyJoiners() async throws {
        let bed = try LoopBed()
        var viewers: [TestPeer] = []
        for _ in 0..<500 { viewers.append(try await bed.viewer().0) }
        let (publisher, handle) = try await bed.publisher()
        #expect(publisher.run { $0.feedbackCount(.pictureLoss) > 0 })
        var encoder = Encoder()
        encoder.frame(publisher, key: true, packets: 4)
        for viewer in viewers { #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 4 }) }
        let numbers = try #require(await bed.plane.snapshot(of: handle))
        #expect((1...2).contains(numbers.keyframeRequests))
        await bed.plane.shutdown()
    }
}
