/// Decides what comes after a failed attempt. It neither sends nor sleeps: it is told what happened, how long all of it has taken, and
/// a random number, and answers with the next step.
struct RetryPolicy: Sendable {
    /// The bounds of one operation.
    struct Limits: Sendable, Equatable {
        /// Attempts in all, those after a correction included.
        var attempts = 6
        /// The first pause is at most this; each further one at most twice as long.
        var baseMs = 100
        /// As `baseMs`, after a store that asked for fewer requests.
        var throttledBaseMs = 1_000
        /// No pause is longer, except where the store says so.
        var capMs = 20_000
        /// No pause is begun that would end after so long.
        var totalMs = 60_000
    }

    /// What an attempt failed of.
    enum Failure: Sendable, Equatable {
        /// Perhaps better the next time: no connection, a broken one, 5xx, a body damaged on the way.
        case transient
        /// 503 SlowDown, 429; with what `Retry-After` said.
        case throttled(retryAfterMs: Int?)
        /// Our clock differs too much from the store's, which is this, in Unix seconds.
        case skewed(serverSeconds: Int64)
        /// Refused with credentials that may have ended.
        case credentials
        /// The bucket is in another region than the one signed for, or wants to be addressed or signed to in another way.
        case elsewhere
        /// The same request would fail again.
        case final
    }

    /// What to do now.
    enum Step: Sendable, Equatable {
        /// Send again after so long.
        case wait(ms: Int)
        /// Take the store's time, then send again.
        case setClock(serverSeconds: Int64)
        /// Fetch new credentials; send again if there are any.
        case renewCredentials
        /// Address and sign as the refusal tells.
        case adapt
        /// Report the failure.
        case giveUp
    }

    private let limits: Limits
    /// Attempts that were made.
    private(set) var attempts = 0
    private var pauses = 0
    private var corrected: Set<Correction> = []

    private enum Correction {
        case clock, credentials, address
    }

    init(_ limits: Limits = Limits()) {
        self.limits = limits
    }

    /// The step after an attempt that failed.
    /// - Parameters:
    ///   - elapsedMs: since the first attempt began.
    ///   - random: any number; each bit counts.
    mutating func step(after failure: Failure, elapsedMs: Int, random: UInt64) -> Step {
        attempts += 1
        guard attempts < limits.attempts else { return .giveUp }
        switch failure {
        case .final: return .giveUp
        // Each of these helps once or never.
        case .skewed(let seconds): return corrected.insert(.clock).inserted ? .setClock(serverSeconds: seconds) : .giveUp
        case .credentials: return corrected.insert(.credentials).inserted ? .renewCredentials : .giveUp
        case .elsewhere: return corrected.insert(.address).inserted ? .adapt : .giveUp
        case .transient: return pause(limits.baseMs, atLeast: 0, elapsedMs, random)
        case .throttled(let retryAfterMs): return pause(limits.throttledBaseMs, atLeast: retryAfterMs ?? 0, elapsedMs, random)
        }
    }

    /// Exponential with full jitter: many that fail together don't come back together.
    private mutating func pause(_ baseMs: Int, atLeast leastMs: Int, _ elapsedMs: Int, _ random: UInt64) -> Step {
        let mostMs = min(limits.capMs, baseMs << min(pauses, 16))
        pauses += 1
        let ms = max(0, leastMs) + Int(random % UInt64(max(1, mostMs)))
        return elapsedMs + ms <= limits.totalMs ? .wait(ms: ms) : .giveUp
    }
}
