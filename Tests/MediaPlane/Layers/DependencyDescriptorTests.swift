import Testing

@testable import MediaPlane

@Suite("Dependency descriptors in headers, rings and pipes (AV1 RTP A.8, RFC 8285 section 4.3)")
struct DependencyDescriptorTests {
    private static func outgoing(id: UInt8) -> OutgoingTrack {
        var ids = ExtensionIDs()
        ids.dependencyDescriptor = id
        ids.videoOrientation = 4
        return OutgoingTrack(
            OutgoingTrackSpec(
                kind: .video, codec: .av1, payloadType: 45, ssrc: 1, clockRate: 90000, cname: "c", extensions: ids),
            initialSequence: 1, timestampOffset: 0, initialRepair: 1)
    }

    /// The header that a stored packet with this descriptor gets.
    private static func header(_ count: Int, id: UInt8 = 9, shift: UInt16 = 0, payload: Int = 100) -> [UInt8] {
        let bytes = [0x83, 0xFF, 0xFF] + (3..<max(count, 3)).map { UInt8(truncatingIfNeeded: $0) }
        var slot = PacketSlot(index: 5)
        slot.extensions.videoOrientation = 1
        slot.extensions.present = .videoOrientation
        let body = [UInt8](repeating: 1, count: payload)
        var ring = PacketRing(slots: 16)
        body.withUnsafeBytes { body in
            bytes.prefix(count).withUnsafeBytes { _ = ring.store(slot, payload: body, descriptor: $0) }
        }
        guard let stored = ring.slot(at: 5) else { return [] }
        let track = outgoing(id: id)
        let descriptor = DependencyDescriptor(bytes: ring.descriptor(of: stored), frameShift: shift)
        return [UInt8](unsafeUninitializedCapacity: 512) { buffer, used in
            used =
                buffer.baseAddress.map {
                    track.writeHeader(stored, sequence: 7, shift: LayerShift(), mark: .none, descriptor: descriptor, to: $0)
                } ?? 0
        }
    }

    @Test(
        "short ones under low ids fit the one-byte form, others take the two-byte form, with what else there is",
        arguments: [3, 16, 17, 90, 255], [9, 16] as [UInt8])
    func forms(count: Int, id: UInt8) throws {
        let header = Self.header(count, id: id, shift: 2)
        let isLong = count > 16 || id > 14
        #expect(header[12] == (isLong ? 0x10 : 0xBE) && header.count % 4 == 0)
        #expect(header.count == 16 + 4 * Int(UInt16(header[14]) << 8 | UInt16(header[15])))
        let elements = try HeaderExtensionElement.all(header)
        let element = try #require(elements.last)
        #expect(elements.map(\.id) == [4, id] && element.count == count)
        #expect(Array(header[element.offset..<(element.offset + 3)]) == [0x83, 0x00, 0x01], "the frame number wraps")
        #expect(
            header[(element.offset + 3)..<(element.offset + count)].elementsEqual(
                (3..<count).map { UInt8(truncatingIfNeeded: $0) }))
    }

    @Test("who didn't agree on it gets none; where it finds no room all extensions are left out")
    func without() {
        #expect(Self.header(90, id: 0).count == 20 && Self.header(90, id: 0)[12] == 0xBE)
        #expect(Self.header(90, payload: 1330).count == 12)
        #expect(Self.header(0, payload: 1330).count == 20)
    }

    @Test("a pipe carries it beside the payload, also the largest of both")
    func pipe() throws {
        let pipe = PacketPipe(slots: 64, wake: try WakeDescriptor())
        for (payload, descriptor) in [(100, 40), (0, 3), (1472, 0), (1300, 172), (1300, 173)] {
            let bytes = [UInt8](repeating: UInt8(payload & 0xFF), count: payload)
            let trailer = [UInt8](repeating: 0xD0, count: descriptor)
            _ = bytes.withUnsafeBytes { bytes in
                trailer.withUnsafeBytes { pipe.push(PipeEntry(), payload: bytes, descriptor: $0) }
            }
            pipe.publish()
            let entry = try #require(pipe.front())
            #expect(Int(entry.pointee.payloadCount) == payload)
            let expected = payload + descriptor > MediaLimits.payloadBytesMax ? [] : trailer
            #expect(Array(pipe.descriptor(of: entry)) == expected)
            pipe.pop()
        }
    }
}
