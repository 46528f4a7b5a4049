import MediaFixtures
import TestThreads
import Testing

@testable import Media

/// What every depacketiser owes the recorder, whatever the codec.
@Suite("Pictures of every codec over RTP, and into CMAF (ISO/IEC 23000-19)", .offThePool)
struct CodecTests {
    static let codecs: [FixtureCodec] = FixtureCodec.allCases
    private static let pictures = Dictionary(
        uniqueKeysWithValues: codecs.map { ($0, (try? SyntheticMedia.pictures($0, frames: 60, gop: 20)) ?? []) })

    private static func packets(_ codec: FixtureCodec, payloadMax: Int = 300) -> [FixturePacket] {
        var packetizer = FixturePacketizer(extendedSequence: 0, payloadMax: payloadMax, codec: codec)
        return (pictures[codec] ?? []).enumerated().flatMap {
            packetizer.picture($0.element, timestamp: UInt32($0.offset * 3000), unit: $0.offset)
        }
    }

    private static func units(_ codec: FixtureCodec, _ packets: [FixturePacket], lost: Set<UInt64> = []) -> (
        units: [AccessUnit], depacketizer: any Depacketizer
    ) {
        var depacketizer = codec.depacketizer
        var units: [AccessUnit] = []
        var afterLoss = false
        for packet in packets {
            guard !lost.contains(packet.extendedSequence) else {
                afterLoss = true
                continue
            }
            depacketizer.push(
                packet.payload, timestamp: Int64(packet.timestamp), marker: packet.marker, afterLoss: afterLoss, into: &units)
            afterLoss = false
        }
        return (units, depacketizer)
    }

    @Test("nothing is lost, whatever packet size it was sent in", arguments: codecs, [90, 400, 1200, 60_000])
    func whole(codec: FixtureCodec, payloadMax: Int) throws {
        let (units, depacketizer) = Self.units(codec, Self.packets(codec, payloadMax: payloadMax))
        #expect(units.map(\.timestamp) == (0..<60).map { Int64($0) * 3000 })
        #expect(units.indices.filter { units[$0].isSync } == [0, 20, 40])
        #expect(units.allSatisfy { ($0.format != nil) == $0.isSync })
        #expect(units.compactMap { $0.format?.pictureSize }.allSatisfy { $0.width == 160 && $0.height == 90 })
        #expect(Set(units.compactMap { $0.format?.codecs }).count == 1)
        #expect(depacketizer.droppedUnits == 0 && !depacketizer.needsKeyframe)
    }

    @Test("a lost packet costs everything up to the next key frame, and nothing else", arguments: codecs, [5, 19, 20, 33])
    func loss(codec: FixtureCodec, picture: Int) throws {
        let packets = Self.packets(codec, payloadMax: 100)
        let mine = packets.filter { $0.unit == picture }
        #expect(!mine.isEmpty)
        for victim in mine {
            let (units, depacketizer) = Self.units(codec, packets, lost: [victim.extendedSequence])
            let resumed = (picture / 20 + 1) * 20
            let expected = (0..<60).filter { $0 < picture || $0 >= resumed }
            #expect(units.map { Int($0.timestamp / 3000) } == expected)
            #expect(depacketizer.droppedUnits > 0)
        }
    }

    @Test("a stream joined in the middle begins with its next key frame", arguments: codecs)
    func joined(codec: FixtureCodec) {
        let packets = Self.packets(codec).filter { $0.unit >= 7 }
        #expect(Self.units(codec, packets).units.first?.timestamp == 60_000)
    }

    @Test("damaged payloads never trap, and key frames say what they are", arguments: codecs, 0..<6 as Range<UInt64>)
    func fuzz(codec: FixtureCodec, seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let packets = Self.packets(codec, payloadMax: 200)
        var depacketizer = codec.depacketizer
        var units: [AccessUnit] = []
        for _ in 0..<6 {
            for packet in packets {
                let dice = Int.random(in: 0..<40, using: &generator)
                if dice == 0 { continue }
                depacketizer.push(
                    dice < 10 ? packet.payload.mutated(by: &generator) : packet.payload, timestamp: Int64(packet.timestamp),
                    marker: packet.marker != (dice == 11), afterLoss: dice == 12, into: &units)
            }
        }
        for unit in units {
            #expect(!unit.data.isEmpty && (unit.format != nil) == unit.isSync)
            guard let size = unit.format?.pictureSize else { continue }
            #expect(size.width > 0 && size.height > 0)
        }
    }

    @Test("what comes out of a damaged stream never breaks the muxer", arguments: codecs.filter { $0 != .vp8 })
    func damagedIntoFile(codec: FixtureCodec) throws {
        var generator = SeededGenerator(seed: 99)
        let packets = Self.packets(codec, payloadMax: 200).map { packet in
            var packet = packet
            if Int.random(in: 0..<30, using: &generator) == 0 { packet.payload = packet.payload.mutated(by: &generator) }
            return packet
        }
        let units = Self.units(codec, packets).units
        for unit in units {
            guard let format = unit.format, let writer = try? FragmentWriter(format: format) else { continue }
            try? writer.append(Sample(data: unit.data, time: 0, duration: 3000, isSync: true))
            _ = writer.flush(beginsSegment: true)
        }
    }

