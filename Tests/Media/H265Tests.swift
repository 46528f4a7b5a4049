import MediaFixtures
import TestThreads
import Testing

@testable import Media

@Suite("H.265 over RTP (RFC 7798)", .offThePool)
struct H265DepacketizerTests {
    /// Sets and pictures of x265: 64x64, a random access point with leading pictures among them.
    private static let openGroups = Result {
        try SyntheticMedia.reordered(.h265, frames: 48, gop: 12, size: "64x64", bFrames: 2, more: ":open-gop=1")
    }
    private static let sets: [[UInt8]] = (try? openGroups.get().pictures[0].filter { (32...34).contains($0[0] >> 1) }) ?? []
    private static let idr: [UInt8] = [19 << 1, 1, 0xA0, 7, 7]
    private static let slice: [UInt8] = [1 << 1, 1, 0x80, 9]

    private static func prefixed(_ nal: [UInt8]) -> [UInt8] { [0, 0, 0, UInt8(nal.count)] + nal }
    private static func aggregate(_ nals: [[UInt8]]) -> [UInt8] {
        [0x60, 1] + nals.flatMap { [UInt8($0.count >> 8), UInt8($0.count & 0xFF)] + $0 }
    }

    private struct Feed {
        var depacketizer = H265Depacketizer()
        var units: [AccessUnit] = []

        mutating func push(_ payload: [UInt8], _ timestamp: Int64, marker: Bool = true, afterLoss: Bool = false) {
            depacketizer.push(payload, timestamp: timestamp, marker: marker, afterLoss: afterLoss, into: &units)
        }

        mutating func start(_ timestamp: Int64 = 0) {
            push(H265DepacketizerTests.aggregate(H265DepacketizerTests.sets + [H265DepacketizerTests.idr]), timestamp)
        }
    }

    @Test("an aggregation packet with parameter sets gives a sync unit without them")
    func aggregate() throws {
        var feed = Feed()
        feed.start(9)
        #expect(feed.units.map(\.timestamp) == [9] && feed.units.first?.isSync == true)
        #expect(feed.units.first?.data == Self.prefixed(Self.idr))
        guard case .h265(let format)? = feed.units.first?.format else {
            Issue.record("no format")
            return
        }
        #expect([format.vps, format.sps, format.pps] == Self.sets.map { [$0] })
    }

    @Test("fragments join, single units and messages stay, delimiters go")
    func structures() {
        var feed = Feed()
        feed.start()
        feed.push([35 << 1, 1, 0x50], 3000, marker: false)
        feed.push([39 << 1, 1, 5, 1], 3000, marker: false)
        feed.push([49 << 1, 1, 0x80 | 1, 0x80], 3000, marker: false)
        feed.push([49 << 1, 1, 1, 8], 3000, marker: false)
        feed.push([49 << 1, 1, 0x40 | 1, 9], 3000)
        #expect(feed.units.last?.data == Self.prefixed([39 << 1, 1, 5, 1]) + Self.prefixed([1 << 1, 1, 0x80, 8, 9]))
    }

    /// A payload with its header in a PACI packet that has `own` bytes of its own (4.4.4).
    private static func paci(_ payload: [UInt8], own: Int = 0) -> [UInt8] {
        let type = payload[0] >> 1 & 0x3F
        let word = UInt16(type) << 9 | UInt16(own) << 4
        return [payload[0] & 0x81 | 50 << 1, payload[1], UInt8(word >> 8), UInt8(word & 0xFF)]
            + [UInt8](repeating: 0xEE, count: own) + payload[2...]
    }

