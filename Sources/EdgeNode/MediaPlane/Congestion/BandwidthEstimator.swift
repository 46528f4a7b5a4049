/// What one viewer's path carries, from the transport-wide feedback about everything sent to it, and what to send beside the media to
/// find out whether it carries more.
///
/// Bytes and times in, numbers out: it knows no socket, no clock and no track.
struct BandwidthEstimator: ~Copyable {
    /// Losses are counted over this many packets, or over a second, so that a few at random aren't taken for more; a heavy loss, as this
    /// many of less than five times as many, counts at once.
    private static let lossPackets = 100
    private static let lossPacketsMin = 20
    private static let lossHeavy = 10
    private static let lossIntervalNs: UInt64 = 1_000_000_000
    /// Without feedback for so long, what is sent is halved, and again each second.
    private static let silenceNs: UInt64 = 2_000_000_000
    /// Feedback messages that are read in a second; honest viewers send 4 to 20.
    private static let messagesPerSecond = 100
    /// At first what arrives is taken for what the path carries, as long as nothing objects; the media begins before anything is known.
    private static let startNs: UInt64 = 2_000_000_000
    private static let startHeadroom = 1.1

    private var history = SentHistory()
    private var trend = DelayTrend()
    private var meter = ThroughputMeter()
    private var rate: RateControl
    private(set) var probe = ProbeControl()
    /// What could be made use of, in bits per second.
    private var wanted = 0.0
    private var reference: Int64 = -1
    private var lastProbeSeen: UInt8 = 0
    private var arrived = 0
    private var lost = 0
    private var lossCountedNs: UInt64 = 0
    private var heardNs: UInt64 = 0
    private var firstHeardNs: UInt64 = 0
    private var sentSinceHeard = 0
    /// When the first packet was sent that feedback is missing for.
    private var unansweredNs: UInt64 = 0
    private var messages = SecondCount()

    /// - Parameter initial: bits per second that are assumed before anything was measured.
    init(initial: Double = RateControl.initial) { rate = RateControl(initial: initial) }

    /// Bits per second of everything sent to the viewer.
    var bitsPerSecond: UInt64 { UInt64(rate.bitsPerSecond) }

    /// Whether the viewer has ever told anything.
    var isMeasured: Bool { firstHeardNs != 0 }

    /// Whether too little is known yet to choose by, and nothing speaks against what is sent.
    func isStarting(_ now: UInt64) -> Bool {
        firstHeardNs == 0 || (now &- firstHeardNs < Self.startNs && rate.lastDecreaseNs == 0)
    }

    /// The number that the next packet has to carry.
    @inline(__always)
    var nextNumber: UInt16 { UInt16(truncatingIfNeeded: history.next) }

    /// Notes a packet that is about to be sent; returns the number it has to carry.
    ///
    /// - Parameter bytes: as the path carries it, all headers included.
    @inline(__always)
    mutating func sent(bytes: Int, now: UInt64) -> UInt16 {
        probe.countSent(bytes)
        if sentSinceHeard == 0 { unansweredNs = now }
        sentSinceHeard += 1
        return history.add(bytes: bytes, probe: probe.mark, now: now)
    }

    /// Takes a feedback message; returns false for one that is none, or one too many.
    ///
    /// - Parameter rttNs: the round trip as receiver reports tell it; 0 while unknown.
    mutating func receive(_ feedback: FeedbackHeader, in bytes: Span<UInt8>, rttNs: UInt64, now: UInt64) -> Bool {
        guard messages.add(now: now) <= Self.messagesPerSecond, var reader = TransportFeedbackReader(feedback, in: bytes)
        else { return false }
        follow(reader.reference)
        heardNs = now
        if firstHeardNs == 0 { firstHeardNs = now }
        sentSinceHeard = 0
        var number = reader.base
        var hasPassedProbe = false
        while let status = reader.next(in: bytes) {
            if let place = history.extend(number) {
                let packet = history.packet(place)
                take(place, packet, status)
                if packet.probe != probe.number { hasPassedProbe = hasPassedProbe || packet.sentNs > probe.startedNs }
            }
            number &+= 1
        }
        conclude(hasPassedProbe: hasPassedProbe, rttNs: rttNs, now: now)
        return true
    }

    /// Reference times are 24 bits; they go on from the last one, either way.
    private mutating func follow(_ word: UInt32) {
        guard reference >= 0 else {
            // Far enough from zero that a time which runs back stays positive.
            reference = Int64(word) + (1 << 24)
            return
        }
        let difference = Int32(bitPattern: (word &- UInt32(truncatingIfNeeded: reference)) << 8) >> 8
        reference = max(0, reference + Int64(difference))
    }

