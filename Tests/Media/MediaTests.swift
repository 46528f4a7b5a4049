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

    @Test("surround sound has the table of its streams, and its silence is silent", arguments: 3...8)
    func surround(channels: Int) throws {
        let layout = try #require(OpusLayout(surround: channels))
        let format = TrackFormat.multiopus(layout)
        let writer = try FragmentWriter(format: format)
        #expect(try CMAFCheck.initialization(writer.initSegment, timescale: 48_000) == [])
        let table = [1, UInt8(layout.streams), UInt8(layout.coupled)] + layout.mapping
        let entry = try #require(writer.initSegment.firstRange(of: Array("dOps".utf8)))
        let box = writer.initSegment[entry.upperBound...].prefix(11 + 2 + channels)
        #expect(box[box.startIndex + 1] == UInt8(channels) && Array(box.dropFirst(10)) == table)
        let silence = try #require(format.silence)
        #expect(OpusPacket.duration(of: silence.data) == silence.duration)
        for index in 0..<20 {
            try writer.append(
                Sample(data: silence.data, time: Int64(index) * silence.duration, duration: silence.duration, isSync: true))
        }
        let file = writer.initSegment + writer.flush(beginsSegment: true)
        #expect(try Probe.decodeErrors(file) == "")
        let samples = try Sound.decode(file)
        #expect(samples.count >= 18 * 960 && samples.allSatisfy { $0 == 0 })
    }

    @Test("what multiopus says about itself (RFC 7845 section 5.1.1)")
    func layouts() throws {
        let chrome = "channel_mapping=0,4,1,2,3,5; coupled_streams=2; minptime=10; num_streams=4; useinbandfec=1"
        #expect(OpusLayout(fmtp: chrome, channels: 6) == OpusLayout(surround: 6))
        #expect(
            OpusLayout(fmtp: "num_streams=1;coupled_streams=1;channel_mapping=1,0,255", channels: 3)?.mapping == [1, 0, 255])
        for wrong in [
            "", "num_streams=4;coupled_streams=2", "num_streams=4;coupled_streams=5;channel_mapping=0,4,1,2,3,5",
            "num_streams=0;coupled_streams=0;channel_mapping=0,4,1,2,3,5",
            "num_streams=4;coupled_streams=2;channel_mapping=0,4,1,2,3",
            "num_streams=4;coupled_streams=2;channel_mapping=0,4,1,2,3,6",
            "num_streams=4;coupled_streams=2;channel_mapping=0,4,,2,3,5",
            "num_streams=4;coupled_streams=2;channel_mapping=0,4,1,2,3,-5",
            "num_streams=9;coupled_streams=2;channel_mapping=0,4,1,2,3,5",
        ] {
            #expect(OpusLayout(fmtp: wrong, channels: 6) == nil, "\(wrong)")
        }
        #expect(OpusLayout(surround: 2) == nil && OpusLayout(surround: 9) == nil)
    }

    @Test("damaged descriptions of surround sound make no layout that can't be written", arguments: 0..<4 as Range<UInt64>)
    func mutatedLayouts(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let whole = Array("channel_mapping=0,4,1,2,3,5;coupled_streams=2;num_streams=4".utf8)
        for _ in 0..<500 {
            let text = String(decoding: whole.mutated(by: &generator), as: UTF8.self)
            guard let layout = OpusLayout(fmtp: text, channels: 6) else { continue }
            #expect(layout.channels == 6 && layout.mapping.allSatisfy { Int($0) < layout.streams + layout.coupled || $0 == 255 })
            #expect(OpusPacket.duration(of: layout.silence) == OpusPacket.silenceDuration)
        }
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

    @Test("fragments of any shape say what was put into them", arguments: 0..<6 as Range<UInt64>)
    func shapes(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let units = units(
            try SyntheticMedia.h264(frames: 2, gop: 2, size: "320x180", bFrames: seed % 2 == 0 ? 0 : 2, profile: "high"))
        let format = try #require(units.first?.format)
        let writer = try FragmentWriter(format: format)
        var time = Int64.random(in: 0...1 << 40, using: &generator)
        for round in 0..<20 {
            let count = Int.random(in: 1...40, using: &generator)
            let (isUneven, isSound) = (Bool.random(using: &generator), Bool.random(using: &generator))
            let mayReorder = format.reorderedSamplesMax != 0
            let samples = (0..<count).map { index in
                let offset = mayReorder && (round > 0 || index > 0) ? Int64.random(in: -9000...9000, using: &generator) : 0
                let sample = Sample(
                    data: [UInt8](repeating: UInt8(index), count: Int.random(in: 1...3000, using: &generator)), time: time,
                    compositionOffset: offset, duration: isUneven ? Int64.random(in: 1...90_000, using: &generator) : 3000,
                    isSync: index == 0 || isSound || Int.random(in: 0..<9, using: &generator) == 0)
                time += sample.duration
                return sample
            }
            for sample in samples { try writer.append(sample) }
            let fragment = try #require(writer.finish(beginsSegment: true))
            #expect(fragment.bytes.count == fragment.count && fragment.media == samples.flatMap(\.data))
            #expect(fragment.time == samples.first?.time && fragment.duration == samples.reduce(0) { $0 + $1.duration })
            #expect(fragment.startsWithSync == samples.first?.isSync)
            let (found, broken) = try CMAFCheck.segment(fragment.bytes, isVideo: true)
            #expect(broken.filter { !$0.contains("sync") && !$0.contains("shown") } == [])
            let read = try #require(found.first)
            #expect(found.count == 1 && read.time == fragment.time)
            #expect(read.durations == samples.map(\.duration))
            #expect(read.sizes == samples.map { Int64($0.data.count) })
            #expect(read.offsets == samples.map(\.compositionOffset))
            #expect(read.flags == samples.map { $0.isSync ? 0x0200_0000 : 0x0101_0000 })
            let scan = FragmentScanner(fragment.bytes)
            #expect(scan.wholeBytes == fragment.count && scan.fragments.first?.duration == fragment.duration)
            #expect(scan.fragments.first?.startsWithSync == fragment.startsWithSync && scan.fragments.first?.samples == count)
        }
        #expect(writer.finish(beginsSegment: false) == nil)
        #expect(throws: FragmentWriterError.unsupported) {
            try writer.append(Sample(data: [1], time: time, duration: 1 << 32, isSync: true))
        }
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
