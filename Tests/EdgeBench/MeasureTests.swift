import MediaPlane
import Testing

@testable import EdgeBench
@testable import SampleMedia

@Suite("edge-bench: delay stamps in pictures (H.264 D.1.7), percentiles, and what counts from when")
struct MeasureTests {
    private static let slice: [UInt8] = [0x41] + [UInt8](repeating: 7, count: 5000)

    private static func time(_ payload: [UInt8]) -> UInt64? { payload.withUnsafeBytes { DelayStamp.time(in: $0) } }

    @Test(
        "a stamp survives packets, alone and aggregated with parameter sets", arguments: [0, 1, 1_700_000_000_123_456_789, .max])
    func stamps(ns: UInt64) {
        for units in [[Self.slice], [[0x67, 1, 2], [0x68, 3], [0x65] + Self.slice], [[0x41, 9, 9]]] {
            let stamped = DelayStamp.stamped(units, ns: ns)
            #expect(stamped.count == units.count + 1 && stamped.filter { $0[0] & 0x1F != 6 } == units)
            let payloads = H264Packetizer.payloads(stamped, limit: 1160)
            #expect(payloads.compactMap(Self.time) == [ns])
            // Only the first packet can have it: what came before it is told by nothing.
            #expect(Self.time(payloads[0]) == ns)
        }
    }

    @Test("nothing else is taken for one, however it is cut or changed")
    func strangers() {
        let payload = H264Packetizer.payloads(DelayStamp.stamped([[0x67, 1], [0x65, 2]], ns: 5), limit: 1160)[0]
        #expect(Self.time(payload) == 5)
        for count in 0..<payload.count - 4 { #expect(Self.time(Array(payload.prefix(count))) == nil) }
        for place in payload.indices {
            for bit in 0..<8 {
                var changed = payload
                changed[place] ^= 1 << bit
                _ = Self.time(changed)
            }
        }
        #expect(
            Self.time([]) == nil && Self.time([24]) == nil && Self.time([24, 255, 255, 6]) == nil && Self.time([6, 5, 32]) == nil)
    }

    @Test("percentiles are within two percent, from nanoseconds to minutes")
    func percentiles() throws {
        var samples = Samples()
        #expect(samples.percentileMs(0.5) == nil)
        for number in 1...1000 { samples.add(UInt64(number) * 1_000_000) }
        let (median, p99) = (try #require(samples.percentileMs(0.5)), try #require(samples.percentileMs(0.99)))
        #expect(abs(median - 500) <= 10 && abs(p99 - 990) <= 20)
        #expect(samples.percentileMs(1) == 1000)
        var extremes = Samples()
        for value in [0, 1, 63, 64, 65, 60_000_000_000, UInt64.max / 2] { extremes.add(value) }
        #expect(extremes.count == 7 && extremes.percentileMs(0.01) == 0.000001)
        samples.add(extremes)
        #expect(samples.count == 1007 && samples.longestNs == UInt64.max / 2)
    }

    @Test("how late frames were is told once, by the whole of a line of JSON")
    func lateness() {
        let lateness = Lateness()
        #expect(lateness.report() == "{}")
        for _ in 0..<99 { lateness.add(0) }
        lateness.add(2_000_000)
        let report = lateness.report()
        #expect(report.contains("\"late_ms\":{") && report.contains("\"count\":100") && report.contains("\"max\":2"))
        #expect(!report.contains("\n"))
        #expect(lateness.report() == "{}")
    }

    @Test("what a thread wants of a processor grows while it works")
    func threadTime() {
        let time = ThreadTime()
        #expect(time.share(ofSeconds: 0) == 0)
        var rounds = 0
        // The kernel's account grows with its next tick at the latest.
        while time.share(ofSeconds: 1) == 0, rounds < 100_000 { rounds += 1 }
        #expect(time.share(ofSeconds: 1) > 0)
    }

    @Test("late packets are reordered, those that were asked for are repaired, the rest is lost")
    func order() {
        let payload: [UInt8] = [0x41, 1]
        var stream = IncomingStream(ssrc: 1, isVideo: true, sequence: 65_534)
        func take(_ sequence: UInt16, _ now: UInt64) {
            payload.withUnsafeBytes { stream.take(sequence, timestamp: 0, payload: $0, now: now) }
        }
        take(65_534, 0)
        take(1, 0)
        take(0, 1)
        #expect(stream.due(now: 20_000_000) == [65_535])
        take(65_535, 30_000_000)
        take(65_535, 30_000_000)
        take(4, 40_000_000)
        var counts = stream.counts
        #expect(
            counts.packets == 5 && counts.reordered == 1 && counts.recovered == 1 && counts.duplicates == 1 && counts.lost == 2)
        counts -= stream.counts
        #expect(counts.packets == 0 && counts.lost == 0)
    }

    @Test("options of a measurement")
    func options() throws {
        guard
            case .play(let play) = try Command(parsing: [
                "play", "--url", "u/{n}", "--viewers", "3", "--rate", "50", "--settle", "9", "--stay", "0", "--profile", "sha1",
                "--idle",
                "--deaf",
            ])
        else {
            Issue.record("no play command")
            return
        }
        #expect(play.joinsPerSecond == 50 && play.settleSeconds == 9 && play.stayMs == 0 && play.profiles == [.aes128CMSHA1_80])
        #expect(play.expectsNothing && play.isDeaf)
        #expect(throws: OptionError.self) { _ = try Command(parsing: ["play", "--url", "u", "--profile", "md5"]) }
        guard case .publish(let publish) = try Command(parsing: ["publish", "--url", "u", "--stamp"]) else {
            Issue.record("no publish command")
            return
        }
        #expect(publish.stamps)
    }
}
