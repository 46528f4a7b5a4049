import CLinux
import TestThreads
import Testing

@testable import MediaPlane

@Suite("Retransmissions to viewers as a source of their own (RFC 4588 §4)", .offThePool, .serialized)
struct RepairTests {
    @Test(
        "a NACK is answered on the repair source: the viewer's number in front, timestamp and marker as they were",
        arguments: [1, 2])
    func retransmits(loops: Int) async throws {
        let bed = try LoopBed(loops: loops)
        let (publisher, _) = try await bed.publisher(loop: 0)
        let (viewer, handle) = try await bed.viewer(loop: loops - 1, tracks: LoopBed.outgoing(hasRepair: true))
        var encoder = Encoder()
        encoder.frame(publisher, key: true, packets: 6)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 6 })
        let originals = viewer.packets(LoopBed.viewerVideo)
        let wanted = [originals[3], originals[5]]
        viewer.askAgain(wanted.map(\.header.sequence), of: LoopBed.viewerVideo)
        #expect(viewer.run { $0.packets(LoopBed.viewerRepair).count == 2 })
        let first = try #require(viewer.packets(LoopBed.viewerRepair).first).header.sequence
        for (index, packet) in viewer.packets(LoopBed.viewerRepair).enumerated() {
            let original = wanted[index]
            #expect(packet.header.sequence == first &+ UInt16(index))
            #expect(packet.header.payloadType == 112)
            #expect(packet.header.timestamp == original.header.timestamp && packet.header.marker == original.header.marker)
            let number = original.header.sequence
            #expect(packet.payload == [UInt8(number >> 8), UInt8(number & 0xFF)] + original.payload)
        }
        #expect(viewer.packets(LoopBed.viewerVideo).count == 6, "nothing came again under its old number")
        // The same packet once more is another retransmission, with a number of its own.
        viewer.run(seconds: 0.06) { _ in false }
        viewer.askAgain([wanted[0].header.sequence], of: LoopBed.viewerVideo)
        #expect(viewer.run { $0.packets(LoopBed.viewerRepair).count == 3 })
        #expect(viewer.packets(LoopBed.viewerRepair)[2].header.sequence == first &+ 2)
        #expect(viewer.packets(LoopBed.viewerRepair)[2].payload == viewer.packets(LoopBed.viewerRepair)[0].payload)
        let numbers = try #require(await bed.plane.snapshot(of: handle))
        #expect(numbers.resent == 3 && numbers.nacks == 3)
        try await checkReports(viewer, of: bed, handle)
        await bed.plane.shutdown()
    }

    /// The repair source is reported beside the media, at the same moment, and says goodbye with it (RFC 3550 §6.4.1, §6.6).
    private func checkReports(_ viewer: TestPeer, of bed: LoopBed, _ handle: SessionHandle) async throws {
        func last(_ ssrc: UInt32) -> SenderReport? { viewer.senderReports.last { $0.ssrc == ssrc } }
        #expect(viewer.run { _ in last(LoopBed.viewerRepair)?.packets == 3 })
        let (repair, media) = (try #require(last(LoopBed.viewerRepair)), try #require(last(LoopBed.viewerVideo)))
        #expect(repair.ntp == media.ntp && repair.timestamp == media.timestamp)
        #expect(Int(repair.octets) == viewer.packets(LoopBed.viewerRepair).reduce(0) { $0 + $1.payload.count })
        await bed.plane.remove(handle)
        var gone: Set<UInt32> = []
        viewer.run {
            $0.forEachReport { part, bytes in
                if part.type == RTCPPacket.goodbye { gone.insert(bytes.bigEndian32(at: part.bodyOffset)) }
            }
            return gone.count >= 3
        }
        #expect(gone.isSuperset(of: [LoopBed.viewerVideo, LoopBed.viewerRepair, LoopBed.viewerAudio]))
    }

    @Test("a filler that got lost is filled by its number alone")
    func fillsWithNumber() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        let (viewer, _) = try await bed.viewer(tracks: LoopBed.outgoing(hasRepair: true))
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        let late = encoder.sequence
        encoder.sequence &+= 1
        encoder.frame(publisher)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 6 })
        publisher.sendMedia(
            payloadType: 96, sequence: late, timestamp: 90_000, ssrc: LoopBed.videoSSRC, padding: 100, payload: [])
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 7 })
        let filler = try #require(viewer.packets(LoopBed.viewerVideo).last).header.sequence
        viewer.askAgain([filler], of: LoopBed.viewerVideo)
        #expect(viewer.run { $0.packets(LoopBed.viewerRepair).count == 1 })
        let repair = try #require(viewer.packets(LoopBed.viewerRepair).first)
        #expect(repair.payload == [UInt8(filler >> 8), UInt8(filler & 0xFF)] && repair.header.paddingCount == 0)
        await bed.plane.shutdown()
    }
}
