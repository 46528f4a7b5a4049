import MediaFixtures
import TestThreads
import Testing

@testable import Media

@Suite("H.264 over RTP (RFC 6184)", .offThePool)
struct H264DepacketizerTests {
    private static let idr: [UInt8] = [0x65, 0x88, 0x81, 2, 3]
    private static let slice: [UInt8] = [0x41, 0x9A, 4, 5]
    private static let sps: [UInt8] = [
        0x67, 0x42, 0xC0, 0x1E, 0xD9, 0x00, 0xA0, 0x47, 0xFE, 0x88,
    ]
    private static let pps: [UInt8] = [0x68, 0xCE, 0x3C, 0x80]

    private static func prefixed(_ nal: [UInt8]) -> [UInt8] { [0, 0, 0, UInt8(nal.count)] + nal }

    private struct Feed {
        var depacketizer = H264Depacketizer()
        var units: [AccessUnit] = []

        mutating func push(_ payload: [UInt8], _ timestamp: Int64, marker: Bool = true, afterLoss: Bool = false) {
            depacketizer.push(payload, timestamp: timestamp, marker: marker, afterLoss: afterLoss, into: &units)
        }

        /// Parameter sets and an IDR picture in one STAP-A.
        mutating func start(_ timestamp: Int64 = 0, afterLoss: Bool = false) {
            let parts = [H264DepacketizerTests.sps, H264DepacketizerTests.pps, H264DepacketizerTests.idr]
            push([0x78] + parts.flatMap { [0, UInt8($0.count)] + $0 }, timestamp, afterLoss: afterLoss)
        }
    }

    @Test("STAP-A with parameter sets gives a sync unit without them")
    func aggregate() {
        var feed = Feed()
        feed.start(9)
        #expect(feed.units.count == 1)
        #expect(feed.units.first?.isSync == true && feed.units.first?.timestamp == 9)
        #expect(feed.units.first?.data == Self.prefixed(Self.idr))
        #expect(feed.units.first?.sets?.sps == [Self.sps])
        #expect(feed.units.first?.sets?.pps == [Self.pps])
    }

    @Test("sprop-parameter-sets serve until sets come in band")
    func outOfBand() {
        var feed = Feed()
        feed.depacketizer = H264Depacketizer(fmtp: "packetization-mode=1; sprop-parameter-sets=Z0LAHtkAoEf+iA==,aM48gA==")
        feed.push(Self.idr, 0)
        #expect(feed.units.first?.sets?.sps == [Self.sps])
    }

