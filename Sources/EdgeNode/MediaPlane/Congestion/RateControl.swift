/// The rate that a path carries: up while neither delay nor loss objects, down at once when one does
/// (draft-ietf-rmcat-gcc-02 §5.5 and §6).
struct RateControl {
    /// Enough for sound; below it there is nothing left to adapt.
    static let minimum = 30_000.0
    static let maximum = 100_000_000.0
    /// What a viewer is taken for until something was measured: a first probe follows within a fraction of a second.
    static let initial = 1_000_000.0

    /// How much of what arrived is kept when the queue grows (§5.5).
    private static let backOff = 0.85
    /// Above the first of these shares of what arrives much is unused, and the second is left then.
    private static let unused = 1.3
    private static let spared = 1.15
    /// Growth in a second while the limit is unknown (§5.5).
    static let growth = 1.08
    /// A rate that isn't used says nothing: at most so much more than what arrives (§5.5).
    private static let headroom = 1.5
    private static let headroomBits = 10_000.0
    /// Losses below the first leave room, above the second there is too much (§6).
    static let lossLow = 0.02
    static let lossHigh = 0.1
    private static let lossyHeadroom = 1.2
    /// Between two steps down at least this and a round trip, so that the first one shows.
    private static let decreaseIntervalNs: UInt64 = 200_000_000

    private(set) var bitsPerSecond: Double
    private var isHolding = false
    private var updatedNs: UInt64 = 0
    private var decreasedNs: UInt64 = 0
    private var limit = KnownLimit()

    init(initial: Double = Self.initial) { bitsPerSecond = initial }

    /// When it was last lowered; 0 for never.
    var lastDecreaseNs: UInt64 { decreasedNs }

    /// - Parameters:
    ///   - arrived: bits per second that arrived lately, nil while unknown.
    ///   - loss: the share of the last packets that was lost, nil between two counts.
    ///   - mayGrow: what arrived is media and no probe.
    mutating func update(
        signal: DelayTrend.Signal, arrived: Double?, loss: Double?, rttNs: UInt64, mayGrow: Bool, now: UInt64
    ) {
        let elapsed = updatedNs == 0 ? 0 : min(Double(now &- updatedNs) / 1e9, 1)
        updatedNs = now
        if let loss, loss > Self.lossHigh {
            isHolding = true
            decrease(to: lossy(loss, arrived), arrived, rttNs, now)
            return
        }
        switch signal {
        case .overuse:
            isHolding = true
            decrease(to: backedOff(arrived), arrived, rttNs, now)
        case .underuse: isHolding = true
        case .normal:
            // After a step down the queue drains first.
            if isHolding, now &- decreasedNs > Self.decreaseIntervalNs + rttNs { isHolding = false }
            if !isHolding, mayGrow, loss.map({ $0 < Self.lossLow }) ?? true { increase(elapsed, arrived, rttNs) }
        }
    }

    /// A queue under a flow that leaves much of the estimate unused may be somebody else's, or jitter: the first time only what is unused
    /// goes.
    private func backedOff(_ arrived: Double?) -> Double {
        guard let arrived else { return Self.backOff * bitsPerSecond }
        return (bitsPerSecond > Self.unused * arrived ? Self.spared : Self.backOff) * arrived
    }

    /// What is lost was not carried, and half of that is given up beside (§6); what was never sent counts for nothing.
    private func lossy(_ loss: Double, _ arrived: Double?) -> Double {
        let used = arrived.map { min(bitsPerSecond, Self.lossyHeadroom * $0) } ?? bitsPerSecond
        return used * (1 - loss / 2)
    }

    private mutating func decrease(to wanted: Double, _ arrived: Double?, _ rttNs: UInt64, _ now: UInt64) {
        guard decreasedNs == 0 || now &- decreasedNs >= Self.decreaseIntervalNs + rttNs else { return }
        if let arrived { limit.note(arrived) }
        guard wanted < bitsPerSecond else { return }
        bitsPerSecond = max(wanted, Self.minimum)
        decreasedNs = now
    }

    private mutating func increase(_ elapsed: Double, _ arrived: Double?, _ rttNs: UInt64) {
        if let arrived, limit.isAbove(arrived) { limit = KnownLimit() }
        var wanted = bitsPerSecond
        if limit.isKnown {
            // Near the limit half a packet in each response time (§5.5).
            let responseTime = 0.1 + Double(rttNs) / 1e9
            wanted += max(1000 * elapsed, 0.5 * min(elapsed / responseTime, 1) * Self.packetBits)
        } else {
            wanted *= 1 + (Self.growth - 1) * elapsed
        }
        if let arrived { wanted = min(wanted, Self.headroom * arrived + Self.headroomBits) }
        bitsPerSecond = min(max(bitsPerSecond, wanted), Self.maximum)
    }

    private static let packetBits = 1200.0 * 8

    /// A probe arrived at this rate.
    mutating func raise(to measured: Double) {
        bitsPerSecond = min(max(bitsPerSecond, measured), Self.maximum)
        if limit.isAbove(measured) { limit = KnownLimit() }
    }

    /// The peer names a limit of its own, or nothing is heard of it.
    mutating func lower(to limit: Double, now: UInt64) {
        guard limit < bitsPerSecond else { return }
        bitsPerSecond = max(limit, Self.minimum)
        decreasedNs = now
    }
}

/// What arrived when the path was full: an average and how far it varies (draft-ietf-rmcat-gcc-02 §5.5).
private struct KnownLimit {
    private var mean = 0.0
    private var variance = 0.0
    private(set) var isKnown = false
    private static let weight = 0.05

    mutating func note(_ rate: Double) {
        if isKnown {
            let difference = rate - mean
            mean += Self.weight * difference
            variance = (1 - Self.weight) * (variance + Self.weight * difference * difference)
            if difference < -3 * deviation { isKnown = false }
        }
        if !isKnown {
            mean = rate
            variance = 0
            isKnown = true
        }
    }

    private var deviation: Double { max(variance.squareRoot(), 0.05 * mean) }

    /// Whether a rate shows that the limit is gone.
    func isAbove(_ rate: Double) -> Bool { isKnown && rate > mean + 3 * deviation }
}
