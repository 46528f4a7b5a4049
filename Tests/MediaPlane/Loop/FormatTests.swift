import CLinux
import TestThreads
import Testing

@testable import MediaPlane

@Suite("A viewer that takes several formats on one source (RFC 3264 section 5.1, RFC 3550 section 5.2)", .offThePool, .serialized)
struct FormatTests {
    /// Video as H.264 of two profiles or VP8, sound as Opus.
    private static func outgoing(hasRepair: Bool) -> [OutgoingTrackSpec] {
        var tracks = LoopBed.outgoing(hasRepair: hasRepair)
        func repair(_ payloadType: UInt8) -> UInt8? { hasRepair ? payloadType : nil }
        tracks[0].alternatives = [
            OutgoingFormat(codec: .vp8, payloadType: 120, rtxPayloadType: repair(121)),
            OutgoingFormat(codec: .h264, payloadType: 104, rtxPayloadType: repair(105)),
        ]
        return tracks
    }

    /// - Parameter picture: the PictureID, below 128.
    private static func vp8(_ publisher: TestPeer, _ sequence: UInt16, isKey: Bool, picture: UInt8? = nil) {
        let descriptor: [UInt8] = picture.map { [0x90, 0x80, $0] } ?? [0x10]
        publisher.sendMedia(
            payloadType: 96, sequence: sequence, timestamp: 1000 + UInt32(sequence) * 3000, ssrc: LoopBed.videoSSRC, marker: true,
            extensions: [(4, [0x31])],
            payload: descriptor + [isKey ? 0x10 : 0x11, 0, 0, 0x9D, 0x01, 0x2A, 64, 0, 64, 0, 1, 2, 3])
    }

    private static var vp8Tracks: [IncomingTrackSpec] {
        var tracks = LoopBed.incoming()
        tracks[1].codec = .vp8
        return tracks
    }

