import Testing

@testable import MediaPlane

/// Writes packets of redundant audio data.
enum RED {
    /// - Parameter older: blocks before the primary one, the oldest first, each with how many ticks earlier it is.
    static func packet(_ primary: [UInt8], older: [(ticks: Int, bytes: [UInt8])] = [], payloadType: UInt8 = 111) -> [UInt8] {
        let headers = older.flatMap { block in
            let word = block.ticks << 10 | block.bytes.count
            return [0x80 | payloadType, UInt8(word >> 16 & 0xFF), UInt8(word >> 8 & 0xFF), UInt8(word & 0xFF)]
        }
        return headers + [payloadType] + older.flatMap(\.bytes) + primary
    }
}

@Suite("Redundant audio data (RFC 2198)")
struct RedundantAudioTests {
    struct Sample: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let bytes: [UInt8]
        var payloadType: UInt8? = 111
        /// Nil for what is no packet of blocks.
        var primary: [UInt8]?
    }

    static let samples = [
        Sample(testDescription: "primary alone", bytes: [111, 7, 8], primary: [7, 8]),
        Sample(testDescription: "one older", bytes: RED.packet([9], older: [(960, [1, 2])]), primary: [9]),
        Sample(
            testDescription: "two older", bytes: RED.packet([9, 9], older: [(1920, [1]), (960, [2, 3])]), primary: [9, 9]),
        Sample(testDescription: "an older one of no length", bytes: RED.packet([9], older: [(960, [])]), primary: [9]),
        Sample(
            testDescription: "eight older", bytes: RED.packet([9], older: Array(repeating: (960, [1]), count: 8)), primary: [9]),
        Sample(testDescription: "nine older", bytes: RED.packet([9], older: Array(repeating: (960, [1]), count: 9))),
        Sample(testDescription: "empty", bytes: []),
        Sample(testDescription: "a header alone", bytes: [111]),
        Sample(testDescription: "no last header", bytes: [0x80 | 111, 0x0F, 0, 0]),
        Sample(testDescription: "a header cut off", bytes: [0x80 | 111, 0x0F, 0]),
        Sample(testDescription: "an older one past the end", bytes: [0x80 | 111, 0x0F, 0x03, 0xFF, 111, 1, 2]),
        Sample(testDescription: "nothing left for the primary", bytes: [0x80 | 111, 0x0F, 0x00, 0x02, 111, 1, 2]),
        Sample(testDescription: "another codec", bytes: RED.packet([9], older: [(960, [1])], payloadType: 0)),
        Sample(testDescription: "another codec before", bytes: [0x80 | 0, 0x0F, 0x00, 0x01, 111, 1, 2]),
        Sample(
            testDescription: "whatever codec", bytes: [0x80 | 0, 0x0F, 0x00, 0x01, 111, 1, 2], payloadType: nil, primary: [2]),
        Sample(testDescription: "headers without end", bytes: [UInt8](repeating: 0xFF, count: 1200), payloadType: nil),
    ]

    @Test("the primary block is what follows all others, or the packet is refused", arguments: samples)
    func primary(_ sample: Sample) {
        let blocks = RedundantAudio(sample.bytes.span, payloadType: sample.payloadType)
        let found = blocks.map { Array(sample.bytes[$0.primaryOffset..<($0.primaryOffset + $0.primaryCount)]) }
        #expect(found == sample.primary)
    }

    @Test("older blocks are found by how many packets back they are")
    func older() throws {
        let bytes = RED.packet([9, 9, 9], older: [(1920, [1]), (960, [2, 3])])
        let found = RedundantAudio(bytes.span, payloadType: 111)
        let blocks = try #require(found)
        #expect(blocks.olderCount == 2)
        let (last, first) = (blocks.older(1, in: bytes.span), blocks.older(2, in: bytes.span))
        #expect(last.ticks == 960 && Array(bytes[last.offset..<(last.offset + last.count)]) == [2, 3])
        #expect(first.ticks == 1920 && Array(bytes[first.offset..<(first.offset + first.count)]) == [1])
    }

    @Test("damaged packets never lead outside of themselves", arguments: 0..<8)
    func damaged(seed: Int) {
        var random = Mutator.Random(seed: UInt64(seed))
        let whole = RED.packet([UInt8](repeating: 5, count: 40), older: [(1920, [1, 1, 1]), (960, [2, 2])])
        for _ in 0..<2000 {
            var bytes = Array(whole.prefix(Int.random(in: 0...whole.count, using: &random)))
            for _ in 0..<3 where !bytes.isEmpty {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: .min ... .max, using: &random)
            }
            guard let blocks = RedundantAudio(bytes.span, payloadType: nil) else { continue }
            #expect(blocks.primaryCount > 0 && blocks.primaryOffset + blocks.primaryCount == bytes.count)
            for back in 0..<blocks.olderCount {
                let block = blocks.older(back + 1, in: bytes.span)
                #expect(block.offset > 0 && block.count >= 0 && block.offset + block.count <= blocks.primaryOffset)
            }
        }
    }
}