    @Test("sprop-parameter-sets as a packet: a STAP-A that a depacketizer takes")
    func asPacket() throws {
        let packet = try #require(
            ParameterSetPacket.h264(fmtp: "packetization-mode=1; sprop-parameter-sets=Z0LAHtkAoEf+iA==,aM48gA=="))
        let lengths = [[0, UInt8(Self.sps.count)], [0, UInt8(Self.pps.count)]] as [[UInt8]]
        #expect(packet == [0x78] + lengths[0] + Self.sps + lengths[1] + Self.pps)
        var feed = Feed()
        feed.push(packet, 0, marker: false)
        feed.push(Self.idr, 0)
        #expect(feed.units.first?.sets?.sps == [Self.sps] && feed.units.first?.sets?.pps == [Self.pps])
    }

    @Test(
        "sets that are missing, broken or too much make no packet",
        arguments: [
            "", "sprop-parameter-sets=", "sprop-parameter-sets=Z0LAHtkAoEf+iA==", "sprop-parameter-sets=aM48gA==,aM48gA==",
            "sprop-parameter-sets=Z0I=,aM48gA==", "sprop-parameter-sets=!!,??", "profile-level-id=42e01f",
            "sprop-parameter-sets=Z0LAHtkAoEf+iA==" + String(repeating: ",aM48gA==", count: 300),
        ])
    func noPacket(fmtp: String) {
        #expect(ParameterSetPacket.h264(fmtp: fmtp) == nil)
    }

    @Test("a unit ends at the marker or at a new timestamp, whichever comes")
    func boundaries() {
        var feed = Feed()
        feed.start()
        feed.push(Self.slice, 3000, marker: false)
        #expect(feed.units.count == 1)
        feed.push([0x41, 0x11, 7], 3000, marker: false)
        feed.push(Self.slice, 6000)
        #expect(feed.units.map(\.timestamp) == [0, 3000, 6000])
        #expect(feed.units[1].data == Self.prefixed(Self.slice) + Self.prefixed([0x41, 0x11, 7]))
    }

    @Test("FU-A joins fragments and restores the header")
    func fragments() {
        var feed = Feed()
        feed.start()
        feed.push([0x5C, 0x81, 0x9A], 3000, marker: false)
        feed.push([0x5C, 0x01, 4], 3000, marker: false)
        feed.push([0x5C, 0x41, 5], 3000)
        #expect(feed.units.last?.data == Self.prefixed(Self.slice))
    }

    @Test(
        "malformed payloads damage their unit and nothing else",
        arguments: [
            [], [0x80 | 0x41, 0x9A], [0x5C, 0xC1, 0x9A], [0x5C, 0x01, 4], [0x5C, 0x81], [0x78], [0x78, 0, 0], [0x78, 0, 9, 0x41],
            [0x78, 0, 2, 0x78, 0], [0x79, 0, 0, 0, 2, 0x41, 1], [0x7A, 0, 0, 1], [0x5D, 0x81, 0, 0, 1], [0x41], [0x00, 1],
            [0x5E, 1],
        ] as [[UInt8]])
    func malformed(payload: [UInt8]) {
        var feed = Feed()
        feed.start()
        feed.push(payload, 3000)
        feed.push(Self.slice, 6000)
        #expect(feed.units.map(\.timestamp) == [0])
        #expect(feed.depacketizer.needsKeyframe)
        feed.start(9000)
        feed.push(Self.slice, 12_000)
        #expect(feed.units.map(\.timestamp) == [0, 9000, 12_000])
    }

    @Test("after a loss nothing comes out before the next whole IDR picture")
    func loss() {
        var feed = Feed()
        feed.start()
        feed.push([0x5C, 0x81, 0x9A], 3000, marker: false)
        feed.push([0x5C, 0x41, 5], 3000, afterLoss: true)
        feed.push(Self.slice, 6000)
        // An IDR picture that lost its beginning: its first slice starts past macroblock 0.
        feed.push([0x65, 0x08, 1], 9000, afterLoss: true)
        feed.push(Self.slice, 12_000)
        #expect(feed.units.map(\.timestamp) == [0])
        // What was lost may have been other parameter sets, which come with each IDR picture here.
        feed.push(Self.idr, 15_000, afterLoss: true)
        #expect(feed.units.map(\.timestamp) == [0])
        feed.push(Self.idr, 18_000)
        feed.push(Self.slice, 21_000)
        #expect(feed.units.map(\.timestamp) == [0, 18_000, 21_000])
        #expect(feed.depacketizer.droppedUnits == 5)
    }

    @Test("a unit whose end was lost is dropped when the next one comes")
    func lostEnd() {
        var feed = Feed()
        feed.start()
        feed.push(Self.slice, 3000, marker: false)
        feed.start(6000, afterLoss: true)
        #expect(feed.units.map(\.timestamp) == [0, 6000])
    }

    @Test("an IDR picture without parameter sets is not a beginning")
    func noSets() {
        var feed = Feed()
        feed.push(Self.idr, 0)
        feed.push(Self.slice, 3000)
        #expect(feed.units.isEmpty && feed.depacketizer.needsKeyframe)
    }

    @Test("new parameter sets before a picture that is no IDR wait for one; repeated ones do not")
    func setsInsideGroup() {
        var feed = Feed()
        feed.start()
        feed.push(Self.sps, 3000, marker: false)
        feed.push(Self.slice, 3000)
        #expect(feed.units.count == 2)
        feed.push([0x68, 0xCE, 0x3C, 0x81], 6000, marker: false)
        feed.push(Self.slice, 6000)
        #expect(feed.units.count == 2 && feed.depacketizer.needsKeyframe)
    }

    @Test("a whole synthetic stream survives, whatever packet size it was sent in", arguments: [60, 400, 1200, 60_000])
    func wholeStream(payloadMax: Int) throws {
        let pictures = try SyntheticMedia.h264(frames: 60, gop: 30)
        var packetizer = FixturePacketizer(extendedSequence: 0, payloadMax: payloadMax)
        var feed = Feed()
        for (index, picture) in pictures.enumerated() {
            for packet in packetizer.picture(picture, timestamp: UInt32(index), unit: index) {
                feed.push(packet.payload, Int64(packet.timestamp), marker: packet.marker)
            }
        }
        #expect(feed.units.count == 60)
        for (unit, picture) in zip(feed.units, pictures) {
            let pictureBytes = picture.filter { (1...5).contains($0[0] & 0x1F) }.map(\.count).reduce(0, +)
            #expect(unit.data.count >= pictureBytes)
            #expect(unit.isSync == picture.contains { $0[0] & 0x1F == 5 })
        }
    }

    @Test("mutated payloads never trap, and what comes out is whole NAL units", arguments: 0..<8 as Range<UInt64>)
    func fuzz(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var packetizer = FixturePacketizer(extendedSequence: 0, payloadMax: 300)
        let packets = try SyntheticMedia.h264(frames: 40, gop: 10).enumerated().flatMap {
            packetizer.picture($0.element, timestamp: UInt32($0.offset * 3000), unit: $0.offset)
        }
        var feed = Feed()
        for _ in 0..<10 {
            for packet in packets {
                let isHit = Int.random(in: 0..<4, using: &generator) == 0
                let payload = isHit ? packet.payload.mutated(by: &generator) : packet.payload
                feed.push(
                    payload, Int64(packet.timestamp), marker: packet.marker,
                    afterLoss: Int.random(in: 0..<50, using: &generator) == 0)
            }
        }
        for unit in feed.units { #expect(Self.isLengthPrefixed(unit.data)) }
    }

    private static func isLengthPrefixed(_ data: [UInt8]) -> Bool {
        var position = 0
        while position < data.count {
            guard let size = data.integer(4, at: position, end: data.count), size > 0 else { return false }
            position += 4 + Int(size)
        }
        return position == data.count
    }
}

