import Testing

@testable import MediaPlane

/// Hex text with any white space to bytes.
func hex(_ text: String) -> [UInt8] {
    let digits = text.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

@Suite("STUN (RFC 8489) against the vectors of RFC 5769")
struct STUNTests {
    static let password = "VOkJxbRl1RmTxUk/WvJxBt"
    static let request = hex(
        """
        00010058 2112a442 b7e7a701 bc34d686 fa87dfae 80220010 5354554e 20746573 7420636c 69656e74 00240004 6e0001ff
        80290008 932ff9b1 51263b36 00060009 6576746a 3a683676 59202020 00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249
        c1b571a2 80280004 e57a3bcf
        """)
    static let answer4 = hex(
        """
        0101003c 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220 00200008 0001a147 e112a643
        00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7 80280004 c07d4c96
        """)
    static let answer6 = hex(
        """
        01010048 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220 00200014 0002a147 0113a9fa
        a5d3f179 bc25f4b5 bed2b9d9 00080014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41 80280004 c8fb0b4c
        """)

    static func parse(_ bytes: [UInt8]) throws -> STUNMessage {
        try bytes.withUnsafeBytes { try STUNMessage(parsing: $0) }
    }

    static func isAuthentic(_ bytes: [UInt8], _ password: String) throws -> Bool {
        let message = try parse(bytes)
        return bytes.withUnsafeBytes { message.isAuthentic($0, key: HMACSHA1(key: password)) }
    }

    @Test("sample request (2.1)")
    func sampleRequest() throws {
        let message = try Self.parse(Self.request)
        #expect(message.type == .request && message.priority == 0x6E00_01FF)
        #expect(message.hasControlled && !message.hasControlling && !message.useCandidate)
        #expect(String(decoding: Self.request[message.username], as: UTF8.self) == "evtj:h6vY")
        #expect(message.unknownCount == 0)
        #expect(try Self.isAuthentic(Self.request, Self.password))
        #expect(try !Self.isAuthentic(Self.request, Self.password + "x"))
        let ufrag = Self.request.withUnsafeBytes { PeerTransport.stunLocalUfrag($0) { Array($0) } }
        #expect(ufrag == Array("evtj".utf8))
    }

    @Test("whose a request is is found without parsing it whole, and nothing is read past its end")
    func findsUfrag() {
        func ufrag(_ bytes: [UInt8]) -> [UInt8]? { bytes.withUnsafeBytes { PeerTransport.stunLocalUfrag($0) { Array($0) } } }
        for count in Self.request.indices { #expect(ufrag(Array(Self.request[..<count])) == nil) }
        #expect(ufrag(Self.answer4) == nil)
        let header: [UInt8] = [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42] + [UInt8](repeating: 7, count: 12)
        func request(_ attributes: [UInt8]) -> [UInt8] {
            var bytes = header + attributes
            bytes[3] = UInt8(attributes.count)
            return bytes
        }
        let name: [UInt8] = [0, 6, 0, 3] + Array("a:b".utf8) + [0]
        #expect(ufrag(request(name)) == Array("a".utf8))
        #expect(ufrag(request([0x80, 0x22, 0, 1, 65, 0, 0, 0] + name)) == Array("a".utf8))
        // Behind the signature, longer than what is left, without a colon, cut.
        #expect(ufrag(request([0, 8, 0, 20] + [UInt8](repeating: 0, count: 20) + name)) == nil)
        #expect(ufrag(request([0x80, 0x22, 0xFF, 0xFF] + name)) == nil)
        #expect(ufrag(request([0, 6, 0, 9] + Array("a:b".utf8) + [0])) == nil)
        #expect(ufrag(request([0, 6, 0, 3] + Array("abc".utf8) + [0])) == nil)
        #expect(ufrag(request([0, 6])) == nil)
    }

    @Test("sample responses (2.2, 2.3)")
    func sampleResponses() throws {
        #expect(try Self.parse(Self.answer4).mappedAddress == SocketAddress("192.0.2.1", port: 32853))
        #expect(try Self.isAuthentic(Self.answer4, Self.password))
        let six = SocketAddress("2001:db8:1234:5678:11:2233:4455:6677", port: 32853)
        #expect(try Self.parse(Self.answer6).mappedAddress == six)
        #expect(try Self.isAuthentic(Self.answer6, Self.password))
    }

    @Test("any changed bit fails integrity or fingerprint", arguments: [0, 1, 2])
    func detectsEveryBit(vector: Int) throws {
        let original = [Self.request, Self.answer4, Self.answer6][vector]
        // The type of the last attribute, FINGERPRINT, is left alone: another type there is another, unsigned attribute.
        let fingerprintType = (original.count - 8) * 8..<(original.count - 6) * 8
        for bit in 0..<(original.count * 8) where !fingerprintType.contains(bit) {
            var bytes = original
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            // A changed length can swallow the signature; then the message is just not signed.
            let isTaken = (try? Self.isAuthentic(bytes, Self.password)) ?? false
            #expect(!isTaken, "bit \(bit)")
        }
    }

    @Test(
        "broken messages are named",
        arguments: [
            ([UInt8](repeating: 0, count: 19), STUNError.tooShort(have: 19)),
            (hex("00010000 2112a443 00000000 00000000 00000000"), .notSTUN),
            (hex("80010000 2112a442 00000000 00000000 00000000"), .notSTUN),
            (hex("00010004 2112a442 00000000 00000000 00000000"), .lengthMismatch(header: 4, have: 20)),
            (hex("00030000 2112a442 00000000 00000000 00000000"), .unknownType(3)),
            (hex("00010008 2112a442 00000000 00000000 00000000 00060005 00000000"), .attributeTooLong(type: 6)),
            (hex("00010008 2112a442 00000000 00000000 00000000 00080004 00000000"), .attributeSize(type: 8)),
            (hex("00010008 2112a442 00000000 00000000 00000000 80280004 00000000"), .fingerprintMismatch),
        ])
    func names(bytes: [UInt8], error: STUNError) {
        #expect(throws: error) { try Self.parse(bytes) }
    }

    @Test("what the writer makes the parser reads", arguments: ["10.1.2.3", "2001:db8::7"])
    func roundTrip(host: String) throws {
        let address = try #require(SocketAddress(host, port: 4711))
        let key = HMACSHA1(key: "some password of any length")
        var bytes = [UInt8](repeating: 0xEE, count: 300)
        let count = bytes.withUnsafeMutableBytes { place in
            var writer = STUNWriter(place, type: .request, transaction: STUNTransaction(high: 1, low: 2))
            writer.username("abc", "defgh")
            writer.xorMappedAddress(address)
            writer.u32(STUNAttribute.nomination, 9)
            writer.flag(STUNAttribute.useCandidate)
            writer.u64(STUNAttribute.iceControlling, 5)
            writer.errorCode(487)
            writer.messageIntegrity(key)
            return writer.finish()
        }
        bytes.removeLast(bytes.count - count)
        let message = try Self.parse(bytes)
        #expect(message.transaction == STUNTransaction(high: 1, low: 2))
        #expect(message.mappedAddress == address && message.nomination == 9 && message.errorCode == 487)
        #expect(message.useCandidate && message.hasControlling)
        #expect(bytes.withUnsafeBytes { message.isAuthentic($0, key: key) })
    }

    @Test("a buffer too small yields nothing", arguments: 0..<60)
    func overflow(room: Int) {
        var bytes = [UInt8](repeating: 0, count: room)
        let count = bytes.withUnsafeMutableBytes { place in
            var writer = STUNWriter(place, type: .success, transaction: STUNTransaction(high: 1, low: 2))
            writer.xorMappedAddress(SocketAddress(ipv4: 1, port: 1))
            writer.messageIntegrity(HMACSHA1(key: "k"))
            return writer.finish()
        }
        #expect(count == 0)
    }

    @Test("IPv4 and its mapped form are one address")
    func mappedAddresses() throws {
        let four = try #require(SocketAddress("127.0.0.1", port: 5))
        #expect(four == SocketAddress("::ffff:127.0.0.1", port: 5))
        #expect(four.description == "127.0.0.1:5" && SocketAddress("::1", port: 5)?.description == "[::1]:5")
        #expect(SocketAddress("host.local", port: 5) == nil)
    }
}