    @Test(
        "a publisher that comes back with another codec: the same source goes on under the other payload type", arguments: [1, 2])
    func otherCodec(loops: Int) async throws {
        let bed = try LoopBed(loops: loops)
        let (publisher, handle) = try await bed.publisher(loop: 0)
        let (viewer, _) = try await bed.viewer(loop: loops - 1, tracks: Self.outgoing(hasRepair: false))
        let (strict, _) = try await bed.viewer(loop: loops - 1)
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 3 })
        await bed.plane.remove(handle)
        let (next, nextHandle) = try await bed.publisher(loop: 0, tracks: Self.vp8Tracks)
        Self.vp8(next, 40, isKey: true)
        Self.vp8(next, 41, isKey: false)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 5 })
        await bed.plane.remove(nextHandle)
        let (last, _) = try await bed.publisher(loop: 0)
        encoder.frame(last, key: true)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 8 })
        let packets = viewer.packets(LoopBed.viewerVideo).map(\.header)
        #expect(packets.map(\.payloadType) == [102, 102, 102, 120, 120, 102, 102, 102])
        #expect(packets.map { $0.sequence &- packets[0].sequence } == Array(0..<8))
        for (before, after) in zip(packets, packets.dropFirst()) {
            #expect(Int32(bitPattern: after.timestamp &- before.timestamp) >= 0)
        }
        #expect(strict.run { $0.packets(LoopBed.viewerVideo).count == 6 })
        #expect(strict.packets(LoopBed.viewerVideo).allSatisfy { $0.header.payloadType == 102 })
        await bed.plane.shutdown()
    }

    @Test("what was sent with moved picture numbers is sent again as it was, also when the source has another codec by then")
    func movedBefore() async throws {
        let bed = try LoopBed()
        let (viewer, _) = try await bed.viewer(tracks: Self.outgoing(hasRepair: false))
        for (count, picture) in [5, 70].enumerated() {
            let (publisher, handle) = try await bed.publisher(tracks: Self.vp8Tracks)
            Self.vp8(publisher, 40 * UInt16(count + 1), isKey: true, picture: UInt8(picture))
            #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == count + 1 })
            await bed.plane.remove(handle)
        }
        let moved = try #require(viewer.packets(LoopBed.viewerVideo).last)
        let before = try #require(viewer.encrypted.last)
        #expect(moved.payload[2] == 6)
        let (publisher, _) = try await bed.publisher()
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 5 })
        viewer.askAgain([moved.header.sequence], of: LoopBed.viewerVideo)
        #expect(viewer.run { $0.encrypted.count == 6 })
        // One nonce, one ciphertext.
        #expect(viewer.encrypted.last == before)
        await bed.plane.shutdown()
    }

    @Test(
        "what was sent before a change of format is sent again as it was, or on its own format's retransmissions",
        arguments: [false, true])
    func resends(hasRepair: Bool) async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        let (viewer, handle) = try await bed.viewer(tracks: Self.outgoing(hasRepair: hasRepair))
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 3 })
        let old = try #require(viewer.packets(LoopBed.viewerVideo).last).header.sequence
        let before = try #require(viewer.encrypted.last)
        bed.plane.choose([FormatChoice(ssrc: LoopBed.viewerVideo, payloadType: 104)], for: handle)
        // Comes after the choice, through the same mailbox.
        _ = await bed.plane.snapshot(of: handle)
        encoder.frame(publisher)
        encoder.frame(publisher, key: true)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 6 })
        let packets = viewer.packets(LoopBed.viewerVideo)
        #expect(packets.map(\.header.payloadType) == [102, 102, 102, 104, 104, 104])
        #expect(packets.map { $0.header.sequence &- packets[0].header.sequence } == Array(0..<6))
        #expect(packets.suffix(3).map(\.payload) == Array(encoder.sentPayloads.suffix(3)))
        viewer.askAgain([old, packets[5].header.sequence], of: LoopBed.viewerVideo)
        if hasRepair {
            #expect(viewer.run { $0.packets(LoopBed.viewerRepair).count == 2 })
            #expect(viewer.packets(LoopBed.viewerRepair).map(\.header.payloadType) == [112, 105])
        } else {
            #expect(viewer.run { $0.encrypted.count == 8 })
            // One nonce, one ciphertext.
            #expect(viewer.encrypted[6] == before && viewer.encrypted[7] == viewer.encrypted[5])
        }
        await bed.plane.shutdown()
    }

    @Test("a choice made while nothing is sent holds for what begins; one that the viewer never agreed on changes nothing")
    func chosenBefore() async throws {
        let bed = try LoopBed()
        let (viewer, handle) = try await bed.viewer(tracks: Self.outgoing(hasRepair: false))
        for payloadType: UInt8 in [104, 77] {
            bed.plane.choose([FormatChoice(ssrc: LoopBed.viewerVideo, payloadType: payloadType)], for: handle)
        }
        bed.plane.choose([FormatChoice(ssrc: 5, payloadType: 102)], for: handle)
        _ = await bed.plane.snapshot(of: handle)
        let (publisher, _) = try await bed.publisher()
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 3 })
        #expect(viewer.packets(LoopBed.viewerVideo).allSatisfy { $0.header.payloadType == 104 })
        await bed.plane.shutdown()
    }

    @Test("video that comes later reaches who agreed on it when there was sound only")
    func videoLater() async throws {
        let bed = try LoopBed()
        let (sound, handle) = try await bed.publisher(tracks: [LoopBed.incoming()[0]])
        let (viewer, _) = try await bed.viewer(tracks: Self.outgoing(hasRepair: false))
        var encoder = Encoder()
        encoder.audio(sound)
        #expect(viewer.run { $0.packets(LoopBed.viewerAudio).count == 1 })
        #expect(viewer.packets(LoopBed.viewerVideo).isEmpty)
        await bed.plane.remove(handle)
        let (both, _) = try await bed.publisher(tracks: Self.vp8Tracks)
        Self.vp8(both, 40, isKey: true)
        encoder.audio(both)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 1 && $0.packets(LoopBed.viewerAudio).count == 2 })
        #expect(viewer.packets(LoopBed.viewerVideo).first?.header.payloadType == 120)
        await bed.plane.shutdown()
    }
}