@Suite("H.264 sequence parameter sets (H.264 7.3.2.1.1)", .offThePool)
struct H264SPSTests {
    @Test(
        "size, profile and level are the encoder's",
        arguments: [
            ("320x180", "baseline", 66), ("642x362", "main", 77), ("1920x1080", "high", 100), ("176x144", "high422", 122),
            ("64x66", "high444", 244),
        ])
    func encoder(size: String, profile: String, number: UInt8) throws {
        let pixels = ["high422": "yuv422p", "high444": "yuv444p"][profile] ?? "yuv420p"
        let bytes = try Tool.run(
            "ffmpeg",
            [
                "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=\(size):rate=30", "-frames:v", "1", "-pix_fmt", pixels, "-c:v",
                "libx264",
                "-profile:v", profile, "-x264-params", profile.hasPrefix("high") ? "cqm=jvt" : "threads=1", "-f", "h264", "-",
            ])
        let nal = try #require(SyntheticMedia.nalUnits([UInt8](bytes)).first { $0[0] & 0x1F == 7 })
        let sps = try H264SPS(nal: nal)
        #expect("\(sps.width)x\(sps.height)" == size)
        #expect(sps.profile == number)
        #expect(sps.codecs.hasPrefix("avc1.") && sps.codecs.count == 11)
        for cut in 0..<nal.count - 4 { _ = try? H264SPS(nal: Array(nal.prefix(cut))) }
        #expect(throws: BitstreamError.self) { try H264SPS(nal: Array(nal.prefix(6))) }
    }

    @Test("the codecs parameter keeps leading zeros")
    func codecs() throws {
        let sps = try H264SPS(nal: [0x67, 0x42, 0x00, 0x0A, 0xD9, 0x00, 0xA0, 0x47, 0xFE, 0x88])
        #expect(sps.codecs == "avc1.42000a")
    }

