import Media
import MediaFixtures
import TestThreads
import Testing

@testable import Record

@Suite("Decoding times of pictures that come in decoding order (H.264 C.4, ISO/IEC 23000-19 7.3.2)")
struct PictureOrderTests {
    private static let baseline = try? format(bFrames: 0)
    private static let reordered = try? format(bFrames: 3)

    private static func format(bFrames: Int) throws -> TrackFormat? {
        let picture = try SyntheticMedia.reordered(.h264, frames: 8, size: "64x64", bFrames: bFrames).pictures[0]
        var depacketizer = H264Depacketizer()
        var units: [AccessUnit] = []
        var packetizer = FixturePacketizer(extendedSequence: 0)
        for packet in packetizer.picture(picture, timestamp: 0, unit: 0) {
            depacketizer.push(packet.payload, timestamp: 0, marker: packet.marker, afterLoss: false, into: &units)
        }
        return units.first?.format
    }

    private static func unit(_ timestamp: Int64, _ format: TrackFormat? = nil) -> AccessUnit {
        AccessUnit(timestamp: timestamp, data: [1], isSync: format != nil, format: format)
    }

    /// Presentation and decoding times of what comes out.
    private func run(_ units: [AccessUnit]) -> [(Int64, Int64)] {
        var order = PictureOrder()
        var out: [(Int64, Int64)] = []
        for unit in units {
            order.push(unit)
            while let placed = order.pop() { out.append((placed.timestamp, placed.decodingTime)) }
        }
        while let placed = order.pop(all: true) { out.append((placed.timestamp, placed.decodingTime)) }
        #expect(zip(out, out.dropFirst()).allSatisfy { $0.1 < $1.1 }, "decoding times rise")
        return out
    }

    @Test("without reordering nothing is held back and both times are the same")
    func plain() {
        var order = PictureOrder()
        for index in 0..<50 as Range<Int64> {
            order.push(Self.unit(index * 3000, index % 25 == 0 ? Self.baseline : nil))
            let placed = order.pop()
            #expect(placed?.timestamp == index * 3000 && placed?.decodingTime == index * 3000)
            #expect(order.pop() == nil)
        }
    }

    @Test("the n-th picture is decoded when the n-th earliest is shown, from the first one on")
    func pyramid() {
        let shown: [Int64] = [0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11]
        let out = run(shown.map { Self.unit($0 * 3000, $0 == 0 ? Self.reordered : nil) })
        #expect(out.map(\.0) == shown.map { $0 * 3000 })
        #expect(out.map(\.1) == (0..<13).map { $0 * 3000 })
    }

    @Test("what a bitstream does not tell is learnt, and nothing gets lost meanwhile")
    func learnt() {
        let shown: [Int64] = [0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11, 16, 14, 13, 15, 20, 18, 17, 19]
        let out = run(shown.map { Self.unit($0 * 3000) })
        #expect(out.map(\.0) == shown.map { $0 * 3000 })
        #expect(out.suffix(8).map(\.1) == (13..<21).map { $0 * 3000 })
    }

    @Test("a sender's slip moves one picture, and only its own time", arguments: [1, 2, 5, 14])
    func slip(back: Int64) {
        for format in [Self.baseline, Self.reordered] {
            let units = (0..<60 as Range<Int64>).map {
                Self.unit(($0 == 30 ? $0 - back : $0) * 3000, $0 % 20 == 0 ? format : nil)
            }
            let out = run(units)
            #expect(out.count == 60)
            for index in out.indices where index != 30 { #expect(out[index].0 == Int64(index) * 3000) }
            #expect(abs(out[30].0 - 29 * 3000) <= 1)
        }
    }

    @Test("any order comes out whole, with times that rise", arguments: 0..<20 as Range<UInt64>)
    func anything(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let units = (0..<300 as Range<Int64>).map { index in
            let isSync = Int.random(in: 0..<20, using: &generator) == 0
            let format = [Self.baseline, Self.reordered, nil].randomElement(using: &generator) ?? nil
            return Self.unit(
                index * 3000 + Int64.random(in: -60_000...60_000, using: &generator), isSync ? format : nil)
        }
        #expect(run(units).count == 300)
    }
}
