/// Why something could not be sent, as far as it decides when to try again.
enum ShipFailure: String, Sendable, CaseIterable {
    /// The store does not answer, or not as it should.
    case unavailable
    /// The store asks for fewer requests.
    case throttled
    /// The store refuses us: a human has to do something.
    case denied
    /// Our own disk failed.
    case local
}

/// Whether the remote store is worth trying, one for all recordings: while it is away a single probe asks, not everything that waits.
struct ShipWeather: Sendable {
    enum State: Equatable, Sendable {
        case fair
        /// A recording was refused: another is asked, at once and alone, whether it is the node that is.
        case doubtful
        /// Nothing is tried before this time.
        case away(untilNs: UInt64, attempt: Int)
        case denied(untilNs: UInt64)
    }

    private(set) var state = State.fair
    private var isProbing = false
    private var random: UInt64

    static let firstNs: UInt64 = 500_000_000
    static let longestNs: UInt64 = 30_000_000_000
    static let throttledNs: UInt64 = 2_000_000_000
    static let deniedNs: UInt64 = 60_000_000_000

    init(seed: UInt64) {
        random = seed
    }

    /// How many uploads may run, given how many do.
    func allowance(running: Int, limit: Int, nowNs: UInt64) -> Int {
        switch state {
        case .fair: return max(0, limit - running)
        case .doubtful: return running == 0 ? 1 : 0
        case .away(let until, _), .denied(let until): return running == 0 && nowNs >= until ? 1 : 0
        }
    }

    /// When to look again; nil when any time will do.
    var wakeNs: UInt64? {
        switch state {
        case .fair, .doubtful: nil
        case .away(let until, _), .denied(let until): until
        }
    }

    mutating func started() {
        if state != .fair { isProbing = true }
    }

    mutating func succeeded() {
        state = .fair
        isProbing = false
    }

    /// What was begun came to nothing for another reason: the next one is a probe again.
    mutating func undecided() {
        isProbing = false
    }

    /// One recording was refused, which may be for its own sake.
    mutating func doubt() {
        if state == .fair { state = .doubtful }
    }

    mutating func failed(_ failure: ShipFailure, retryAfterNs: UInt64?, nowNs: UInt64) {
        // What was under way when the store went away says nothing new.
        guard state == .fair || state == .doubtful || isProbing else { return }
        isProbing = false
        guard failure != .denied else {
            state = .denied(untilNs: nowNs &+ Self.deniedNs)
            return
        }
        var attempt = 0
        if case .away(_, let before) = state { attempt = min(before + 1, 16) }
        let base = failure == .throttled ? Self.throttledNs : Self.firstNs
        let ceiling = min(Self.longestNs, base << UInt64(attempt))
        // Half of it for sure, half by chance: nodes that lost the store together do not come back together.
        let pause = ceiling / 2 + next() % (ceiling / 2)
        state = .away(untilNs: nowNs &+ max(pause, min(retryAfterNs ?? 0, 10 * Self.longestNs)), attempt: attempt)
    }

    private mutating func next() -> UInt64 {
        random &+= 0x9E37_79B9_7F4A_7C15
        var mixed = random
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
