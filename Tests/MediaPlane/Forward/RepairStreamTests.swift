import Testing

@testable import MediaPlane

@Suite("The repair stream's headers and numbers (RFC 4588 §4, RFC 8285, RFC 7714 §8.1)")
struct RepairStreamTests {
    private static func track(initialRepair: UInt16 = 0x1234) -> OutgoingTrack {
        var ids = ExtensionIDs()
        ids.mid = 9
        ids.transportCC = 3
        ids.videoOrientation = 4
        return OutgoingTrack(
            OutgoingTrackSpec(
                kind: .video, codec: .h264, payloadType: 102, ssrc: 0xAAAA_0001, rtxPayloadType: 112, rtxSSRC: 0xAAAA_0003,
                clockRate: 90000, cname: "c", mid: "v", extensions: ids),
            initialSequence: 1, timestampOffset: 0x0001_0000, initialRepair: initialRepair)
    }

    private static func header(
        _ track: inout OutgoingTrack, _ slot: PacketSlot, bytesMax: Int = 1000, transportSequence: UInt16? = nil
    ) -> (bytes: [UInt8], sequence: UInt64)? {
        withUnsafePointer(to: slot) { slot in
            var sequence: UInt64?
            let bytes = [UInt8](unsafeUninitializedCapacity: 128) { buffer, count in
                count = 0
                guard let base = buffer.baseAddress,
                    let written = track.writeRepairHeader(
                        slot, shift: LayerShift(timestamp: 0x0001_0000), to: base, bytesMax: bytesMax,
                        mark: SendingMark(transportSequence: transportSequence))
                else { return }
                (count, sequence) = written
            }
            return sequence.map { (bytes, $0) }
        }
    }

    private static var slot: PacketSlot {
        var slot = PacketSlot(index: 7, arrivalNs: 1, timestamp: 0x0102_0304, flags: .marker)
        slot.extensions.videoOrientation = 2
        slot.extensions.present = .videoOrientation
        return slot
    }

    @Test("own payload type, source and number; the original's marker, timestamp and extensions")
    func golden() throws {
        var track = Self.track()
        let (bytes, sequence) = try #require(Self.header(&track, Self.slot))
        #expect(sequence == 0x1234)
        #expect(
            bytes == [
                0x90, 0x80 | 112, 0x12, 0x34, 0x01, 0x03, 0x03, 0x04, 0xAA, 0xAA, 0x00, 0x03,
                0xBE, 0xDE, 0x00, 0x01, 0x90, 0x76, 0x40, 0x02,
            ])
    }

    @Test("what holds now is written now: a transport-wide number of its own each time")
    func freshNumber() throws {
        var track = Self.track()
        let first = try #require(Self.header(&track, Self.slot, transportSequence: 0x5566))
        let second = try #require(Self.header(&track, Self.slot, transportSequence: 0x5567))
        #expect(
            first.bytes[12...] == [0xBE, 0xDE, 0x00, 0x02, 0x31, 0x55, 0x66, 0x90, 0x76, 0x40, 0x02, 0x00])
        #expect(second.bytes[12...] == [0xBE, 0xDE, 0x00, 0x02, 0x31, 0x55, 0x67, 0x90, 0x76, 0x40, 0x02, 0x00])
        #expect(second.sequence == first.sequence + 1)
    }

    @Test("a packet that fills a datagram goes without extensions, one that is too big not at all and takes no number")
    func room() throws {
        var track = Self.track()
        let bare = try #require(Self.header(&track, Self.slot, bytesMax: 79))
        #expect(bare.bytes.count == 12 && bare.bytes[0] == 0x80)
        #expect(Self.header(&track, Self.slot, bytesMax: 11) == nil)
        #expect(try #require(Self.header(&track, Self.slot)).sequence == bare.sequence + 1)
    }

    @Test("the mid stops once the viewer must know the source")
    func mid() throws {
        var track = Self.track()
        var slot = Self.slot
        slot.extensions.present = []
        for _ in 0..<OutgoingTrack.midPackets { #expect(try #require(Self.header(&track, slot)).bytes.count == 20) }
        #expect(try #require(Self.header(&track, slot)).bytes.count == 12)
    }

    @Test("numbers go up by one for ever, over every wrap of sixteen bits", arguments: [0, 1, 32767, 65535] as [UInt16])
    func numbers(initial: UInt16) {
        var stream = RepairStream(ssrc: 1, initial: initial)
        var expected = UInt64(initial & 0x7FFF)
        for _ in 0..<200_000 {
            if stream.nextSequence() != expected {
                Issue.record("not \(expected)")
                return
            }
            expected += 1
        }
    }

    @Test("without an agreed payload type and source there is none")
    func none() {
        var spec = OutgoingTrackSpec(kind: .video, codec: .h264, payloadType: 102, ssrc: 1, clockRate: 90000, cname: "c")
        spec.rtxPayloadType = 112
        #expect(OutgoingTrack(spec, initialSequence: 1, timestampOffset: 0).repair == nil)
    }
}
