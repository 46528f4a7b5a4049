import MediaFixtures
import TestThreads
import Testing

@testable import Media

@Suite("AV1 over RTP (AV1 RTP payload format 1.0)", .offThePool)
struct AV1DepacketizerTests {
    private static let first = (try? SyntheticMedia.pictures(.av1, frames: 2, size: "64x64"))?.first?.first ?? []
    /// The encoder's sequence header and a made-up key frame, without sizes.
    private static let sequence: [UInt8] = FixtureCodec.obus(first).first { $0[0] >> 3 & 15 == 1 } ?? []
    private static let key: [UInt8] = [6 << 3, 0x10, 1, 2, 3]
    private static let inter: [UInt8] = [6 << 3, 0x30, 4, 5]

    private static func sized(_ obu: [UInt8]) -> [UInt8] { [obu[0] | 2, UInt8(obu.count - 1)] + obu.dropFirst() }
    private static func counted(_ obu: [UInt8]) -> [UInt8] { [UInt8(obu.count)] + obu }

    private struct Feed {
        var depacketizer = AV1Depacketizer()
        var units: [AccessUnit] = []

        mutating func push(_ payload: [UInt8], _ timestamp: Int64, marker: Bool = true, afterLoss: Bool = false) {
            depacketizer.push(payload, timestamp: timestamp, marker: marker, afterLoss: afterLoss, into: &units)
        }

        mutating func start(_ timestamp: Int64 = 0) {
            push([0x28] + AV1DepacketizerTests.counted(AV1DepacketizerTests.sequence) + AV1DepacketizerTests.key, timestamp)
        }
    }

    @Test("units get their sizes, counted or not, and with sizes of their own")
    func elements() {
        let expected = Self.sized(Self.sequence) + Self.sized(Self.key)
        for payload in [
            [0x28] + Self.counted(Self.sequence) + Self.key,
            [0x08] + Self.counted(Self.sequence) + Self.counted(Self.key),
            [0x08] + Self.counted(Self.sized(Self.sequence)) + Self.counted(Self.sized(Self.key)),
            // A temporal delimiter, a tile list and padding have no place in a file.
            [0x08] + Self.counted([2 << 3]) + Self.counted(Self.sequence) + Self.counted([15 << 3, 1])
                + Self.counted([8 << 3, 1])
                + Self.counted(Self.key),
        ] {
            var feed = Feed()
            feed.push(payload, 0)
            #expect(feed.units.map(\.data) == [expected])
            #expect(feed.units.first?.isSync == true && feed.units.first?.format?.pictureSize?.width == 64)
        }
    }

    @Test("a unit in three packets joins")
    func fragments() {
        var feed = Feed()
        feed.start()
        feed.push([0x50] + Self.inter.prefix(1), 3000, marker: false)
        feed.push([0xD0] + Self.inter[1..<2], 3000, marker: false)
        feed.push([0xA0] + Self.counted(Array(Self.inter[2...])) + [4 << 3, 9], 3000)
        #expect(feed.units.last?.data == Self.sized(Self.inter) + Self.sized([4 << 3, 9]))
        #expect(feed.units.last?.isSync == false)
    }

    @Test("a layer's extension byte stays")
    func extensions() {
        var feed = Feed()
        feed.start()
        feed.push([0x10, 6 << 3 | 4, 0x28, 0x30, 7], 3000)
        #expect(feed.units.last?.data == [6 << 3 | 6, 0x28, 2, 0x30, 7])
    }

    @Test(
        "malformed payloads damage their unit and nothing else",
        arguments: [
            [], [0x10], [0x90, 0x30, 1], [0x88, 0x30], [0x00, 9, 0x30], [0x00, 0], [0x20, 2, 0x30], [0x30, 1, 0x30, 1, 0x30],
            [0x10, 0xB0, 1], [0x10, 6 << 3 | 2, 9, 1], [0x10, 6 << 3 | 4], [0x50, 0x30], [0x00, 0x80, 0x80, 0x80, 0x80, 0x80],
            [0x10, 1 << 3, 0x1F],
        ] as [[UInt8]])
    func malformed(payload: [UInt8]) {
        var feed = Feed()
        feed.start()
        feed.push(payload, 3000)
        feed.push([0x10] + Self.inter, 6000)
        #expect(feed.units.map(\.timestamp) == [0] && feed.depacketizer.needsKeyframe)
        feed.start(9000)
        feed.push([0x10] + Self.inter, 12_000)
        #expect(feed.units.map(\.timestamp) == [0, 9000, 12_000])
    }

    @Test("a key frame without a sequence header is no beginning; in the middle it is a frame like others")
    func sequenceHeaders() {
        var feed = Feed()
        feed.push([0x10] + Self.key, 0)
        #expect(feed.units.isEmpty)
        feed.start(3000)
        feed.push([0x10] + Self.key, 6000)
        #expect(feed.units.map(\.isSync) == [true, false])
    }

    @Test(
        "the sequence header says what the encoder was told",
        arguments: [
            ("130x66", "yuv420p", "av01.0.00M.08"), ("640x360", "yuv420p10le", "av01.0.01M.10"),
            ("64x64", "yuv444p", "av01.1.00M.08"),
            ("64x64", "gray", "av01.0.00M.08"),
        ])
    func encoder(size: String, pixels: String, codecs: String) throws {
        let bytes = [UInt8](
            try Tool.run(
                "ffmpeg",
                [
                    "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=\(size):rate=30", "-frames:v", "1", "-pix_fmt", pixels,
                    "-c:v",
                    "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-f", "obu", "-",
                ]))
        let obu = try #require(FixtureCodec.obus(bytes).first { $0[0] >> 3 & 15 == 1 })
        let format = try AV1Format(sequenceHeader: Array(obu.dropFirst()))
        #expect("\(format.width)x\(format.height)" == size && format.codecs == codecs)
        #expect(format.isMonochrome == (pixels == "gray"))
        #expect(format.subsampling.x == (pixels != "yuv444p"))
        for cut in 0..<obu.count - 2 { _ = try? AV1Format(sequenceHeader: Array(obu.dropFirst().prefix(cut))) }
        #expect(throws: BitstreamError.self) { try AV1Format(sequenceHeader: Array(obu.dropFirst().prefix(4))) }
    }

    @Test("mutated sequence headers throw or parse, never trap", arguments: 0..<8 as Range<UInt64>)
    func fuzz(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let payload = Array(Self.sequence.dropFirst())
        for _ in 0..<1000 {
            guard let format = try? AV1Format(sequenceHeader: payload.mutated(by: &generator)) else { continue }
            #expect((1...65_536).contains(format.width) && (1...65_536).contains(format.height))
            #expect(format.codecs.hasPrefix("av01.") && format.decoderConfiguration.count > 6)
        }
    }
}
