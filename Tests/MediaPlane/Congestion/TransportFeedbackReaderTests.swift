import Testing

@testable import MediaPlane

@Suite("Reading transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1)")
struct TransportFeedbackReaderTests {
    typealias Status = TransportFeedbackReader.Status

    /// A whole RTCP packet around a feedback body.
    private static func packet(_ items: [UInt8]) -> [UInt8] {
        let words = UInt16(2 + items.count / 4)
        return [0x8F, 205, UInt8(words >> 8), UInt8(words & 0xFF), 0, 0, 0, 1, 0, 0, 0, 2] + items
    }

    private static func read(_ packet: [UInt8]) -> (reader: TransportFeedbackReader, told: [Status])? {
        let bytes = packet.span
        var walk = RTCPReader()
        guard let part = walk.next(in: bytes), let header = FeedbackHeader(part, in: bytes),
            let reader = TransportFeedbackReader(header, in: bytes)
        else { return nil }
        var copy = reader
        var told: [Status] = []
        while let status = copy.next(in: bytes) { told.append(status) }
        return (reader, told)
    }

    struct Vector: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let items: [UInt8]
        let told: [Status]
    }

    static let vectors = [
        Vector(
            testDescription: "a run of small deltas", items: [0, 5, 0, 2, 0, 0, 1, 9, 0x20, 2, 4, 8],
            told: [.received(quarterMs: 4), .received(quarterMs: 12)]),
        Vector(
            testDescription: "a run of losses", items: [0, 5, 0, 3, 0, 0, 1, 9, 0x00, 3, 0, 0],
            told: [.lost, .lost, .lost]),
        Vector(
            testDescription: "fourteen bits, of which three count", items: [0, 5, 0, 3, 0, 0, 1, 9, 0xA8, 0, 1, 2],
            told: [.received(quarterMs: 1), .lost, .received(quarterMs: 3)]),
        Vector(
            testDescription: "seven pairs with a delta below zero",
            items: [0, 5, 0, 3, 0, 0, 1, 9, 0xD8, 0, 8, 0xFF, 0xFE, 0, 0, 0],
            told: [.received(quarterMs: 8), .received(quarterMs: 6), .lost]),
        Vector(
            testDescription: "deltas that are missing end it", items: [0, 5, 0, 6, 0, 0, 1, 9, 0x20, 6, 1, 1],
            told: [.received(quarterMs: 1), .received(quarterMs: 2)]),
        Vector(
            testDescription: "a reserved symbol ends it", items: [0, 5, 0, 2, 0, 0, 1, 9, 0xDC, 0, 1, 1],
            told: [.received(quarterMs: 1)]),
    ]

    @Test("golden vectors", arguments: vectors)
    func golden(vector: Vector) throws {
        let read = try #require(Self.read(Self.packet(vector.items)))
        #expect(read.told == vector.told)
        #expect(read.reader.base == 5)
        #expect(read.reader.reference == 1)
        #expect(read.reader.number == 9)
    }

    @Test(
        "what claims more than it tells, or than anybody remembers, is none",
        arguments: [
            [0, 5, 0, 0, 0, 0, 1, 9], [0, 5, 0xFF, 0xFF, 0, 0, 1, 9, 0x1F, 0xFF, 0x1F, 0xFF],
            [0, 5, 0, 9, 0, 0, 1, 9, 0x20, 8, 0x20, 0], [0, 5, 0, 9, 0, 0, 1, 9, 0, 0, 0, 0], [0, 5, 0, 9],
            [0, 5, 0xFF, 0xFF, 0, 0, 1, 9] + [UInt8](repeating: 0x1F, count: 20),
        ] as [[UInt8]])
    func refused(items: [UInt8]) {
        #expect(Self.read(Self.packet(items)) == nil)
    }

    @Test("damaged messages never tell of more packets than they claim, nor upset an estimator", arguments: 0..<4)
    func damaged(seed: UInt64) {
        var mutator = Mutator(seed: seed)
        var estimator = BandwidthEstimator()
        var now: UInt64 = 1_000_000_000
        for round in 0..<3000 {
            now += 20_000_000
            for _ in 0..<3 { _ = estimator.sent(bytes: 1200, now: now) }
            estimator.want(UInt64(round % 2) * 2_000_000)
            let padding = estimator.handleTimeout(now: now)
            #expect(padding < 200_000)
            var items = Self.vectors[round % Self.vectors.count].items
            let base = UInt16(truncatingIfNeeded: 3 * round)
            (items[0], items[1]) = (UInt8(base >> 8), UInt8(base & 0xFF))
            let bytes = mutator.mutate(Self.packet(items))
            let span = bytes.span
            var walk = RTCPReader()
            guard let part = walk.next(in: span), let header = FeedbackHeader(part, in: span) else { continue }
            if let read = Self.read(bytes) { #expect(read.told.count <= read.reader.count) }
            _ = estimator.receive(header, in: span, rttNs: 50_000_000, now: now)
            let estimate = estimator.bitsPerSecond
            #expect(estimate >= UInt64(RateControl.minimum) && estimate <= UInt64(RateControl.maximum))
        }
    }

    @Test("more messages than an honest viewer sends aren't read")
    func flood() {
        var estimator = BandwidthEstimator()
        let bytes = Self.packet(Self.vectors[0].items)
        let span = bytes.span
        var walk = RTCPReader()
        guard let part = walk.next(in: span), let header = FeedbackHeader(part, in: span) else {
            Issue.record("not a feedback packet")
            return
        }
        var taken = 0
        for _ in 0..<1000 where estimator.receive(header, in: span, rttNs: 0, now: 9_000_000_000) { taken += 1 }
        #expect(taken == 100)
        let isTakenLater = estimator.receive(header, in: span, rttNs: 0, now: 10_000_000_000)
        #expect(isTakenLater)
    }
}
