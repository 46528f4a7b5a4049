import Testing

@testable import MediaPlane

@Suite("SCTP packets before usrsctp sees them (RFC 9260 section 3)")
struct SCTPPacketFormTests {
    private static let header: [UInt8] = [0x13, 0x88, 0x13, 0x88, 0, 0, 0, 0, 0, 0, 0, 0]
    private static let initiation: [UInt8] = [1, 0, 0, 20, 1, 2, 3, 4, 0, 2, 0, 0, 0, 128, 0, 128, 5, 6, 7, 8]

    private static func initiation(_ parameters: [UInt8], length: Int? = nil) -> [UInt8] {
        var chunk = initiation + parameters
        chunk[3] = UInt8(length ?? chunk.count)
        return header + chunk
    }

    private static let cases: [(name: String, packet: [UInt8], isSound: Bool)] = [
        ("INIT", initiation([]), true),
        ("INIT with parameters, the last one padded", initiation([0xC0, 0, 0, 4, 0x80, 8, 0, 6, 1, 2, 0, 0], length: 30), true),
        ("a parameter of length 0", initiation([0xC0, 0, 0, 0, 0x80, 8, 0, 4]), false),
        ("half a parameter, whose length would be the padding", initiation([0xC0, 0, 0, 0], length: 22), false),
        ("a parameter beyond the chunk", initiation([0xC0, 0, 0, 9, 0, 0, 0, 0]), false),
        ("INIT with another chunk behind", initiation([]) + [11, 0, 0, 4], false),
        ("INIT too short", header + [1, 0, 0, 8, 0, 0, 0, 0], false),
        ("COOKIE ACK and SACK", header + [11, 0, 0, 4, 3, 0, 0, 4], true),
        ("a chunk of length 0", header + [11, 0, 0, 0], false),
        ("a chunk beyond the packet", header + [0, 0, 0, 20, 1, 2, 3, 4], false),
        ("ASCONF, which was not agreed on", header + [0xC1, 0, 0, 8, 0, 0, 0, 0], false),
        ("RE-CONFIG with half a parameter", header + [130, 0, 0, 8, 0, 13, 0, 12], false),
        ("a header alone", header, false), ("nothing", [], false),
    ]

    @Test("lengths have to fit", arguments: cases.indices)
    func lengths(_ index: Int) {
        let (name, packet, isSound) = Self.cases[index]
        let found = SCTPPacketForm.isSound(packet.span)
        #expect(found == isSound, "\(name)")
    }
}
