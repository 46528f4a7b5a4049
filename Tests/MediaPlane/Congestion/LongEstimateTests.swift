import Testing

@testable import MediaPlane

/// A viewer's feedback on a slow, steady stream, by the clock that the test turns.
private struct SteadyFeedback: ~Copyable {
    var estimator = BandwidthEstimator()
    private var feedback = TransportFeedback()
    private let scratch = UnsafeMutableRawPointer.allocate(byteCount: 1500, alignment: 16)
    private(set) var now: UInt64 = 5_000_000_000
    private(set) var packets = 0
    /// Numbers given that are not the next.
    private(set) var faults = 0
    private var last: UInt16 = 0

    static let packetBytes = 1000
    static let intervalNs: UInt64 = 250_000_000

    deinit { scratch.deallocate() }

    /// - Parameter growthNs: by how much each packet takes longer than the one before it.
    mutating func run(seconds: Int, growthNs: UInt64 = 0) {
        var delayNs: UInt64 = 20_000_000
        for step in 0..<seconds * 4 {
            now += Self.intervalNs
            _ = estimator.handleTimeout(now: now)
            let number = estimator.sent(bytes: Self.packetBytes, now: now)
            if packets > 0, number != last &+ 1 { faults += 1 }
            last = number
            packets += 1
            delayNs += growthNs
            feedback.record(number, arrivalNs: now + delayNs)
            if step % 4 == 3 { tell() }
        }
    }

    private mutating func tell() {
        var writer = RTCPWriter(scratch)
        guard feedback.write(to: &writer, sender: 1, media: 2, now: now) else { return }
        let bytes = writer.bytes.bindMemory(to: UInt8.self).span
        var reader = RTCPReader()
        while let part = reader.next(in: bytes) {
            guard let header = FeedbackHeader(part, in: bytes) else { continue }
            _ = estimator.receive(header, in: bytes, rttNs: 40_000_000, now: now)
        }
    }
}

@Suite("Estimates over a day of injected time")
struct LongEstimateTests {
    @Test("a steady path keeps its estimate over every wrap of the numbers, and a queue is still noticed at the end")
    func day() {
        var path = SteadyFeedback()
        var estimates: [UInt64] = []
        for _ in 0..<24 {
            path.run(seconds: 3600)
            estimates.append(path.estimator.bitsPerSecond)
        }
        let (packets, faults) = (path.packets, path.faults)
        #expect(packets == 24 * 3600 * 4 && packets >> 16 >= 5 && faults == 0)
        let sent = UInt64(4 * 8 * SteadyFeedback.packetBytes)
        #expect(estimates.allSatisfy { $0 >= sent && $0 < 100 * sent }, "\(estimates)")
        #expect(Set(estimates.suffix(20)).count == 1, "\(estimates)")
        let before = path.estimator.bitsPerSecond
        path.run(seconds: 10, growthNs: 30_000_000)
        let after = path.estimator.bitsPerSecond
        #expect(after < before)
    }
}