    @Test("what a PACI packet carries is read as if it came without", arguments: [0, 3, 15, 16, 31])
    func paci(own: Int) {
        var feed = Feed()
        feed.push(Self.paci(Self.aggregate(Self.sets + [Self.idr]), own: own), 0)
        feed.push(Self.paci(Self.slice, own: own), 3000)
        feed.push(Self.paci([49 << 1, 1, 0x80 | 1, 0x80], own: own), 6000, marker: false)
        feed.push(Self.paci([49 << 1, 1, 0x40 | 1, 9], own: own), 6000)
        #expect(
            feed.units.map(\.data) == [Self.prefixed(Self.idr), Self.prefixed(Self.slice), Self.prefixed([1 << 1, 1, 0x80, 9])])
        #expect(feed.units.map(\.isSync) == [true, false, false] && feed.depacketizer.droppedUnits == 0)
    }

    @Test(
        "a PACI packet that is cut off, carries another one or nothing, or lies about its length costs its picture only",
        arguments: [
            [50 << 1, 1], [50 << 1, 1, 2], [50 << 1, 1, 2, 0], [50 << 1, 1, 2, 0x30, 9, 9], [50 << 1, 1, 0xFF, 0xFF, 9],
            [50 << 1, 1, 50 << 1, 0, 50 << 1, 1, 2, 0, 9, 9], [50 << 1, 1, 63 << 1, 0, 9, 9], [50 << 1, 1, 0x80 | 2, 0, 0x80, 9],
            [50 << 1, 1, 48 << 1, 0, 0xFF, 0xFF, 9], [50 << 1, 1, 49 << 1, 0, 0xC0 | 19, 9],
        ] as [[UInt8]])
    func brokenPACI(_ payload: [UInt8]) {
        var feed = Feed()
        feed.start()
        feed.push(payload, 3000)
        feed.push(Self.slice, 6000)
        #expect(feed.units.count == 1 && feed.depacketizer.needsKeyframe)
        feed.start(9000)
        #expect(feed.units.count == 2 && feed.units.last?.isSync == true)
    }

    @Test("what is not of the base layer is left out")
    func layers() {
        var feed = Feed()
        feed.start()
        feed.push(Self.slice, 3000, marker: false)
        feed.push([1 << 1, 9, 0x80, 1], 3000)
        #expect(feed.units.last?.data == Self.prefixed(Self.slice))
    }

    @Test(
        "malformed payloads damage their unit and nothing else",
        arguments: [
            [], [2], [2, 1], [0x82, 1, 0x80, 1], [0x60, 1, 0], [0x60, 1, 0, 2, 2, 1], [0x60, 1, 0, 9, 2, 1, 1],
            [0x60, 1, 0, 3, 0x60, 1, 1], [49 << 1, 1, 0xC1, 1], [49 << 1, 1, 1, 1], [49 << 1, 1, 0x81], [50 << 1, 1, 0, 0, 1],
            [63 << 1, 1, 1, 1],
        ] as [[UInt8]])
    func malformed(payload: [UInt8]) {
        var feed = Feed()
        feed.start()
        feed.push(payload, 3000)
        feed.push(Self.slice, 6000)
        #expect(feed.units.map(\.timestamp) == [0] && feed.depacketizer.needsKeyframe)
        feed.start(9000)
        feed.push(Self.slice, 12_000)
        #expect(feed.units.map(\.timestamp) == [0, 9000, 12_000])
    }

    @Test("new parameter sets inside a group of pictures wait for the next random access point; repeated ones do not")
    func setsInsideGroup() {
        var feed = Feed()
        feed.start()
        feed.push(Self.aggregate(Self.sets + [Self.slice]), 3000)
        #expect(feed.units.count == 2)
        var changed = Self.sets
        changed[2].append(0x55)
        feed.push(Self.aggregate(changed + [Self.slice]), 6000)
        #expect(feed.units.count == 2 && feed.depacketizer.needsKeyframe)
        feed.push(Self.idr, 9000)
        #expect(feed.units.last?.format != feed.units.first?.format)
    }

    @Test("sprop parameter sets serve until sets come in band")
    func outOfBand() {
        var feed = Feed()
        let text = zip(["sprop-vps", "sprop-sps", "sprop-pps"], Self.sets).map { "\($0)=\(Self.base64($1))" }
        feed.depacketizer = H265Depacketizer(fmtp: (["profile-id=1"] + text).joined(separator: "; "))
        feed.push(Self.idr, 0)
        #expect(feed.units.first?.format?.pictureSize?.width == 64)
    }

    @Test("leading pictures of a random access point that recording begins with are left out, later ones are kept")
    func leading() throws {
        let (pictures, order) = try Self.openGroups.get()
        let types = pictures.map { $0.first { $0[0] >> 1 < 32 }.map { $0[0] >> 1 } ?? 255 }
        #expect(types.contains(21) && types.contains { (8...9).contains($0) })
        let first = try #require(types.firstIndex(of: 21))
        for start in [0, first] {
            var packetizer = FixturePacketizer(extendedSequence: 0, codec: .h265)
            var feed = Feed()
            for (index, picture) in pictures.enumerated().dropFirst(start) {
                for packet in packetizer.picture(picture, timestamp: UInt32(order[index]), unit: index) {
                    feed.push(packet.payload, Int64(packet.timestamp), marker: packet.marker)
                }
            }
            let skipped = start == 0 ? [] : Array(types[(start + 1)...].prefix { (8...9).contains($0) })
            #expect(feed.units.count == pictures.count - start - skipped.count)
            #expect((start == 0) == skipped.isEmpty)
            #expect(feed.depacketizer.droppedUnits == 0)
        }
    }

    private static func base64(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        var out = ""
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = (0..<3).reduce(0) { $0 << 8 | (start + $1 < bytes.count ? Int(bytes[start + $1]) : 0) }
            for index in 0..<4 {
                out.append(start * 8 + index * 6 < bytes.count * 8 ? alphabet[group >> (18 - 6 * index) & 63] : "=")
            }
        }
        return out
    }
}

