import Testing

@testable import MediaPlane

/// One packet and what it says: drives reading, writing and the fuzz seeds.
struct RTPVector: CustomTestStringConvertible {
    let name: String
    let bytes: [UInt8]
    let header: RTPHeader
    let elements: [(UInt8, [UInt8])]
    var testDescription: String { name }

    static let all: [RTPVector] = [
        RTPVector(
            name: "plain", bytes: [0x80, 0x6F, 0x01, 0x02, 0, 0, 0, 9, 0xDE, 0xAD, 0xBE, 0xEF, 7, 8, 9],
            header: RTPHeader(
                marker: false, payloadType: 111, sequence: 0x0102, timestamp: 9, ssrc: 0xDEAD_BEEF, payloadOffset: 12,
                payloadCount: 3), elements: []),
        RTPVector(
            name: "marker, two CSRCs, padding",
            bytes: [0xA2, 0xE0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 1, 1, 1, 2, 2, 2, 2, 0x55, 0, 0, 3],
            header: RTPHeader(
                marker: true, payloadType: 96, sequence: 1, timestamp: 2, ssrc: 3, payloadOffset: 20, payloadCount: 1,
                paddingCount: 3), elements: []),
        RTPVector(
            name: "one-byte extensions with padding between",
            bytes: [0x90, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xBE, 0xDE, 0, 2, 0x10, 0x85, 0, 0x31, 0x12, 0x34, 0, 0, 0x99],
            header: RTPHeader(
                payloadType: 96, sequence: 1, timestamp: 2, ssrc: 3, extensionProfile: 0xBEDE, extensionOffset: 16,
                extensionCount: 8, payloadOffset: 24, payloadCount: 1),
            elements: [(1, [0x85]), (3, [0x12, 0x34])]),
        RTPVector(
            name: "one-byte id 15 stops",
            bytes: [0x90, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xBE, 0xDE, 0, 1, 0x10, 0x85, 0xF0, 0x11],
            header: RTPHeader(
                payloadType: 96, sequence: 1, timestamp: 2, ssrc: 3, extensionProfile: 0xBEDE, extensionOffset: 16,
                extensionCount: 4, payloadOffset: 20, payloadCount: 0), elements: [(1, [0x85])]),
        RTPVector(
            name: "two-byte extensions, one empty",
            bytes: [0x90, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0x10, 0x05, 0, 2, 20, 2, 0xAB, 0xCD, 21, 0, 0, 0, 1],
            header: RTPHeader(
                payloadType: 96, sequence: 1, timestamp: 2, ssrc: 3, extensionProfile: 0x1005, extensionOffset: 16,
                extensionCount: 8, payloadOffset: 24, payloadCount: 1),
            elements: [(20, [0xAB, 0xCD]), (21, [])]),
        RTPVector(
            name: "element running over the block ends the walk",
            bytes: [0x90, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xBE, 0xDE, 0, 1, 0x10, 0x85, 0x2F, 0x11],
            header: RTPHeader(
                payloadType: 96, sequence: 1, timestamp: 2, ssrc: 3, extensionProfile: 0xBEDE, extensionOffset: 16,
                extensionCount: 4, payloadOffset: 20, payloadCount: 0), elements: [(1, [0x85])]),
        RTPVector(
            name: "unknown extension profile has no elements",
            bytes: [0x90, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0x12, 0x34, 0, 1, 0x10, 0x85, 0, 0],
            header: RTPHeader(
                payloadType: 96, sequence: 1, timestamp: 2, ssrc: 3, extensionProfile: 0x1234, extensionOffset: 16,
                extensionCount: 4, payloadOffset: 20, payloadCount: 0), elements: []),
    ]

    static func elements(of bytes: [UInt8]) throws -> [(UInt8, [UInt8])] {
        let header = try RTPHeader(parsing: bytes.span)
        var reader = HeaderExtensionReader(header)
        var found: [(UInt8, [UInt8])] = []
        while let element = reader.next(in: bytes.span) {
            found.append((element.id, Array(bytes[element.offset..<(element.offset + element.count)])))
        }
        return found
    }
}

@Suite("RTP header (RFC 3550 §5.1) and header extensions (RFC 8285)")
struct RTPParsingTests {
    @Test("golden packets", arguments: RTPVector.all)
    func golden(vector: RTPVector) throws {
        let header = try RTPHeader(parsing: vector.bytes.span)
        #expect(header == vector.header)
        let elements = try RTPVector.elements(of: vector.bytes)
        #expect(elements.map(\.0) == vector.elements.map(\.0))
        #expect(elements.map(\.1) == vector.elements.map(\.1))
    }