    @Test("interlaced pictures have twice the map units, and cropping counts in pairs of lines")
    func interlaced() throws {
        // frame_mbs_only_flag 0: 45 map units... written bit by bit so that every field is visible.
        var bits = BitWriter()
        for (value, width) in [(77, 8), (0, 8), (30, 8)] { bits.put(value, width) }
        for value in [0, 0, 0, 0, 1] { bits.unsigned(value) }  // id, frame_num, poc type, poc lsb, ref frames
        bits.put(0, 1)
        for value in [119, 33] { bits.unsigned(value) }
        for (value, width) in [(0, 1), (0, 1), (1, 1), (1, 1)] { bits.put(value, width) }
        for value in [0, 0, 0, 2] { bits.unsigned(value) }
        bits.put(1, 8)
        let sps = try H264SPS(nal: [0x67] + bits.bytes)
        #expect(sps.width == 1920 && sps.height == 1080)
    }

    @Test("mutated sets throw or parse, never trap", arguments: 0..<8 as Range<UInt64>)
    func fuzz(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let seeds: [[UInt8]] = [
            [0x67, 0x42, 0xC0, 0x1E, 0xD9, 0x00, 0xA0, 0x47, 0xFE, 0x88],
            [
                0x67, 0x64, 0x00, 0x28, 0xAC, 0xD9, 0x40, 0x78, 0x02, 0x27, 0xE5, 0xC0, 0x44, 0, 0, 3, 0, 4, 0, 0, 3, 0, 0xF0,
                0x3C, 0x60, 0xC6, 0x58,
            ],
        ]
        for round in 0..<2000 {
            let nal = seeds[round % 2].mutated(by: &generator)
            guard let sps = try? H264SPS(nal: nal) else { continue }
            #expect(sps.width > 0 && sps.height > 0 && sps.width <= 17_000 && sps.height <= 34_000)
            if let format = try? H264Format(sps: [nal], pps: [[0x68, 1]]) {
                #expect(format.decoderConfiguration.count > nal.count)
            }
        }
    }

    private struct BitWriter {
        private var bits: [UInt8] = []

        mutating func put(_ value: Int, _ width: Int) {
            for shift in (0..<width).reversed() { bits.append(UInt8(value >> shift & 1)) }
        }

        mutating func unsigned(_ value: Int) {
            let width = Int.bitWidth - (value + 1).leadingZeroBitCount
            put(0, width - 1)
            put(value + 1, width)
        }

        var bytes: [UInt8] {
            stride(from: 0, to: bits.count, by: 8).map { start in
                (0..<8).reduce(UInt8(0)) { $0 << 1 | (start + $1 < bits.count ? bits[start + $1] : 0) }
            }
        }
    }
}

@Suite("Opus packets (RFC 6716 3)", .offThePool)
struct OpusTests {
    @Test(
        "duration comes from the table of contents",
        arguments: [
            ([0x00, 1], 480), ([0x18, 1], 2880), ([0x60, 1], 480), ([0x68, 1], 960), ([0x80, 1], 120), ([0xFC, 0xFF, 0xFE], 960),
            ([0xFD, 1, 2], 1920), ([0xFB, 0x03, 1], 2880), ([0x83, 48], 5760), ([0xF8], 960),
        ] as [([UInt8], Int64)])
    func duration(packet: [UInt8], samples: Int64) {
        #expect(OpusPacket.duration(of: packet) == samples)
    }

    @Test("what is no packet has none", arguments: [[], [0xFF], [0xFB, 0], [0xFB, 7], [0x1A | 3, 63]] as [[UInt8]])
    func malformed(packet: [UInt8]) {
        #expect(OpusPacket.duration(of: packet) == nil)
        var depacketizer = OpusDepacketizer()
        var units: [AccessUnit] = []
        depacketizer.push(packet, timestamp: 0, marker: false, afterLoss: false, into: &units)
        #expect(units.isEmpty)
    }
}

extension AccessUnit {
    /// The parameter sets of H.264.
    fileprivate var sets: H264Format? {
        if case .h264(let format)? = format { format } else { nil }
    }
}
