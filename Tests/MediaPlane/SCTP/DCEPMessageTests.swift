import Testing

@testable import MediaPlane

@Suite("DCEP (RFC 8832 section 5)")
struct DCEPMessageTests {
    private static let vectors: [(bytes: [UInt8], message: DCEPMessage)] = [
        ([2], .acknowledge),
        (
            [3, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0x61, 0x62, 0x63],
            .open(label: [0x61, 0x62], protocol: [0x63], reliability: ChannelReliability())
        ),
        (
            [3, 0x81, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0],
            .open(label: [], protocol: [], reliability: ChannelReliability(isOrdered: false, limit: .retransmissions(5)))
        ),
        (
            [3, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
            .open(label: [], protocol: [], reliability: ChannelReliability(limit: .milliseconds(65_536)))
        ),
    ]

    private func read(_ bytes: [UInt8]) throws -> DCEPMessage { try DCEPMessage(parsing: bytes.span) }

    @Test("messages are read and written", arguments: vectors.indices)
    func known(_ index: Int) throws {
        let (bytes, message) = Self.vectors[index]
        #expect(try read(bytes) == message)
        #expect(message.bytes == bytes)
    }

    @Test("what is cut, or of an unknown kind, is refused with its reason")
    func refused() {
        #expect(throws: DCEPMessage.Fault.truncated(have: 0, need: 1)) { try read([]) }
        #expect(throws: DCEPMessage.Fault.unknownType(9)) { try read([9]) }
        let open = Self.vectors[1].bytes
        for count in 1..<open.count {
            #expect(throws: DCEPMessage.Fault.self) { try read(Array(open.prefix(count))) }
        }
        var other = open
        other[1] = 0x13
        #expect(throws: DCEPMessage.Fault.unknownChannelType(0x13)) { try read(other) }
    }

    @Test("damaged messages are refused or read, never a trap")
    func damaged() {
        var mutator = Mutator(seed: 8832)
        for round in 0..<5000 {
            let bytes = mutator.mutate(Self.vectors[round % Self.vectors.count].bytes)
            guard let message = try? read(bytes) else { continue }
            #expect((try? read(message.bytes)) == message)
        }
    }
}
