import MediaFixtures
import TestThreads
import Testing

@testable import Media

@Suite("CMAF fragments through libavformat (ISO/IEC 23000-19)", .offThePool)
struct FragmentWriterTests {
    private func units(_ pictures: [SyntheticMedia.Picture]) -> [AccessUnit] {
        var depacketizer = H264Depacketizer()
        var packetizer = FixturePacketizer(extendedSequence: 7)
        var units: [AccessUnit] = []
        for (index, picture) in pictures.enumerated() {
            for packet in packetizer.picture(picture, timestamp: UInt32(index * 3000), unit: index) {
                depacketizer.push(
                    packet.payload, timestamp: Int64(packet.timestamp), marker: packet.marker, afterLoss: false, into: &units)
            }
        }
        return units
    }

    @Test(
        "video written in chunks keeps every picture, flag and time", arguments: [("baseline", "320x180"), ("high", "322x182")])
    func video(profile: String, size: String) throws {
        let units = units(try SyntheticMedia.h264(frames: 90, gop: 30, size: size, profile: profile))
        #expect(units.count == 90)
        let format = try #require(units.first?.format)
        let writer = try FragmentWriter(format: format)
        let rules = try CMAFCheck.initialization(writer.initSegment, timescale: 90_000)
        #expect(rules == [])

        var file = writer.initSegment
        var end: Int64 = 0
        for gop in 0..<3 {
            var segment = FragmentWriter.segmentType
            for index in gop * 30..<gop * 30 + 30 {
                try writer.append(
                    Sample(data: units[index].data, time: Int64(index) * 3000, duration: 3000, isSync: units[index].isSync))
                if index % 10 == 9 { segment += writer.flush() }
            }
            let (fragments, broken) = try CMAFCheck.segment(segment, isVideo: true)
            #expect(broken == [])
            #expect(fragments.map(\.durations.count) == [10, 10, 10])
            #expect(fragments.first?.time == end)
            end = fragments.last?.end ?? -1
            let scan = FragmentScanner(segment)
            #expect(scan.wholeBytes == segment.count)
            #expect(scan.extent?.time == Int64(gop) * 90_000 && scan.extent?.duration == 90_000)
            #expect(scan.fragments.first?.startsWithSync == true)
            file += segment
        }
        let probe = try Probe(file)
        #expect(probe.packets.count == 90)
        #expect(probe.packets.map(\.dts) == (0..<90).map { Int64($0) * 3000 })
        #expect(probe.packets.filter(\.isKey).map(\.pts) == [0, 90_000, 180_000])
        #expect("\(probe.width)x\(probe.height)" == size && format.pictureSize.map { "\($0.width)x\($0.height)" } == size)
        #expect(try Probe.decodeErrors(file) == "")
    }

    @Test("sound has the Opus entry and its own clock, starting anywhere")
    func sound() throws {
        let packets = try SyntheticMedia.opus(packets: 100)
        let writer = try FragmentWriter(format: .opus(channels: 2))
        let rules = try CMAFCheck.initialization(writer.initSegment, timescale: 48_000)
        #expect(rules == [])
        let start: Int64 = 1 << 33
        var segment = FragmentWriter.segmentType
        for (index, packet) in packets.enumerated() {
            let duration = try #require(OpusPacket.duration(of: packet))
            try writer.append(Sample(data: packet, time: start + Int64(index) * 960, duration: duration, isSync: true))
        }
        segment += writer.flush()
        let (fragments, broken) = try CMAFCheck.segment(segment, isVideo: false)
        #expect(broken == [])
        #expect(fragments.map(\.time) == [start])
        #expect(fragments.first?.end == start + 96_000)
        #expect(try Probe(writer.initSegment + segment).packets.count == 100)
    }

    @Test("a sample that does not continue is refused")
    func continuity() throws {
        let writer = try FragmentWriter(format: .opus(channels: 1))
        let silence = OpusPacket.silence(channels: 1)
        try writer.append(Sample(data: silence, time: 0, duration: 960, isSync: true))
        #expect(throws: FragmentWriterError.discontinuous(expected: 960, got: 961)) {
            try writer.append(Sample(data: silence, time: 961, duration: 960, isSync: true))
        }
        #expect(throws: FragmentWriterError.discontinuous(expected: 960, got: 960)) {
            try writer.append(Sample(data: silence, time: 960, duration: 0, isSync: true))
        }
        #expect(throws: FragmentWriterError.unsupported) { try FragmentWriter(format: .opus(channels: 6)) }
    }

    @Test("a torn segment is whole up to its last fragment, wherever it is cut")
    func torn() throws {
        let writer = try FragmentWriter(format: .opus(channels: 2))
        var segment = FragmentWriter.segmentType
        var ends = [segment.count]
        for index in 0..<9 {
            try writer.append(
                Sample(data: OpusPacket.silence(channels: 2), time: Int64(index) * 960, duration: 960, isSync: true))
            if index % 3 == 2 {
                segment += writer.flush()
                ends.append(segment.count)
            }
        }
        for cut in 0...segment.count {
            let scan = FragmentScanner(Array(segment.prefix(cut)))
            #expect(scan.wholeBytes == ends.last { $0 <= cut } ?? 0)
            #expect(scan.fragments.count == ends.filter { $0 <= cut }.count - (cut >= 24 ? 1 : 0))
        }
    }

    @Test("mutated segments never trap the scanner", arguments: 0..<8 as Range<UInt64>)
    func fuzz(seed: UInt64) throws {
        let writer = try FragmentWriter(format: .opus(channels: 2))
        for index in 0..<5 {
            try writer.append(
                Sample(data: OpusPacket.silence(channels: 2), time: Int64(index) * 960, duration: 960, isSync: true))
        }
        let segment = FragmentWriter.segmentType + writer.flush()
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<500 {
            let damaged = segment.mutated(by: &generator)
            let scan = FragmentScanner(damaged)
            #expect(scan.wholeBytes <= damaged.count)
            _ = scan.extent
        }
    }
}
