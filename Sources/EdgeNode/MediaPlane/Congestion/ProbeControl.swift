/// Finds out whether a viewer could be sent more than what there is to send: for a fraction of a second padding fills up to a higher
/// rate, and the viewer's feedback tells whether it arrived at that rate.
struct ProbeControl {
    /// A probe lasts this long, so that a shallow queue or a policer's allowance can't hide the limit.
    static let durationNs: UInt64 = 200_000_000
    /// Feedback that isn't there by then won't come.
    static let patienceNs: UInt64 = 1_000_000_000
    /// Between two probes: after one that showed room, and at most after ones that didn't, each time twice as long.
    static let intervalMinNs: UInt64 = 250_000_000
    static let intervalFirstNs: UInt64 = 1_000_000_000
    static let intervalMaxNs: UInt64 = 3_000_000_000
    /// A probe that showed room which wasn't there, such as a policer's allowance, is found out within this time. The next ones come at
    /// most so far apart.
    static let doubtNs: UInt64 = 5_000_000_000
    static let doubtfulIntervalMaxNs: UInt64 = 5_000_000_000
    /// Too few packets say nothing about a rate.
    private static let packetsMin = 5
    /// Of what is sent, so much must arrive in the same time, or the path was full; less would be jitter.
    private static let arrivedMin = 0.8
    /// A full path's rate that is so much above what was known is news, too.
    private static let news = 1.2
    private static let lossMax = 0.1

    private enum Phase {
        case idle, sending, listening
    }

    /// What a probe showed, in bits per second.
    enum Outcome: Equatable {
        case carried(Double)
        /// The path was full at this rate.
        case full(Double)
        case unclear
    }

    private var phase = Phase.idle
    /// Of the probe under way, or the last one; 0 before the first.
    private(set) var number: UInt8 = 0
    private var rate = 0.0
    /// The estimate when it began.
    private var known = 0.0
    private(set) var startedNs: UInt64 = 0
    private var paddedNs: UInt64 = 0
    private var sentBytes = 0
    private var nextNs: UInt64 = 0
    private var intervalNs = Self.intervalFirstNs
    private var tally = Tally()
    /// The last one showed no room.
    private var hasFailed = false
    /// When the last one was over; 0 before the first.
    private var endedNs: UInt64 = 0
    /// When one last showed room, as long as that is in doubt; 0 otherwise.
    private var carriedNs: UInt64 = 0

    var isSending: Bool { phase == .sending }
    var isIdle: Bool { phase == .idle }
    /// The rate that is being tried.
    var targetRate: Double { phase == .sending ? rate : 0 }

    /// Packets sent now belong to this probe; 0 for none.
    @inline(__always)
    var mark: UInt8 { phase == .sending ? number : 0 }

    /// When to look again; `.max` when nothing is to be found out.
    func deadlineNs(hasWish: Bool) -> UInt64 {
        switch phase {
        case .idle: hasWish ? nextNs : .max
        case .sending: paddedNs &+ TimerWheel.tickNs
        case .listening: startedNs &+ Self.durationNs &+ Self.patienceNs
        }
    }

    /// Begins a probe when it is time for one.
    ///
    /// - Parameters:
    ///   - estimate: what the path is known to carry.
    ///   - wanted: what could be made use of; nothing is tried beyond it.
    mutating func beginIfDue(estimate: Double, wanted: Double, now: UInt64) {
        if carriedNs != 0, now &- carriedNs >= Self.doubtNs {
            carriedNs = 0
            intervalNs = Self.intervalFirstNs
        }
        guard phase == .idle, wanted > estimate, now >= nextNs else { return }
        number = number == .max ? 1 : number + 1
        // What a full queue costs stays in proportion, the more so where one was found.
        known = estimate
        rate = min(wanted * 1.1, estimate * (hasFailed ? 1.5 : 2))
        phase = .sending
        startedNs = now
        sentBytes = 0
        tally = Tally()
    }

    /// Bytes of padding to send now so that the rate is kept; ends the probe when its time is over.
    mutating func paddingDue(now: UInt64) -> Int {
        guard phase == .sending else { return 0 }
        paddedNs = now
        let elapsed = now &- startedNs
        if elapsed >= Self.durationNs {
            phase = .listening
            return 0
        }
        // A tick ahead, so that the first one sends something, too.
        let target = rate / 8 * Double(elapsed + TimerWheel.tickNs) / 1e9
        return max(0, Int(target) - sentBytes)
    }