    @Test(
        "as CMAF, every picture with its time, which decoders take without complaint",
        arguments: [
            (FixtureCodec.h264, "h264", "avc1."), (.h265, "hevc", "hvc1.1.6.L"), (.vp9, "vp9", "vp09.00.11.08"),
            (.av1, "av1", "av01.0.00M.08"),
        ])
    func file(codec: FixtureCodec, name: String, codecs: String) throws {
        let units = Self.units(codec, Self.packets(codec)).units
        let format = try #require(units.first?.format)
        #expect(format.codecs.hasPrefix(codecs))
        let writer = try FragmentWriter(format: format)
        #expect(try CMAFCheck.initialization(writer.initSegment, timescale: 90_000) == [])
        var file = writer.initSegment
        for start in [0, 20, 40] {
            for index in start..<start + 20 {
                try writer.append(
                    Sample(data: units[index].data, time: Int64(index) * 3000, duration: 3000, isSync: units[index].isSync))
            }
            let segment = writer.flush(beginsSegment: true)
            let (fragments, broken) = try CMAFCheck.segment(segment, isVideo: true)
            #expect(broken == [] && fragments.map(\.durations.count) == [20])
            file += segment
        }
        let probe = try Probe(file)
        #expect(probe.codec == name && probe.width == 160 && probe.height == 90)
        #expect(probe.packets.map(\.pts) == (0..<60).map { Int64($0) * 3000 })
        #expect(probe.packets.filter(\.isKey).map(\.pts) == [0, 60_000, 120_000])
        #expect(try Probe.decodeErrors(file) == "")
        #expect(try Probe.decodedPictures(file) == 60)
    }

    @Test(
        "the sample entry names the codec and holds its configuration",
        arguments: [
            (FixtureCodec.h264, "avc1", "avcC"), (.h265, "hvc1", "hvcC"), (.vp9, "vp09", "vpcC"), (.av1, "av01", "av1C"),
        ])
    func sampleEntry(codec: FixtureCodec, entry: String, configuration: String) throws {
        let format = try #require(Self.units(codec, Self.packets(codec)).units.first?.format)
        let boxes = try FixtureBox.parse(try FragmentWriter(format: format).initSegment)
        let stsd = try #require(boxes.first("moov")?.first("trak", "mdia", "minf", "stbl", "stsd"))
        let entries = try FixtureBox.parse(Array(stsd.body.dropFirst(8)))
        #expect(entries.map(\.type) == [entry])
        let inner = try FixtureBox.parse(Array(try #require(entries.first).body.dropFirst(78)))
        let record = try #require(inner.first(configuration))
        switch format {
        case .h264(let format): #expect(record.body == format.decoderConfiguration)
        case .h265(let format): #expect(record.body == format.decoderConfiguration)
        case .av1(let format): #expect(record.body == format.decoderConfiguration)
        case .vp9(let format):
            // Full box version 1, profile, level, bit depth with chroma and range, unspecified colours.
            #expect(Array(record.body.prefix(6)) == [1, 0, 0, 0, 0, UInt8(format.level)])
            #expect(record.body[6] >> 4 == 8 && Array(record.body[7..<10]) == [2, 2, 2])
        case .vp8, .opus, .multiopus, .aac: Issue.record("no such format")
        }
    }

    @Test(
        "reordered pictures keep their presentation times with negative offsets", arguments: [FixtureCodec.h264, .h265], [1, 3])
    func reordered(codec: FixtureCodec, bFrames: Int) throws {
        let (pictures, order) = try SyntheticMedia.reordered(codec, frames: 60, gop: 30, bFrames: bFrames)
        #expect(pictures.count == 60 && order.count == 60 && order != Array(0..<60))
        var packetizer = FixturePacketizer(extendedSequence: 0, codec: codec)
        let packets = pictures.enumerated().flatMap {
            packetizer.picture($0.element, timestamp: UInt32(order[$0.offset] * 3000), unit: $0.offset)
        }
        let units = Self.units(codec, packets).units
        #expect(units.count == 60)
        let format = try #require(units.first?.format)
        #expect((1...4).contains(format.reorderedSamplesMax ?? -1))
        let writer = try FragmentWriter(format: format)
        for (index, unit) in units.enumerated() {
            let time = Int64(index) * 3000
            try writer.append(
                Sample(
                    data: unit.data, time: time, compositionOffset: unit.timestamp - time, duration: 3000, isSync: unit.isSync))
        }
        let segment = writer.flush(beginsSegment: true)
        let (fragments, broken) = try CMAFCheck.segment(segment, isVideo: true)
        #expect(broken == [] && fragments.first?.time == 0)
        #expect(fragments.first?.presentationTimes == order.map { Int64($0) * 3000 })
        let probe = try Probe(writer.initSegment + segment)
        #expect(probe.presentationTimes == order.map { Int64($0) * 3000 })
        #expect(probe.packets.map(\.dts) == (0..<60).map { Int64($0) * 3000 })
        #expect(try Probe.decodeErrors(writer.initSegment + segment) == "")
        #expect(try Probe.decodedPictures(writer.initSegment + segment) == 60)
    }

    @Test("offsets are refused where the bitstream says that there are none, and at the first sample")
    func refusedOffsets() throws {
        let format = try #require(Self.units(.h264, Self.packets(.h264)).units.first?.format)
        #expect(format.reorderedSamplesMax == 0)
        let writer = try FragmentWriter(format: format)
        try writer.append(Sample(data: [0, 0, 0, 2, 0x65, 0x88], time: 0, duration: 3000, isSync: true))
        #expect(throws: FragmentWriterError.unsupported) {
            try writer.append(
                Sample(data: [0, 0, 0, 2, 0x41, 0x9A], time: 3000, compositionOffset: -1, duration: 3000, isSync: false))
        }
    }
}
