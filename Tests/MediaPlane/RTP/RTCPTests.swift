import Testing

@testable import MediaPlane

@Suite("RTCP reading and writing (RFC 3550 §6, RFC 4585, RFC 5104, REMB)")
struct RTCPTests {
    static func write(_ body: (inout RTCPWriter) -> Void) -> [UInt8] {
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: 1500, alignment: 16)
        defer { scratch.deallocate() }
        var writer = RTCPWriter(scratch)
        body(&writer)
        return Array(writer.bytes)
    }

    static func parts(_ bytes: [UInt8]) -> [RTCPPacket] {
        var reader = RTCPReader()
        var found: [RTCPPacket] = []
        while let part = reader.next(in: bytes.span) { found.append(part) }
        return found
    }

    /// Spans can't leave the expression that makes them, so these take arrays.
    static func block(_ index: Int, of part: RTCPPacket, in bytes: [UInt8]) -> ReportBlock? {
        let span = bytes.span
        return ReportBlock(index, of: part, in: span)
    }

    static func header(_ part: RTCPPacket, in bytes: [UInt8]) -> FeedbackHeader? {
        let span = bytes.span
        return FeedbackHeader(part, in: span)
    }

    static let report = SenderReport(ssrc: 1, ntp: 0x0102_0304_0506_0708, timestamp: 9, packets: 10, octets: 11)
    static let block = ReportBlock(
        ssrc: 7, fractionLost: 64, cumulativeLost: -3, highestSequence: 0x0001_FFFF, jitter: 99, lastReport: 0xAABB_CCDD,
        delaySinceLastReport: 65536)

    static let seeds: [[UInt8]] = [
        write { $0.senderReport(report) },
        write { writer in
            writer.receiverReport(sender: 5, blocks: 2) { _ in block }
            Array("name".utf8).withUnsafeBytes { _ = writer.sourceDescription(ssrc: 5, cname: $0) }
            writer.goodbye(ssrc: 5)
        },
        write { writer in
            [UInt16(3), 4, 19, 20, 65535].withUnsafeBufferPointer { _ = writer.nack(sender: 1, media: 2, sequences: $0) }
            writer.pictureLoss(sender: 1, media: 2)
            writer.fullIntra(sender: 1, target: 2, number: 200)
            [UInt32(2), 3].withUnsafeBufferPointer {
                _ = writer.estimatedBitrate(sender: 1, bitsPerSecond: 5_000_000, sources: $0)
            }
        },
    ]

    @Test("golden bytes")
    func golden() {
        #expect(
            Self.seeds[0] == [
                0x80, 200, 0, 6, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9, 0, 0, 0, 10, 0, 0, 0, 11,
            ])
        let name = Self.write { writer in
            Array("abc".utf8).withUnsafeBytes { _ = writer.sourceDescription(ssrc: 0x1020_3040, cname: $0) }
        }
        #expect(name == [0x81, 202, 0, 3, 0x10, 0x20, 0x30, 0x40, 1, 3, 0x61, 0x62, 0x63, 0, 0, 0])
        #expect(Self.write { $0.pictureLoss(sender: 1, media: 2) } == [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2])
        #expect(
            Self.write { $0.fullIntra(sender: 1, target: 2, number: 3) } == [
                0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 3, 0, 0, 0,
            ])
        let bitrate = Self.write { writer in
            [UInt32(7)].withUnsafeBufferPointer { _ = writer.estimatedBitrate(sender: 1, bitsPerSecond: 1 << 20, sources: $0) }
        }
        #expect(bitrate.suffix(12) == [0x52, 0x45, 0x4D, 0x42, 1, 3 << 2 | 2, 0, 0, 0, 0, 0, 7])
    }

    @Test("a CNAME of any length ends on a word with a zero", arguments: [0, 1, 2, 3, 4, 255, 300])
    func names(length: Int) {
        let bytes = Self.write { writer in
            [UInt8](repeating: 65, count: length).withUnsafeBytes { _ = writer.sourceDescription(ssrc: 1, cname: $0) }
        }
        #expect(bytes.count % 4 == 0 && bytes.last == 0)
        #expect(Self.parts(bytes).count == 1)
        #expect(Int(bytes[9]) == min(length, 255))
    }

    @Test("reports are read back")
    func reports() throws {
        let seed = Self.seeds[0]
        let part = try #require(Self.parts(seed).first)
        let first = SenderReport(part, in: seed.span)
        #expect(first == Self.report)
        let parts = Self.parts(Self.seeds[1])
        #expect(parts.map(\.type) == [201, 202, 203])
        let blocks = (0..<3).map { Self.block($0, of: parts[0], in: Self.seeds[1]) }
        #expect(blocks == [Self.block, Self.block, nil])
        let ofDescription = Self.block(0, of: parts[1], in: Self.seeds[1])
        #expect(ofDescription == nil)
    }

    @Test("feedback is read back")
    func feedback() throws {
        let bytes = Self.seeds[2]
        let all = Self.parts(bytes).compactMap { Self.header($0, in: bytes) }
        #expect(all.map(\.kind) == [.nack, .pictureLoss, .fullIntra, .estimatedBitrate])
        #expect(all.map(\.media) == [2, 2, 0, 0])
        let item = all[2].fullIntraItem(0, in: bytes.span)
        #expect(item?.ssrc == 2 && item?.number == 200)
        let bitrate = all[3].estimatedBitrate(in: bytes.span)
        let coarse: UInt64 = 5_000_000 & ~31
        #expect(bitrate == coarse)
    }

    @Test("NACK items say exactly which numbers", arguments: sequenceStarts, 0..<10)
    func nacks(start: Int, seed: Int) {
        var random = Mutator.Random(seed: UInt64(seed))
        var wanted: [UInt16] = []
        for index in 0..<200 where Int.random(in: 0..<(seed + 1), using: &random) == 0 {
            wanted.append(UInt16(truncatingIfNeeded: start + index))
        }
        let bytes = Self.write { writer in
            wanted.withUnsafeBufferPointer { _ = writer.nack(sender: 1, media: 2, sequences: $0) }
        }
        var found: [UInt16] = []
        for part in Self.parts(bytes) {
            guard let feedback = FeedbackHeader(part, in: bytes.span) else { continue }
            var index = 0
            while let item = feedback.nackItem(index, in: bytes.span) {
                found.append(item.first)
                for bit in 0..<UInt16(16) where item.mask & (1 << bit) != 0 { found.append(item.first &+ bit &+ 1) }
                index += 1
            }
        }
        #expect(found == wanted)
    }

    @Test("bitrates saturate instead of overflowing")
    func bitrateOverflow() throws {
        var bytes = Self.write { writer in
            [UInt32(7)].withUnsafeBufferPointer { _ = writer.estimatedBitrate(sender: 1, bitsPerSecond: 1, sources: $0) }
        }
        bytes[17] = 0xFF
        bytes[18] = 0xFF
        bytes[19] = 0xFF
        let part = try #require(Self.parts(bytes).first)
        let bitrate = FeedbackHeader(part, in: bytes.span)?.estimatedBitrate(in: bytes.span)
        #expect(bitrate == .max)
    }

    @Test("what finds no room is refused whole")
    func noRoom() {
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 16)
        defer { scratch.deallocate() }
        var writer = RTCPWriter(scratch, capacity: 20)
        let written = [
            writer.senderReport(Self.report), writer.pictureLoss(sender: 1, media: 2), writer.pictureLoss(sender: 1, media: 2),
        ]
        #expect(written == [false, true, false])
        #expect(writer.count == 12)
    }

    @Test("damaged compounds never trap, and every part lies inside", arguments: 0..<8)
    func fuzz(seed: Int) {
        var mutator = Mutator(seed: UInt64(seed))
        for _ in 0..<1500 {
            let bytes = mutator.mutate(Self.seeds[mutator.below(Self.seeds.count)])
            for part in Self.parts(bytes) {
                #expect(part.bodyOffset + part.bodyCount <= bytes.count)
                _ = SenderReport(part, in: bytes.span)
                for index in 0..<32 { _ = ReportBlock(index, of: part, in: bytes.span) }
                guard let feedback = FeedbackHeader(part, in: bytes.span) else { continue }
                for index in 0..<64 {
                    _ = feedback.nackItem(index, in: bytes.span)
                    _ = feedback.fullIntraItem(index, in: bytes.span)
                }
                _ = feedback.estimatedBitrate(in: bytes.span)
            }
        }
    }
}