    @inline(__always)
    mutating func countSent(_ bytes: Int) {
        if phase == .sending { sentBytes += bytes }
    }

    /// The fate of a packet of a probe.
    mutating func count(_ packet: SentHistory.Packet, arrivalMs: Double?) {
        guard packet.probe == number, phase != .idle else { return }
        guard let arrivalMs else { return tally.lost += 1 }
        tally.add(packet, arrivalMs)
    }

    /// The outcome, once feedback has passed the probe's end or has been waited for in vain; nil before that.
    mutating func take(passed: Bool, now: UInt64) -> Outcome? {
        guard phase != .idle else { return nil }
        let isOver = phase == .listening && (passed || now &- startedNs >= Self.durationNs + Self.patienceNs)
        // A path that loses or delays what is tried is left in peace at once.
        guard isOver || tally.isHopeless else { return nil }
        phase = .idle
        endedNs = now
        let outcome = tally.outcome(Self.packetsMin, arrivedMin: Self.arrivedMin, lossMax: Self.lossMax)
        if case .carried = outcome {
            hasFailed = false
            carriedNs = now
            nextNs = now &+ Self.intervalMinNs
        } else if case .full(let measured) = outcome, measured > Self.news * known {
            hasFailed = true
            nextNs = now &+ Self.intervalFirstNs
        } else {
            hasFailed = true
            nextNs = now &+ intervalNs
            intervalNs = max(intervalNs, min(2 * intervalNs, Self.intervalMaxNs))
        }
        return outcome
    }

    /// The path has just shown its limit: nothing is tried for a while, longer when a probe had promised more.
    mutating func objected(now: UInt64) {
        if carriedNs != 0 {
            intervalNs = min(2 * intervalNs, Self.doubtfulIntervalMaxNs)
            carriedNs = 0
        }
        nextNs = max(nextNs, now &+ intervalNs)
    }

    /// Whether the last one ended so long ago.
    func isOver(for span: UInt64, now: UInt64) -> Bool { phase == .idle && (endedNs == 0 || now &- endedNs >= span) }

    private struct Tally {
        var lost = 0
        private var arrived = 0
        private var bytes = 0
        private var first = SentHistory.Packet()
        private var lastSentNs: UInt64 = 0
        private var lastBytes = 0
        private var firstArrivalMs = Double.infinity
        private var lastArrivalMs = -Double.infinity

        mutating func add(_ packet: SentHistory.Packet, _ arrivalMs: Double) {
            if arrived == 0 { first = packet }
            arrived += 1
            bytes += Int(packet.bytes)
            firstArrivalMs = min(firstArrivalMs, arrivalMs)
            lastArrivalMs = max(lastArrivalMs, arrivalMs)
            if packet.sentNs >= lastSentNs {
                lastSentNs = packet.sentNs
                lastBytes = Int(packet.bytes)
            }
        }

        /// The queue grew by more than a third of the probe, or a quarter of it was lost.
        var isHopeless: Bool {
            guard arrived + lost >= 10 else { return false }
            if 4 * lost > arrived + lost { return true }
            let sentMs = Double(lastSentNs &- first.sentNs) / 1e6
            return lastArrivalMs - firstArrivalMs - sentMs > Double(ProbeControl.durationNs) / 3e6
        }

        /// Rates leave out the packet that the time begins or ends with.
        func outcome(_ packetsMin: Int, arrivedMin: Double, lossMax: Double) -> Outcome {
            let sentSeconds = Double(lastSentNs &- first.sentNs) / 1e9
            let arrivedSeconds = (lastArrivalMs - firstArrivalMs) / 1e3
            guard arrived >= packetsMin, sentSeconds > 0, arrivedSeconds > 0 else { return .unclear }
            let sentRate = Double(8 * (bytes - lastBytes)) / sentSeconds
            let arrivedRate = Double(8 * (bytes - Int(first.bytes))) / arrivedSeconds
            let loss = Double(lost) / Double(arrived + lost)
            if loss > lossMax || arrivedRate < arrivedMin * sentRate { return .full(min(sentRate, arrivedRate)) }
            return .carried(min(sentRate, arrivedRate))
        }
    }
}
