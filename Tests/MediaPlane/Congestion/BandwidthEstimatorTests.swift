import Testing

@testable import MediaPlane

@Suite("Bandwidth estimation on a simulated path (draft-ietf-rmcat-gcc-02)")
struct BandwidthEstimatorTests {
    private static let layers = SimulatedPath.Source.layers([150_000, 500_000, 1_500_000])

    private func expect(_ values: [Double], within range: ClosedRange<Double>, _ location: SourceLocation = #_sourceLocation) {
        let outside = values.filter { !range.contains($0) }
        #expect(outside.isEmpty, "outside of \(range)", sourceLocation: location)
    }

    private func share(_ values: [Double], at part: Double) -> Double {
        values.isEmpty ? .infinity : values.sorted()[min(values.count - 1, Int(Double(values.count) * part))]
    }

    @Test("finds 80 to 100 % of the link, stays there, and leaves sound alone", arguments: [150_000.0, 1_000_000, 4_000_000])
    func converges(initial: Double) {
        var path = SimulatedPath(
            link: SimulatedLink(rate: 1_000_000), source: .elastic(max: 3_000_000), initial: initial)
        path.run(seconds: 10)
        path.forget()
        path.run(seconds: 30)
        expect(path.estimates, within: 800_000...1_020_000)
        #expect(path.audioLost <= 3)
        #expect(share(path.audioDelaysMs, at: 0.5) < 100)
        #expect(share(path.audioDelaysMs, at: 0.99) < 250)
    }

    @Test("a link of half the rate is seen within two seconds, the whole one again within ten")
    func follows() {
        var path = SimulatedPath(link: SimulatedLink(rate: 1_000_000), source: .elastic(max: 3_000_000))
        path.run(seconds: 15)
        path.link.rate = 500_000
        path.run(seconds: 2)
        path.forget()
        path.run(seconds: 20)
        expect(path.estimates, within: 350_000...520_000)
        path.link.rate = 1_000_000
        path.run(seconds: 10)
        path.forget()
        path.run(seconds: 5)
        expect(path.estimates, within: 800_000...1_020_000)
    }

    @Test(
        "falls to a lower layer within two seconds and climbs back within ten, over a queue and a policer",
        arguments: [nil, 20_000])
    func layered(allowance: Double?) {
        var link = SimulatedLink(rate: 4_000_000)
        link.allowanceBytes = allowance
        var path = SimulatedPath(link: link, source: Self.layers)
        path.run(seconds: 10)
        #expect(path.layer == 2)
        path.link.rate = 700_000
        path.run(seconds: 2)
        #expect(path.layer == 1)
        path.forget()
        path.run(seconds: 20)
        #expect(share(path.layers.map(Double.init), at: 0.95) == 1)
        path.link.rate = 4_000_000
        path.run(seconds: 10)
        #expect(path.layer == 2)
    }

    @Test("a layer that fits stays, and what is tried beyond it costs little", arguments: [800_000.0, 1_000_000, 1_500_000])
    func calm(rate: Double) {
        var path = SimulatedPath(link: SimulatedLink(rate: rate), source: Self.layers)
        path.run(seconds: 10)
        path.forget()
        path.run(seconds: 60)
        #expect(Set(path.layers) == [1])
        #expect(path.paddingBytes < path.mediaBytes / 4)
        #expect(path.audioLost <= 3)
        #expect(share(path.audioDelaysMs, at: 0.95) < 200)
    }

    @Test("where a policer lets bursts through, a layer that doesn't last is tried ever less often")
    func deceived() {
        var link = SimulatedLink(rate: 1_000_000)
        link.allowanceBytes = 30_000
        var path = SimulatedPath(link: link, source: Self.layers)
        path.run(seconds: 20)
        path.forget()
        path.run(seconds: 60)
        let tries = zip(path.layers, path.layers.dropFirst()).filter { $0 < $1 }.count
        #expect(tries <= 10)
        #expect(path.layers.filter { $0 == 1 }.count > 9 * path.layers.count / 10)
        #expect(path.audioLost < 30)
    }

    @Test(
        "jitter and a few losses are no queue: a layer that fits is found, and stays",
        arguments: [(0.01, 0), (0.05, 0), (0, 10_000_000), (0, 30_000_000)] as [(Double, UInt64)])
    func noQueue(loss: Double, jitterNs: UInt64) {
        var link = SimulatedLink(rate: 4_000_000)
        link.loss = loss
        link.jitterNs = jitterNs
        var path = SimulatedPath(link: link, source: Self.layers)
        path.run(seconds: 15)
        path.forget()
        path.run(seconds: 60)
        #expect(share(path.layers.map(Double.init), at: 0.05) == 2)
    }