@Suite("H.265 parameter sets (H.265 7.3.2.2, ISO/IEC 14496-15 8.3.3)", .offThePool)
struct H265FormatTests {
    @Test(
        "size, profile and depth are the encoder's",
        arguments: [
            ("320x180", "yuv420p", "hvc1.1.6.L60.90"), ("642x362", "yuv420p", "hvc1.1.6.L63.90"),
            ("130x70", "yuv420p10le", "hvc1.2.4.L30.90"), ("128x64", "yuv444p", "hvc1.4."),
        ])
    func encoder(size: String, pixels: String, codecs: String) throws {
        let bytes = try Tool.run(
            "ffmpeg",
            [
                "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=\(size):rate=30", "-frames:v", "1", "-pix_fmt", pixels, "-c:v",
                "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:pools=none", "-f", "hevc", "-",
            ])
        let nals = SyntheticMedia.nalUnits([UInt8](bytes))
        let nal = try #require(nals.first { $0[0] >> 1 == 33 })
        let sps = try H265SPS(nal: nal)
        #expect("\(sps.width)x\(sps.height)" == size)
        #expect(sps.lumaDepthMinus8 == (pixels.hasSuffix("10le") ? 2 : 0))
        #expect(sps.codecs.hasPrefix(codecs), "\(sps.codecs)")
        for cut in 0..<nal.count { _ = try? H265SPS(nal: Array(nal.prefix(cut))) }
        #expect(throws: BitstreamError.self) { try H265SPS(nal: Array(nal.prefix(12))) }
    }

    @Test("the codecs parameter reverses the compatibility flags and leaves out zeros at the end")
    func codecs() throws {
        // Main at level 3.1, progressive, no other constraint; 16x16.
        var bits: [UInt8] = []
        func put(_ value: Int, _ width: Int) { for shift in (0..<width).reversed() { bits.append(UInt8(value >> shift & 1)) } }
        func unsigned(_ value: Int) {
            let width = Int.bitWidth - (value + 1).leadingZeroBitCount
            put(0, width - 1)
            put(value + 1, width)
        }
        put(0, 4)
        put(0, 3)
        put(1, 1)
        for (value, width) in [(1, 8), (0x6000_0000, 32), (0xB0, 8), (0, 40), (93, 8)] { put(value, width) }
        for value in [0, 1, 16, 16] { unsigned(value) }
        put(0, 1)
        for value in [0, 0, 4] { unsigned(value) }
        put(1, 1)
        for value in [3, 2, 0] { unsigned(value) }
        put(1, 8)
        let rbsp = stride(from: 0, to: bits.count, by: 8).map { start in
            (0..<8).reduce(UInt8(0)) { $0 << 1 | (start + $1 < bits.count ? bits[start + $1] : 0) }
        }
        var nal: [UInt8] = [33 << 1, 1]
        for byte in rbsp {
            if byte <= 3, nal.suffix(2) == [0, 0] { nal.append(3) }
            nal.append(byte)
        }
        let sps = try H265SPS(nal: nal)
        #expect(sps.codecs == "hvc1.1.6.L93.B0")
        #expect(sps.width == 16 && sps.height == 16 && sps.reorderedPicturesMax == 2)
        let format = try H265Format(vps: [[64, 1, 0]], sps: [nal], pps: [[68, 1, 0xC0]])
        #expect(
            format.decoderConfiguration.prefix(23) == [
                1, 1, 0x60, 0, 0, 0, 0xB0, 0, 0, 0, 0, 0, 93, 0xF0, 0, 0xFC, 0xFD, 0xF8, 0xF8, 0, 0, 0x0F, 3,
            ])
        #expect(Array(format.decoderConfiguration[23..<31]) == [0xA0, 0, 1, 0, 3, 64, 1, 0])
    }

    @Test("mutated sets throw or parse, never trap", arguments: 0..<8 as Range<UInt64>)
    func fuzz(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let picture = try SyntheticMedia.pictures(.h265, frames: 1, size: "64x64")[0]
        let sps = try #require(picture.first { $0[0] >> 1 == 33 })
        for _ in 0..<1000 {
            let nal = sps.mutated(by: &generator)
            guard let read = try? H265SPS(nal: nal) else { continue }
            #expect((1...16_888).contains(read.width) && (1...16_888).contains(read.height))
            #expect(read.codecs.hasPrefix("hvc1."))
            if let format = try? H265Format(vps: [[64, 1, 0]], sps: [nal], pps: [[68, 1, 1]]) {
                #expect(format.decoderConfiguration.count > nal.count)
            }
        }
    }
}
