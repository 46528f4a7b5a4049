/// Relates one track's RTP timestamps to the clocks they can be compared by: ours, and the sender's (RFC 3550 6.4.1).
///
/// An offset is what must be added to a timestamp, counted in nanoseconds, to get a time of that clock.
struct TrackClock {
    /// Ticks a second.
    let rate: Int64
    private let multiple: Int64
    private var last: Int64?
    private var firstArrivalNs: UInt64?
    private var lastArrivalNs: UInt64?
    private var window = OffsetWindow(bucketNs: 5_000_000_000)
    private var longWindow = OffsetWindow(bucketNs: Self.steadyNs)
    /// What the sender said of its clock since the last jump.
    private(set) var reports = ReportHistory()
    /// A report has come, ever.
    private(set) var hasReports = false
    /// A report that came before any packet, which many senders begin with.
    private var earlyReport: (ntp: UInt64, timestamp: UInt32, arrivalNs: UInt64)?

    /// - Parameters:
    ///   - rate: ticks a second of the times that come out.
    ///   - multiple: how many of them an RTP tick is.
    init(rate: Int64, multiple: Int64 = 1) {
        self.rate = max(1, rate)
        self.multiple = max(1, multiple)
    }

    /// The unwrapped timestamp nearest to the last one; starts one cycle up so that it cannot fall below 0.
    func unwrapped(_ timestamp: UInt32) -> Int64 {
        guard let last else { return (1 << 32 | Int64(timestamp)) * multiple }
        return last + Int64(Int32(bitPattern: timestamp &- UInt32(truncatingIfNeeded: last / multiple))) * multiple
    }

    /// Unwraps the timestamp of the next packet in order and learns from its arrival.
    mutating func observe(_ timestamp: UInt32, arrivalNs: UInt64) -> Int64 {
        let value = unwrapped(timestamp)
        if let last, let lastArrivalNs, isJump(from: last, atNs: lastArrivalNs, to: value, atNs: arrivalNs) {
            window = OffsetWindow(bucketNs: 5_000_000_000)
            longWindow = OffsetWindow(bucketNs: Self.steadyNs)
            reports = ReportHistory()
            firstArrivalNs = nil
        }
        last = value
        firstArrivalNs = firstArrivalNs ?? arrivalNs
        lastArrivalNs = arrivalNs
        let offset = Int64(clamping: arrivalNs) - nanoseconds(value)
        window.add(offset, nowNs: arrivalNs)
        longWindow.add(offset, nowNs: arrivalNs)
        if let early = earlyReport {
            earlyReport = nil
            receiveReport(ntp: early.ntp, timestamp: early.timestamp, arrivalNs: early.arrivalNs)
        }
        return value
    }

    /// Media time went another way than time: the sender counts anew, or nothing came for longer than a sample may last.
    func isJump(from old: Int64, atNs oldNs: UInt64, to new: Int64, atNs newNs: UInt64) -> Bool {
        let mediaNs = nanoseconds(new - old)
        let passedNs = Int64(clamping: newNs) - Int64(clamping: oldNs)
        return abs(mediaNs) > TimelineSettings.discontinuityNs || abs(mediaNs - passedNs) > Self.jumpNs
    }

    /// More than networks and reordering make of it.
    static let jumpNs: Int64 = 2_000_000_000

    /// Takes a sender report; what contradicts the others or the passage of time is left out (OBS and others send nonsense).
    mutating func receiveReport(ntp: UInt64, timestamp: UInt32, arrivalNs: UInt64) {
        guard ntp >> 32 != 0 else { return }
        hasReports = true
        guard last != nil else {
            earlyReport = (ntp, timestamp, arrivalNs)
            return
        }
        let fraction = Int64(((ntp & 0xFFFF_FFFF) * 1_000_000_000) >> 32)
        reports.add(
            ReportHistory.Report(
                ntpNs: Int64(ntp >> 32) * 1_000_000_000 + fraction, mediaNs: nanoseconds(unwrapped(timestamp)),
                arrivalNs: arrivalNs))
    }

    /// To our monotonic clock, by the packets that came fastest; nil before the first packet.
    var arrivalOffsetNs: Int64? { window.least }

    /// The same of the last one to two minutes: no queue that fills up for a while moves it, and clocks do not drift far meanwhile.
    var steadyOffsetNs: Int64? { longWindow.least }

    private static let steadyNs: UInt64 = 60_000_000_000

    /// How long arrivals have been learned from, since the first packet or the last jump.
    var observedNs: UInt64 { (lastArrivalNs ?? 0) &- min(firstArrivalNs ?? 0, lastArrivalNs ?? 0) }

    /// Ticks as nanoseconds, without overflow for centuries.
    func nanoseconds(_ ticks: Int64) -> Int64 {
        let (seconds, rest) = ticks.quotientAndRemainder(dividingBy: rate)
        return seconds &* 1_000_000_000 &+ rest &* 1_000_000_000 / rate
    }

    /// Nanoseconds as ticks, rounded.
    func ticks(_ nanoseconds: Int64) -> Int64 { Self.ticks(nanoseconds, rate: rate) }

    /// Nanoseconds as ticks of a rate, rounded.
    static func ticks(_ nanoseconds: Int64, rate: Int64) -> Int64 {
        let (seconds, rest) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        let half: Int64 = rest < 0 ? -500_000_000 : 500_000_000
        return seconds &* rate &+ (rest &* rate &+ half) / 1_000_000_000
    }
}

/// The least offset of the last one to two buckets of time: queues only ever make packets late.
private struct OffsetWindow {
    let bucketNs: UInt64
    private var current: Int64?
    private var previous: Int64?
    private var startNs: UInt64 = 0

    init(bucketNs: UInt64) { self.bucketNs = bucketNs }

    mutating func add(_ offset: Int64, nowNs: UInt64) {
        if current == nil || nowNs >= startNs &+ bucketNs {
            previous = current
            current = nil
            startNs = nowNs
        }
        current = min(current ?? offset, offset)
    }

    var least: Int64? {
        guard let current, let previous else { return current ?? previous }
        return min(current, previous)
    }
}