    @Test(
        "what isn't RTP is refused by name",
        arguments: [
            ([], RTPError.tooShort(have: 0, need: 12)),
            ([UInt8](repeating: 0x80, count: 11), .tooShort(have: 11, need: 12)),
            ([0x40] + [UInt8](repeating: 0, count: 11), .version(1)),
            ([0x81] + [UInt8](repeating: 0, count: 11), .tooShort(have: 12, need: 16)),
            ([0x90] + [UInt8](repeating: 0, count: 11), .extensionOverrun(have: 12, need: 16)),
            ([0x90] + [UInt8](repeating: 0, count: 11) + [0xBE, 0xDE, 0, 1], .extensionOverrun(have: 16, need: 20)),
            ([0xA0] + [UInt8](repeating: 0, count: 11), .padding(0, payload: 0)),
            ([0xA0] + [UInt8](repeating: 0, count: 11) + [0], .padding(0, payload: 1)),
            ([0xA0] + [UInt8](repeating: 0, count: 11) + [2], .padding(2, payload: 1)),
        ])
    func refused(bytes: [UInt8], error: RTPError) {
        #expect(throws: error) { _ = try RTPHeader(parsing: bytes.span) }
    }

    @Test("damaged packets never trap, and what is read lies inside them", arguments: 0..<8)
    func fuzz(seed: Int) throws {
        var mutator = Mutator(seed: UInt64(seed))
        var ids = ExtensionIDs()
        ids.mid = 1
        ids.transportCC = 3
        ids.playoutDelay = 20
        for _ in 0..<3000 {
            let vector = RTPVector.all[mutator.below(RTPVector.all.count)]
            let bytes = mutator.mutate(vector.bytes)
            guard let header = try? RTPHeader(parsing: bytes.span) else { continue }
            #expect(header.payloadOffset + header.payloadCount + header.paddingCount == bytes.count)
            let received = ReceivedExtensions(header, in: bytes.span, ids: ids)
            #expect(received.midOffset + received.midCount <= bytes.count)
            let payload = Array(bytes[header.payloadOffset..<(header.payloadOffset + header.payloadCount)])
            for codec in CodecID.allCases { _ = KeyframeDetector.marks(codec, payload.span) }
            _ = KeyframeDetector.h264ProfileLevel(payload.span)
        }
    }

    @Test("extensions that are written are read back", arguments: 0..<20)
    func extensionRoundTrip(seed: Int) throws {
        var mutator = Mutator(seed: UInt64(seed))
        let isTwoByte = seed % 2 == 1
        var wanted: [(UInt8, [UInt8])] = []
        for _ in 0..<mutator.below(4) {
            let id = UInt8(1 + mutator.below(isTwoByte ? 255 : 14))
            wanted.append((id, mutator.bytes(1 + mutator.below(isTwoByte ? 20 : 16))))
        }
        var packet: [UInt8] = [0x90, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3] + [UInt8](repeating: 0xEE, count: 200)
        let count = packet.withUnsafeMutableBytes { raw in
            guard let base = raw.baseAddress else { return 0 }
            var writer = HeaderExtensionWriter(at: base + 12, limit: 200, isTwoByte: isTwoByte)
            for (id, value) in wanted { value.withUnsafeBytes { writer.append(id: id, bytes: $0) } }
            return writer.finish()
        }
        if wanted.isEmpty {
            #expect(count == 0)
            return
        }
        let elements = try RTPVector.elements(of: Array(packet[0..<(12 + count)]))
        #expect(elements.map(\.0) == wanted.map(\.0))
        #expect(elements.map(\.1) == wanted.map(\.1))
    }

    @Test("what finds no room in the block is left out")
    func extensionLimit() {
        var place = [UInt8](repeating: 0xEE, count: 64)
        let count = place.withUnsafeMutableBytes { raw in
            guard let base = raw.baseAddress else { return -1 }
            var writer = HeaderExtensionWriter(at: base, limit: 12, isTwoByte: false)
            writer.append(id: 1, value: 5, bytes: 1)
            [UInt8](repeating: 1, count: 16).withUnsafeBytes { writer.append(id: 2, bytes: $0) }
            writer.append(id: 15, value: 5, bytes: 1)
            return writer.finish()
        }
        #expect(count == 8)
        #expect(place[0..<8] == [0xBE, 0xDE, 0, 1, 0x10, 5, 0, 0])
        #expect(place[8...].allSatisfy { $0 == 0xEE })
    }
}

@Suite("Keyframe detection (RFC 6184 §5.2, RFC 7798 §4.4, RFC 7741 §4.3, RFC 9628 §4.2, AV1 RTP §4.4)")
struct KeyframeDetectorTests {
    struct Case: CustomTestStringConvertible {
        let name: String
        let codec: CodecID
        let payload: [UInt8]
        let marks: PayloadMarks
        var testDescription: String { name }
    }

