@testable import MediaPlane

/// A link with a queue: packets wait until those before them are through, and are dropped when the queue is full.
struct SimulatedLink {
    /// Bits per second.
    var rate: Double
    var delayNs: UInt64 = 25_000_000
    /// As time at the present rate.
    var queueNs: UInt64 = 200_000_000
    /// Packets lost at random, of all.
    var loss = 0.0
    /// Packets wait up to so much longer now and then, those behind them too: a radio link, or a peer short of processor time.
    var jitterNs: UInt64 = 0
    /// Instead of the queue: bytes beyond an allowance are dropped at once, as a policer does.
    var allowanceBytes: Double?

    private var freeAtNs: UInt64 = 0
    private var tokens = 0.0
    private var heldNs: UInt64 = 0
    private var releaseNs: UInt64 = 0
    private var filledNs: UInt64 = 0
    private var random = Mutator.Random(seed: 7)

    init(rate: Double) { self.rate = rate }

    /// When a packet comes out at the other end; nil when it doesn't.
    mutating func carry(bytes: Int, now: UInt64) -> UInt64? {
        if loss > 0, Double.random(in: 0..<1, using: &random) < loss { return nil }
        if let allowanceBytes {
            tokens = min(allowanceBytes, tokens + rate / 8 * Double(now - filledNs) / 1e9)
            filledNs = now
            guard tokens >= Double(bytes) else { return nil }
            tokens -= Double(bytes)
            return now + delayNs
        }
        let begins = max(freeAtNs, now)
        guard begins - now <= queueNs else { return nil }
        freeAtNs = begins + UInt64(Double(8 * bytes) / rate * 1e9)
        if jitterNs > 0, now >= heldNs {
            heldNs = now + UInt64.random(in: 0...4 * jitterNs, using: &random)
            releaseNs = now + UInt64.random(in: 0...jitterNs, using: &random)
        }
        return max(freeAtNs, releaseNs) + delayNs
    }
}

/// A sender with an estimator, a link, and a viewer who reports as the draft says, on a clock that the test turns in steps of 1 ms.
struct SimulatedPath: ~Copyable {
    /// What the sender has to send, in bits per second of video, given the estimate.
    enum Source {
        /// Anything up to a maximum.
        case elastic(max: Double)
        /// One of some layers, chosen so that it fits.
        case layers([Double])
    }

    struct Packet {
        var number: UInt16
        var isAudio: Bool
        var sentNs: UInt64
        var arrivalNs: UInt64
    }

    static let audioRate = 40_000.0
    static let stepNs: UInt64 = 1_000_000
    var link: SimulatedLink
    var source: Source
    /// The viewer's reports are lost.
    var isSilent = false
    var estimator: BandwidthEstimator
    private(set) var now: UInt64 = 5_000_000_000
    private var pace = PaceBudget()
    private var waiting: [Int] = []
    private var underWay: [Packet] = []
    private var reports: [(arrivalNs: UInt64, bytes: [UInt8])] = []
    private var feedback = TransportFeedback()
    private let scratch = UnsafeMutableRawPointer.allocate(byteCount: 1500, alignment: 16)
    private(set) var layer = 0

    /// The estimate every 100 ms.
    private(set) var estimates: [Double] = []
    private(set) var layers: [Int] = []
    private(set) var audioDelaysMs: [Double] = []
    private(set) var audioLost = 0
    private(set) var paddingBytes = 0
    private(set) var mediaBytes = 0

    init(link: SimulatedLink, source: Source, initial: Double = RateControl.initial) {
        self.link = link
        self.source = source
        estimator = BandwidthEstimator(initial: initial)
    }

    deinit { scratch.deallocate() }

    mutating func forget() {
        estimates = []
        layers = []
        audioDelaysMs = []
        audioLost = 0
        paddingBytes = 0
        mediaBytes = 0
    }

    mutating func run(seconds: Double) {
        let end = now + UInt64(seconds * 1e9)
        while now < end { step() }
    }

    private mutating func step() {
        now += Self.stepNs
        let ms = now / Self.stepNs
        if ms % 20 == 0 { send(bytes: 100, isAudio: true) }
        if ms % 33 == 0 { encode() }
        pace.fill(bitsPerSecond: estimator.bitsPerSecond, now: now)
        while !waiting.isEmpty, pace.isOpen {
            let bytes = waiting.removeFirst()
            pace.spend(bytes)
            mediaBytes += bytes
            send(bytes: bytes, isAudio: false)
        }
        if ms % 10 == 0 { pad() }
        receive()
        if ms % 100 == 0 {
            estimates.append(Double(estimator.bitsPerSecond))
            layers.append(layer)
        }
    }

    private mutating func pad() {
        var due = estimator.handleTimeout(now: now)
        while due > 0 {
            send(bytes: 300, isAudio: false)
            paddingBytes += 300
            due -= 300
        }
    }

    private mutating func encode() {
        let estimate = Double(estimator.bitsPerSecond)
        var rate = 0.0
        switch source {
        case .elastic(let max):
            rate = min(max, estimate - Self.audioRate)
            estimator.want(UInt64(max + Self.audioRate))
        case .layers(let rates):
            while layer > 0, rates[layer] + Self.audioRate > estimate { layer -= 1 }
            if layer + 1 < rates.count, 1.1 * (rates[layer + 1] + Self.audioRate) < estimate { layer += 1 }
            rate = rates[layer]
            let next = layer + 1 < rates.count ? 1.15 * (rates[layer + 1] + Self.audioRate) : 0
            estimator.want(UInt64(next))
        }
        var left = Int(max(rate, 0) / 8 * 0.033)
        // A sender drops what waits too long.
        if waiting.count > 200 { waiting = [] }
        while left > 0 {
            waiting.append(min(left, 1150) + 50)
            left -= 1150
        }
    }

    private mutating func send(bytes: Int, isAudio: Bool) {
        let number = estimator.sent(bytes: bytes, now: now)
        guard let arrivalNs = link.carry(bytes: bytes, now: now) else {
            if isAudio { audioLost += 1 }
            return
        }
        underWay.append(Packet(number: number, isAudio: isAudio, sentNs: now, arrivalNs: arrivalNs))
    }

    private mutating func receive() {
        // One queue: packets come out in the order they went in.
        while let first = underWay.first, first.arrivalNs <= now {
            feedback.record(first.number, arrivalNs: first.arrivalNs)
            if first.isAudio { audioDelaysMs.append(Double(first.arrivalNs - first.sentNs) / 1e6) }
            underWay.removeFirst()
        }
        while feedback.isDue(now: now) {
            var writer = RTCPWriter(scratch)
            guard feedback.write(to: &writer, sender: 1, media: 2, now: now) else { break }
            if isSilent { continue }
            reports.append((now + link.delayNs, Array(writer.bytes)))
        }
        while let first = reports.first, first.arrivalNs <= now {
            let span = first.bytes.span
            var reader = RTCPReader()
            while let part = reader.next(in: span) {
                guard let header = FeedbackHeader(part, in: span) else { continue }
                _ = estimator.receive(header, in: span, rttNs: 2 * link.delayNs, now: now)
            }
            reports.removeFirst()
        }
    }
}
