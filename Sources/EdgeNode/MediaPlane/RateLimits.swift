/// Generic cell rate algorithm: a rate with a burst in one number.
struct TokenBucket {
    private let intervalNs: UInt64
    private let toleranceNs: UInt64
    private var arrivalNs: UInt64 = 0

    init(perSecond: UInt64, burst: UInt64) {
        intervalNs = Limits.secondNs / max(perSecond, 1)
        toleranceNs = intervalNs * burst
    }

    /// Takes one token; false when there is none at `now`.
    mutating func take(now: UInt64) -> Bool {
        let start = max(arrivalNs, now)
        guard start &- now < toleranceNs else { return false }
        arrivalNs = start &+ intervalNs
        return true
    }
}

/// Counts what happens within a second, for limits that may be used up at any pace in it.
struct SecondCount {
    private var startNs: UInt64 = 0
    private var total = 0

    /// Counts `amount` more; returns how much it is in the second that `now` falls into.
    @inline(__always)
    mutating func add(_ amount: Int = 1, now: UInt64) -> Int {
        if now &- startNs >= Limits.secondNs {
            startNs = now
            total = 0
        }
        total &+= amount
        return total
    }
}