    private mutating func take(_ place: UInt64, _ packet: SentHistory.Packet, _ status: TransportFeedbackReader.Status) {
        switch status {
        case .lost:
            guard history.settle(place, .lost) == .unknown else { return }
            // What a probe loses says something about the probe only.
            if packet.probe == 0 { lost += 1 } else { probe.count(packet, arrivalMs: nil) }
        case .received(let quarterMs):
            let before = history.settle(place, .arrived)
            guard before != .arrived else { return }
            let arrivalMs = Double(reference) * 64 + Double(quarterMs) / 4
            meter.add(bytes: Int(packet.bytes), arrivalMs: arrivalMs)
            if packet.probe != 0 {
                lastProbeSeen = packet.probe
                probe.count(packet, arrivalMs: arrivalMs)
                return
            }
            // A probe fills the queue on purpose: the trend begins anew behind it.
            if lastProbeSeen != 0 {
                lastProbeSeen = 0
                trend.skip()
            }
            arrived += 1
            if before == .lost, lost > 0 { lost -= 1 }
            trend.add(sentNs: packet.sentNs, arrivalMs: arrivalMs)
        }
    }

    private mutating func conclude(hasPassedProbe: Bool, rttNs: UInt64, now: UInt64) {
        let decreasedNs = rate.lastDecreaseNs
        rate.update(
            signal: trend.signal, arrived: meter.bitsPerSecond, loss: lossIfCounted(now), rttNs: rttNs,
            mayGrow: probe.isOver(for: ThroughputMeter.spanNs + rttNs, now: now), now: now)
        if rate.lastDecreaseNs != decreasedNs { probe.objected(now: now) }
        conclude(probe.take(passed: hasPassedProbe, now: now))
        if isStarting(now), let arrived = meter.bitsPerSecond { rate.raise(to: Self.startHeadroom * arrived) }
    }

    private mutating func conclude(_ outcome: ProbeControl.Outcome?) {
        switch outcome {
        case .carried(let measured): rate.raise(to: measured)
        // The queue that the probe made needs some of it to drain.
        case .full(let measured): rate.raise(to: 0.9 * measured)
        case .unclear, nil: break
        }
    }

    private mutating func lossIfCounted(_ now: UInt64) -> Double? {
        let count = arrived + lost
        let isHeavy = lost >= Self.lossHeavy && 5 * lost > count
        let isTime = count >= Self.lossPacketsMin && now &- lossCountedNs >= Self.lossIntervalNs
        guard isHeavy || isTime || count >= Self.lossPackets else { return nil }
        let share = Double(lost) / Double(count)
        arrived = 0
        lost = 0
        lossCountedNs = now
        return share
    }

    // MARK: Time and wishes

    /// - Parameter bitsPerSecond: what could be made use of if the path carried it; 0 while nothing may be tried.
    mutating func want(_ bitsPerSecond: UInt64) { wanted = Double(bitsPerSecond) }

    /// Looks after what time brings. Call at ``deadlineNs``, between two pictures.
    ///
    /// - Returns: bytes of padding to send now.
    mutating func handleTimeout(now: UInt64) -> Int {
        if heardNs != 0, sentSinceHeard > Self.lossPacketsMin, now &- unansweredNs >= Self.silenceNs {
            rate.lower(to: rate.bitsPerSecond / 2, now: now)
            unansweredNs = now &- Self.silenceNs &+ Limits.secondNs
        }
        conclude(probe.take(passed: false, now: now))
        // Before the first feedback nobody could tell what a probe showed.
        if heardNs != 0 { probe.beginIfDue(estimate: rate.bitsPerSecond, wanted: wanted, now: now) }
        return probe.paddingDue(now: now)
    }

    /// When ``handleTimeout(now:)`` has something to do; `.max` when it hasn't.
    var deadlineNs: UInt64 {
        let silence = heardNs != 0 && sentSinceHeard > Self.lossPacketsMin ? unansweredNs &+ Self.silenceNs : .max
        return min(silence, probe.deadlineNs(hasWish: heardNs != 0 && wanted > rate.bitsPerSecond))
    }

    /// A limit that the viewer itself names (REMB).
    mutating func lower(to bitsPerSecond: UInt64, now: UInt64) { rate.lower(to: Double(bitsPerSecond), now: now) }
}
