import Testing

@testable import MediaPlane

@Suite("Picture numbers and sizes in payloads (RFC 7741 §4.2, RFC 9628 §4.2, ITU-T H.264 §7.3.2.1)")
struct PictureNumbersTests {
    @Test(
        "numbers are found where they are",
        arguments: [
            (.vp8, [0x90, 0xE0, 0x81, 0x02, 0x33, 0x20, 0], 0x102, 2, 0x33),
            (.vp8, [0x90, 0x80, 0x7E, 0], 0x7E, 1, nil),
            (.vp8, [0x90, 0x40, 0x12, 0], nil, 0, 0x12),
            (.vp9, [0xAC, 0x81, 0x02, 0x00, 0x44, 0], 0x102, 2, 0x44),
            (.vp9, [0xBC, 0x05, 0x00, 0x44], 0x05, 1, nil),
            (.vp9, [0x8C, 0x05, 0x44], 0x05, 1, nil),
        ] as [(CodecID, [UInt8], UInt16?, Int, UInt8?)])
    func reads(codec: CodecID, payload: [UInt8], pictureID: UInt16?, bytes: Int, baseLayerIndex: UInt8?) throws {
        let numbers = try #require(PictureNumbers.read(codec, payload))
        #expect(numbers.pictureIDBytes == bytes && numbers.pictureID == pictureID ?? 0)
        #expect((numbers.baseLayerIndexOffset > 0) == (baseLayerIndex != nil) && numbers.baseLayerIndex == baseLayerIndex ?? 0)
    }

    @Test(
        "what has none, or is cut short, is left alone",
        arguments: [
            (.vp8, [0x10, 0]), (.vp8, [0x90]), (.vp8, [0x90, 0x80]), (.vp8, [0x90, 0x80, 0x81]), (.vp8, [0x90, 0xC0, 0x01]),
            (.vp9, [0x0C, 0]), (.vp9, [0x80]), (.vp9, [0x80, 0x81]), (.vp9, [0xA0, 0x01, 0]), (.h264, [0x90, 0x80, 0x7E, 0]),
            (.vp8, []),
        ] as [(CodecID, [UInt8])])
    func refuses(codec: CodecID, payload: [UInt8]) {
        #expect(PictureNumbers.read(codec, payload) == nil)
    }

    @Test("one source's numbers follow another's in the width that each has, over every wrap", arguments: 0..<20)
    func follows(seed: Int) throws {
        var random = Mutator.Random(seed: UInt64(seed))
        var shift = PictureShift()
        var sent: (id: UInt16, base: UInt8)?
        var last: [UInt8] = []
        for _ in 0..<200 {
            let isLong = seed % 2 == 0
            let id = UInt16.random(in: 0...(isLong ? 0x7FFF : 0x7F), using: &random)
            let base = UInt8.random(in: 0...255, using: &random)
            var payload: [UInt8] =
                [0x90, 0xC0] + (isLong ? [UInt8(id >> 8) | 0x80, UInt8(id & 0xFF)] : [UInt8(id)]) + [base, 0, 7]
            let numbers = try #require(PictureNumbers.read(.vp8, payload))
            if let before = PictureNumbers.read(.vp8, last) { shift = before.shift(shift, before: numbers) }
            last = payload
            payload.withUnsafeMutableBytes { if let place = $0.baseAddress { numbers.write(shift, to: place) } }
            let written = try #require(PictureNumbers.read(.vp8, payload))
            #expect(payload.count == last.count && payload.last == 7 && written.pictureIDBytes == numbers.pictureIDBytes)
            if let sent {
                #expect(
                    written.pictureID == (sent.id &+ 1) & (isLong ? 0x7FFF : 0x7F) && written.baseLayerIndex == sent.base &+ 1)
            }
            sent = (written.pictureID, written.baseLayerIndex)
        }
    }

    static let sizes: [(CodecID, [UInt8], UInt16, UInt16)] = [
        (.vp8, [0x90, 0x80, 0x01, 0x10, 0, 0, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0x68, 0x41], 640, 360),
        (.vp9, [0x8B, 0x01, 0x18, 0x01, 0x40, 0x00, 0xB4, 0x01], 320, 180),
        (.vp9, [0xAB, 0x81, 0x01, 0x00, 0x00, 0x30, 0x01, 0x40, 0x00, 0xB4, 0x02, 0x80, 0x01, 0x68], 640, 360),
        // x264, constrained baseline, 640x360; cropped from 640x368.
        (
            .h264,
            [
                0x67, 0x42, 0xC0, 0x1E, 0xDA, 0x02, 0x80, 0xBF, 0xE5, 0xC0, 0x44, 0, 0, 3, 0, 4, 0, 0, 3, 0, 0xF0, 0x3C, 0x58,
                0xBA, 0x80,
            ], 640, 360
        ),
    ]

    @Test("keyframes tell their size", arguments: sizes)
    func size(codec: CodecID, payload: [UInt8], width: UInt16, height: UInt16) {
        #expect(PictureSize.read(codec, payload) == PictureSize(width: width, height: height))
        guard codec == .h264 else { return }
        let aggregate = [0x78, 0, 2, 0x09, 0x10, 0, UInt8(payload.count)] + payload + [0, 2, 0x68, 0xCE]
        #expect(PictureSize.read(codec, aggregate) == PictureSize(width: width, height: height))
    }

    @Test("bytes from outside never trap", arguments: 0..<4)
    func mutations(seed: Int) {
        var random = Mutator.Random(seed: UInt64(seed))
        for _ in 0..<5000 {
            var (codec, payload, _, _) = Self.sizes[Int.random(in: 0..<Self.sizes.count, using: &random)]
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                payload[Int.random(in: 0..<payload.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            payload.removeLast(Int.random(in: 0...payload.count, using: &random))
            if Bool.random(using: &random) { codec = [.vp8, .vp9, .h264].randomElement(using: &random) ?? .vp8 }
            _ = PictureSize.read(codec, payload)
            guard let numbers = PictureNumbers.read(codec, payload) else { continue }
            let shift = PictureShift(pictureID: 77, baseLayerIndex: 3)
            payload.withUnsafeMutableBytes { if let place = $0.baseAddress { numbers.write(shift, to: place) } }
            #expect(PictureNumbers.read(codec, payload)?.pictureIDBytes == numbers.pictureIDBytes)
        }
    }
}