    @Test("with nothing to win, nothing is sent beside the media")
    func nothingWanted() {
        var path = SimulatedPath(link: SimulatedLink(rate: 4_000_000), source: .layers([150_000]))
        path.run(seconds: 20)
        #expect(path.paddingBytes == 0)
        #expect(path.layer == 0)
    }

    @Test("a viewer that falls silent is sent less and less; one that never spoke keeps what it was taken for")
    func silence() {
        var path = SimulatedPath(link: SimulatedLink(rate: 4_000_000), source: Self.layers)
        path.isSilent = true
        path.run(seconds: 10)
        #expect(Set(path.estimates) == [RateControl.initial])
        path.isSilent = false
        path.run(seconds: 10)
        #expect(path.layer == 2)
        path.isSilent = true
        path.run(seconds: 8)
        #expect(path.layer == 0)
    }
}

@Suite("Pacing and the breaker")
struct PaceTests {
    @Test(
        "a keyframe goes at two and a half times the estimate, after a first burst", arguments: [300_000, 1_000_000, 8_000_000])
    func keyframe(rate: UInt64) {
        var pace = PaceBudget()
        var now: UInt64 = 1_000_000_000
        var sent = 0
        for _ in 0..<100 {
            now += 10_000_000
            pace.fill(bitsPerSecond: rate, now: now)
            while pace.isOpen {
                pace.spend(1200)
                sent += 1200
            }
        }
        let ideal = Double(rate) / 8 * 2.5
        #expect(Double(sent) > 0.95 * ideal - 12_000)
        #expect(Double(sent) < 1.05 * ideal + 2 * max(12_000, ideal / 50))
    }

    @Test("video stops after seconds of heavy loss only, for longer each time, and begins again")
    func breaker() {
        var breaker = LossBreaker()
        var now: UInt64 = 1_000_000_000
        /// A report each second: which of them stopped the video.
        func reports(_ fraction: UInt8, seconds: Int) -> [Bool] {
            (0..<seconds).map { _ in
                now += 1_000_000_000
                return breaker.note(fractionLost: fraction, now: now)
            }
        }
        func resumes(after ns: UInt64) -> Bool { breaker.takeResume(now: now + ns) }
        #expect(!reports(60, seconds: 20).contains(true))
        #expect(!reports(90, seconds: 3).contains(true))
        #expect(reports(10, seconds: 1) == [false])
        #expect(reports(90, seconds: 5) == [false, false, false, false, true])
        #expect(breaker.isOpen)
        #expect([resumes(after: 1_900_000_000), resumes(after: 2_000_000_000)] == [false, true])
        #expect(!resumes(after: 2_000_000_000))
        now += 2_000_000_000
        // What the first report after it tells may be of before; then one is enough.
        let early = breaker.note(fractionLost: 255, now: now + 400_000_000)
        #expect(!early)
        #expect(reports(90, seconds: 1) == [true])
        #expect(breaker.resumeNs == now + 4_000_000_000)
        #expect(resumes(after: 4_000_000_000))
        now += 4_000_000_000 + LossBreaker.calmNs
        // After half a minute of calm all is as at first.
        #expect(reports(70, seconds: 5) == [false, false, false, false, true])
        #expect(breaker.resumeNs == now + 2_000_000_000)
    }

    @Test("loss counts over a second at least, however many reports there are, and across the wrap of the numbers")
    func windows() {
        var (window, breaker) = (LossWindow(), LossBreaker())
        var (now, highest, lost): (UInt64, UInt32, Int32) = (1_000_000_000, .max - 100, 10)
        var stops = 0
        for step in 0..<200 where !breaker.isOpen {
            now += 50_000_000
            highest &+= 16
            // All that is lost is lost in each tenth report.
            lost += step % 10 == 0 ? 80 : 0
            let block = ReportBlock(
                ssrc: 1, fractionLost: step % 10 == 0 ? 255 : 0, cumulativeLost: lost, highestSequence: highest, jitter: 0,
                lastReport: 0,
                delaySinceLastReport: 0)
            guard let share = window.take(block, now: now) else { continue }
            #expect(share == 128)
            if breaker.note(fractionLost: share, now: now) { stops = step }
        }
        // Half of all: after four to six seconds of twenty reports each.
        #expect((80...120).contains(stops))
    }

    @Test("where most is lost it stops sooner")
    func severe() {
        var breaker = LossBreaker()
        let second: UInt64 = 1_000_000_000
        let stops = (1...3).map { breaker.note(fractionLost: 200, now: UInt64($0) * second) }
        #expect(stops == [false, false, true])
    }
}
