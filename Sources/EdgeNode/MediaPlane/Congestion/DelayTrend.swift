/// Whether a queue on the way to a viewer grows, from how arrival times drift against sending times
/// (draft-ietf-rmcat-gcc-02 §5). The slope is a least-squares line over the last groups instead of the draft's Kalman filter.
struct DelayTrend {
    enum Signal: UInt8 {
        case normal, overuse, underuse
    }

    /// Packets sent within 5 ms are one group (§5.2).
    private static let groupNs: UInt64 = 5_000_000
    private static let window = 20
    /// Weight of the history in the smoothed delay.
    private static let smoothing = 0.9
    /// What a slope is multiplied with, so that it compares with the threshold in ms, beside the number of groups up to 60.
    private static let gain = 4.0
    /// The threshold's start, its bounds, and how fast it follows what it is compared with, up and down, per ms (§5.4). The draft lets it
    /// fall 200 times slower, by which a queue that was once full stays so.
    private static let thresholdStartMs = 12.5
    private static let thresholdBoundsMs = 6.0...600.0
    private static let thresholdUp = 0.01
    private static let thresholdDown = 0.04
    /// Overuse has to last that long (§5.4).
    private static let overuseMs = 10.0
    /// A queue that doesn't grow any more, because it is full, stands this much above the emptiest one lately.
    private static let standingMs = 100.0
    /// How long the emptiest queue is remembered, at least.
    private static let emptiestMs = 10_000.0
    /// Arrivals that stand still this long begin anew: the path or the peer slept.
    private static let gapMaxMs = 3000.0

    private struct Group {
        var firstSentNs: UInt64 = 0
        var lastSentNs: UInt64 = 0
        var arrivalMs = 0.0
    }

    private struct Sample {
        var arrivalMs = 0.0
        var delayMs = 0.0
    }

    private(set) var signal = Signal.normal
    private var group = Group()
    private var previous = Group()
    private var samples = InlineArray<20, Sample>(repeating: Sample())
    private var count = 0
    private var originMs = 0.0
    private var delayMs = 0.0
    private var smoothedMs = 0.0
    private var slope = 0.0
    private var thresholdMs = Self.thresholdStartMs
    private var overusingMs = 0.0
    private var overuses = 0
    private var comparedMs = 0.0
    /// The least delay of this period and of the one before.
    private var emptiest = (now: Double.infinity, before: Double.infinity)
    private var emptiestSinceMs = 0.0

    /// Leaves out what comes between the last packet and the next one.
    mutating func skip() {
        count = 0
        samples = InlineArray(repeating: Sample())
        slope = 0
        overusingMs = 0
        overuses = 0
        signal = .normal
    }

    /// Takes a packet that arrived; packets come in the order of their numbers.
    mutating func add(sentNs: UInt64, arrivalMs: Double) {
        if group.firstSentNs == 0 { return begin(sentNs, arrivalMs) }
        // One that was overtaken tells nothing of the queue.
        guard sentNs >= group.firstSentNs else { return }
        if sentNs - group.firstSentNs <= Self.groupNs {
            group.lastSentNs = max(group.lastSentNs, sentNs)
            group.arrivalMs = max(group.arrivalMs, arrivalMs)
            return
        }
        if previous.firstSentNs != 0 { compare() }
        previous = group
        begin(sentNs, arrivalMs)
    }

    private mutating func begin(_ sentNs: UInt64, _ arrivalMs: Double) {
        group = Group(firstSentNs: sentNs, lastSentNs: sentNs, arrivalMs: arrivalMs)
    }

    private mutating func compare() {
        let sentMs = Double(group.lastSentNs &- previous.lastSentNs) / 1e6
        let arrivedMs = group.arrivalMs - previous.arrivalMs
        // The peer's clock was set, or the path slept: what was measured before says nothing about what comes.
        guard arrivedMs > -Self.gapMaxMs, arrivedMs < Self.gapMaxMs else {
            self = DelayTrend()
            return
        }
        count += 1
        if count == 1 { originMs = group.arrivalMs }
        delayMs += arrivedMs - sentMs
        smoothedMs = Self.smoothing * smoothedMs + (1 - Self.smoothing) * delayMs
        noteEmptiest()
        samples[(count - 1) % Self.window] = Sample(arrivalMs: group.arrivalMs - originMs, delayMs: smoothedMs)
        guard count >= Self.window else { return }
        let before = slope
        slope = leastSquares()
        judge(sentMs: sentMs, isFalling: slope < before)
    }

    private mutating func noteEmptiest() {
        if group.arrivalMs - emptiestSinceMs > Self.emptiestMs {
            emptiest = (smoothedMs, emptiest.now)
            emptiestSinceMs = group.arrivalMs
        }
        emptiest.now = min(emptiest.now, smoothedMs)
    }

    private var isStanding: Bool {
        var least = Double.infinity
        for index in 0..<Self.window { least = min(least, samples[index].delayMs) }
        return least - min(emptiest.now, emptiest.before) > Self.standingMs
    }

    private func leastSquares() -> Double {
        var meanX = 0.0
        var meanY = 0.0
        for index in 0..<Self.window {
            meanX += samples[index].arrivalMs
            meanY += samples[index].delayMs
        }
        meanX /= Double(Self.window)
        meanY /= Double(Self.window)
        var covariance = 0.0
        var variance = 0.0
        for index in 0..<Self.window {
            let x = samples[index].arrivalMs - meanX
            covariance += x * (samples[index].delayMs - meanY)
            variance += x * x
        }
        return variance > 0 ? covariance / variance : 0
    }

    private mutating func judge(sentMs: Double, isFalling: Bool) {
        let trend = slope * Double(min(count, 60)) * Self.gain
        if trend > thresholdMs {
            overusingMs += overuses == 0 ? sentMs / 2 : sentMs
            overuses += 1
            if overusingMs > Self.overuseMs, overuses > 1, !isFalling {
                overusingMs = 0
                overuses = 0
                signal = .overuse
            }
        } else {
            overusingMs = 0
            overuses = 0
            signal = trend < -thresholdMs ? .underuse : isStanding ? .overuse : .normal
        }
        adapt(to: abs(trend))
    }

    /// Follows what it is compared with, so that a flow that competes with us for the queue doesn't starve us (§5.4).
    private mutating func adapt(to trend: Double) {
        let elapsedMs = min(max(group.arrivalMs - comparedMs, 0), 100)
        comparedMs = group.arrivalMs
        guard trend <= thresholdMs + 15 else { return }
        let weight = trend < thresholdMs ? Self.thresholdDown : Self.thresholdUp
        thresholdMs += weight * (trend - thresholdMs) * elapsedMs
        thresholdMs = min(max(thresholdMs, Self.thresholdBoundsMs.lowerBound), Self.thresholdBoundsMs.upperBound)
    }
}