    static let cases: [Case] = [
        Case(name: "H264 IDR", codec: .h264, payload: [0x65, 1], marks: .keyframe),
        Case(name: "H264 non-IDR", codec: .h264, payload: [0x61, 1], marks: []),
        Case(name: "H264 SPS", codec: .h264, payload: [0x67, 0x42, 0xE0, 0x1F], marks: .parameterSets),
        Case(
            name: "H264 STAP-A with SPS, PPS, IDR", codec: .h264,
            payload: [0x78, 0, 2, 0x67, 1, 0, 1, 0x68, 0, 2, 0x65, 9], marks: [.parameterSets, .keyframe]),
        Case(name: "H264 STAP-A cut", codec: .h264, payload: [0x78, 0, 9, 0x67, 1], marks: []),
        Case(name: "H264 FU-A start of IDR", codec: .h264, payload: [0x7C, 0x85, 1], marks: .keyframe),
        Case(name: "H264 FU-A middle of IDR", codec: .h264, payload: [0x7C, 0x05, 1], marks: []),
        Case(name: "H264 FU-A alone", codec: .h264, payload: [0x7C], marks: []),
        Case(name: "H265 IDR_W_RADL", codec: .h265, payload: [19 << 1, 1, 0], marks: .keyframe),
        Case(name: "H265 VPS", codec: .h265, payload: [32 << 1, 1], marks: .parameterSets),
        Case(
            name: "H265 AP with SPS and CRA", codec: .h265, payload: [48 << 1, 1, 0, 2, 33 << 1, 1, 0, 2, 21 << 1, 1],
            marks: [.parameterSets, .keyframe]),
        Case(name: "H265 FU start of IDR", codec: .h265, payload: [49 << 1, 1, 0x80 | 19], marks: .keyframe),
        Case(name: "H265 trail", codec: .h265, payload: [1 << 1, 1], marks: []),
        Case(name: "H265 PACI of an IDR", codec: .h265, payload: [50 << 1, 1, 19 << 1, 0, 1], marks: .keyframe),
        Case(
            name: "H265 PACI with three bytes of its own", codec: .h265, payload: [50 << 1, 1, 19 << 1, 0x30, 9, 9, 9, 1],
            marks: .keyframe),
        Case(
            name: "H265 PACI with 16 bytes of its own, of an FU's start", codec: .h265,
            payload: [50 << 1, 1, 49 << 1 | 1, 0x00] + [UInt8](repeating: 0, count: 16) + [0x80 | 20], marks: .keyframe),
        Case(
            name: "H265 PACI of an AP with SPS and CRA", codec: .h265,
            payload: [50 << 1, 1, 48 << 1, 0, 0, 2, 33 << 1, 1, 0, 2, 21 << 1, 1], marks: [.keyframe, .parameterSets]),
        Case(name: "H265 PACI of a fragment inside", codec: .h265, payload: [50 << 1, 1, 49 << 1, 0, 19], marks: []),
        Case(name: "H265 PACI of a PACI", codec: .h265, payload: [50 << 1, 1, 50 << 1, 0, 50 << 1, 1, 19 << 1, 0, 1], marks: []),
        Case(
            name: "H265 PACI whose own bytes go past the end", codec: .h265, payload: [50 << 1, 1, 19 << 1, 0xF0, 1], marks: []),
        Case(name: "H265 PACI that carries nothing", codec: .h265, payload: [50 << 1, 1, 19 << 1, 0], marks: []),
        Case(name: "H265 PACI cut off", codec: .h265, payload: [50 << 1, 1, 19 << 1], marks: []),
        Case(name: "VP8 key without extensions", codec: .vp8, payload: [0x10, 0x00, 1], marks: .keyframe),
        Case(name: "VP8 key with 15-bit picture id", codec: .vp8, payload: [0x90, 0x80, 0x81, 0x02, 0x10], marks: .keyframe),
        Case(name: "VP8 inter", codec: .vp8, payload: [0x10, 0x01], marks: []),
        Case(name: "VP8 second partition", codec: .vp8, payload: [0x11, 0x00], marks: []),
        Case(name: "VP8 cut", codec: .vp8, payload: [0x90, 0x80], marks: []),
        Case(name: "VP9 key", codec: .vp9, payload: [0x88, 0x01, 0], marks: .keyframe),
        Case(name: "VP9 inter", codec: .vp9, payload: [0xC8, 0x01, 0], marks: []),
        Case(name: "VP9 upper spatial layer", codec: .vp9, payload: [0xA8, 0x01, 0x02], marks: []),
        Case(name: "AV1 new sequence", codec: .av1, payload: [0x08, 0x0A], marks: .keyframe),
        Case(name: "AV1 continued", codec: .av1, payload: [0x88], marks: []),
        Case(name: "Opus", codec: .opus, payload: [0x65], marks: []),
    ]

    @Test("payload starts", arguments: cases)
    func detects(example: Case) {
        let marks = KeyframeDetector.marks(example.codec, example.payload.span)
        #expect(marks == example.marks)
        let nothing: [UInt8] = []
        let ofNothing = KeyframeDetector.marks(example.codec, nothing.span)
        #expect(ofNothing == [])
    }

    @Test("the profile of an SPS, alone or in a STAP-A")
    func profile() {
        let payloads: [[UInt8]] = [
            [0x67, 0x64, 0x00, 0x1F, 9], [0x78, 0, 1, 9, 0, 4, 0x67, 0x42, 0xE0, 0x1F], [0x67, 0x64], [0x78, 0, 9, 0x67],
        ]
        let levels = payloads.map { payload in
            let span = payload.span
            return KeyframeDetector.h264ProfileLevel(span)
        }
        #expect(levels == [0x64001F, 0x42E01F, nil, nil])
    }
}
