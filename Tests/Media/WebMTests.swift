import MediaFixtures
import TestThreads
import Testing

@testable import Media

@Suite("VP8 in WebM (RFC 9559, WebM container guidelines)", .offThePool)
struct WebMTests {
    private static func units(frames: Int) throws -> [AccessUnit] {
        var depacketizer = VP8Depacketizer()
        var packetizer = FixturePacketizer(extendedSequence: 0, codec: .vp8)
        var units: [AccessUnit] = []
        for (index, picture) in try SyntheticMedia.pictures(.vp8, frames: frames, gop: 30).enumerated() {
            for packet in packetizer.picture(picture, timestamp: UInt32(index * 3000), unit: index) {
                depacketizer.push(
                    packet.payload, timestamp: Int64(packet.timestamp), marker: packet.marker, afterLoss: false, into: &units)
            }
        }
        return units
    }

    /// Head and segments of 30 pictures in chunks of ten.
    private static let file = Result {
        let units = try Self.units(frames: 90)
        let writer = try ClusterWriter(format: try #require(units.first?.format))
        var segments: [[UInt8]] = []
        for start in [0, 30, 60] {
            var segment: [UInt8] = []
            for index in start..<start + 30 {
                try writer.append(
                    Sample(data: units[index].data, time: Int64(index) * 3000, duration: 3000, isSync: units[index].isSync))
                if index % 10 == 9 { segment += writer.flush(beginsSegment: index % 30 == 9) }
            }
            segments.append(segment)
        }
        return (head: writer.initSegment, segments: segments)
    }

    @Test("head and segments joined are a file that decoders take without complaint, every picture at its time")
    func whole() throws {
        let (head, segments) = try Self.file.get()
        let file = head + segments.flatMap(\.self)
        let probe = try Probe(file)
        #expect(probe.codec == "vp8" && probe.width == 160 && probe.height == 90)
        let milliseconds = (0..<90 as Range<Int64>).map { ($0 * 100 + 1) / 3 }
        #expect(probe.packets.map(\.pts) == milliseconds)
        #expect(probe.packets.indices.filter { probe.packets[$0].isKey } == [0, 30, 60])
        #expect(try Probe.decodeErrors(file) == "")
        #expect(try Probe.decodedPictures(file) == 90)
        // Any segment plays behind the head alone.
        #expect(try Probe.decodedPictures(head + segments[1]) == 30)
    }

    @Test("a torn segment is whole up to its last Cluster, wherever it is cut")
    func torn() throws {
        let segment = try Self.file.get().segments[1]
        let whole = FragmentScanner(segment)
        #expect(whole.wholeBytes == segment.count && whole.fragments.map(\.samples) == [10, 10, 10])
        #expect(whole.fragments.map(\.startsWithSync) == [true, false, false])
        #expect(whole.extent?.time == 90_000 && whole.extent?.duration == 90_000)
        let ends = whole.fragments.map { $0.offset + $0.bytes }
        for cut in 0..<segment.count {
            let scan = FragmentScanner(Array(segment.prefix(cut)))
            #expect(scan.wholeBytes == ends.last { $0 <= cut } ?? 0)
        }
    }

    @Test("a long pause begins another Cluster, because a block's time has 16 bits")
    func pause() throws {
        let units = try Self.units(frames: 2)
        let writer = try ClusterWriter(format: try #require(units.first?.format))
        try writer.append(Sample(data: units[0].data, time: 0, duration: 90_000 * 40, isSync: true))
        try writer.append(Sample(data: units[1].data, time: 90_000 * 40, duration: 3000, isSync: false))
        let scan = FragmentScanner(writer.flush(beginsSegment: true))
        #expect(scan.fragments.map(\.time) == [0, 90_000 * 40])
        #expect(writer.flush(beginsSegment: false) == [])
    }

    @Test("a sample that does not continue, and what is not VP8, is refused")
    func refused() throws {
        let units = try Self.units(frames: 1)
        let writer = try ClusterWriter(format: try #require(units.first?.format))
        try writer.append(Sample(data: [1], time: 0, duration: 10, isSync: true))
        #expect(throws: FragmentWriterError.discontinuous(expected: 10, got: 11)) {
            try writer.append(Sample(data: [1], time: 11, duration: 10, isSync: true))
        }
        #expect(throws: FragmentWriterError.unsupported) { try ClusterWriter(format: .opus(channels: 2)) }
        #expect(throws: FragmentWriterError.unsupported) { try FragmentWriter(format: try #require(units.first?.format)) }
    }

    @Test("mutated segments never trap the scanner", arguments: 0..<8 as Range<UInt64>)
    func fuzz(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let segment = Array(try Self.file.get().segments[0].prefix(3000))
        for _ in 0..<300 {
            let damaged = [0x1F, 0x43, 0xB6, 0x75] + Array(segment.dropFirst(4)).mutated(by: &generator)
            let scan = FragmentScanner(damaged)
            #expect(scan.wholeBytes <= damaged.count)
            _ = scan.extent
        }
    }
}
