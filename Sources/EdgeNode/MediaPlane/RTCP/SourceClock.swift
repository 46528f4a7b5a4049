/// Maps a track's RTP timestamps to one wall clock, from the publisher's sender reports (RFC 3550 §6.4.1).
///
/// Reports of the publisher are moved to our own NTP clock by one offset for all its tracks, so that audio and video stay in
/// the publisher's common time while nothing jumps when a first report comes, or another publisher takes over.
struct SourceClock {
    /// How far one correction may move the mapping once viewers know it.
    static let slewNs: Int64 = 10_000_000

    private(set) var isReported = false
    private var anchorTimestamp: UInt32 = 0
    /// Our wall clock at the anchor, nanoseconds since 1900.
    private var anchorWallNs: UInt64 = 0
    private var isAnchored = false
    private var reportNtpNs: UInt64 = 0
    private var reportArrivalNs: UInt64 = 0

    /// Before the first report a packet's arrival stands in for its capture.
    mutating func anchorAtArrival(timestamp: UInt32, wallNs: UInt64, clockRate: UInt32) {
        guard isAnchored else {
            anchorTimestamp = timestamp
            anchorWallNs = wallNs
            isAnchored = true
            return
        }
        follow(timestamp, clockRate: clockRate)
    }

    /// Moves the anchor along its own line: a source that never reports must not come half a cycle of timestamps away from it.
    private mutating func follow(_ timestamp: UInt32, clockRate: UInt32) {
        let ahead = timestamp &- anchorTimestamp
        guard ahead > 1 << 30, ahead < 1 << 31 else { return }
        anchorWallNs = wall(of: timestamp, clockRate: clockRate)
        anchorTimestamp = timestamp
    }

    /// What a report was good for.
    enum Verdict {
        case taken
        /// The sender's clock was set, or runs another way than ours: left out, and believed next time if it goes on from here.
        case clockJumped
        /// Its timestamp is of another time than its packets; some encoders never get it right.
        case wrongTimestamp
    }

    /// Further than this no network or encoder is behind.
    static let plausibleNs: Int64 = 2_000_000_000

    /// Takes a report, unless it can't be true.
    ///
    /// - Parameters:
    ///   - wallNs: the report's NTP time on our clock.
    ///   - mayJump: no viewer has seen the mapping so far.
    mutating func report(
        timestamp: UInt32, ntpNs: UInt64, wallNs: UInt64, arrivalNs: UInt64, clockRate: UInt32, mayJump: Bool
    ) -> Verdict {
        guard ntpNs != 0, clockRate > 0 else { return .wrongTimestamp }
        if reportArrivalNs != 0 {
            let elapsed = Double(arrivalNs &- reportArrivalNs)
            let reported = Double(Int64(bitPattern: ntpNs &- reportNtpNs))
            // Short intervals say nothing of the rate.
            if elapsed > 200_000_000, reported < 0.8 * elapsed || reported > 1.2 * elapsed {
                reportNtpNs = ntpNs
                reportArrivalNs = arrivalNs
                return .clockJumped
            }
        }
        reportNtpNs = ntpNs
        reportArrivalNs = arrivalNs
        let expected = wall(of: timestamp, clockRate: clockRate)
        let error = Int64(bitPattern: wallNs &- expected)
        if isAnchored, error > Self.plausibleNs || error < -Self.plausibleNs { return .wrongTimestamp }
        if isAnchored, isReported || !mayJump {
            let step = max(-Self.slewNs, min(Self.slewNs, error))
            anchorWallNs = expected &+ UInt64(bitPattern: step)
        } else {
            anchorWallNs = wallNs
        }
        anchorTimestamp = timestamp
        isAnchored = true
        isReported = true
        return .taken
    }

    /// Whether ``wall(of:clockRate:)`` means anything.
    var isUsable: Bool { isAnchored }

    /// Our wall clock at `timestamp`, nanoseconds since 1900.
    func wall(of timestamp: UInt32, clockRate: UInt32) -> UInt64 {
        let ticks = Int64(Int32(bitPattern: timestamp &- anchorTimestamp))
        let ns = ticks &* 1_000_000_000 / Int64(max(clockRate, 1))
        return anchorWallNs &+ UInt64(bitPattern: ns)
    }
}

/// 32.32 fixed point seconds, the NTP form.
enum NTP {
    /// Seconds from 1900 to 1970.
    static let unixOffsetSeconds: UInt64 = 2_208_988_800

    /// Nanoseconds since 1900 as 32.32; wraps in 2036 as NTP does.
    static func fixed(ns: UInt64) -> UInt64 {
        let seconds = ns / 1_000_000_000
        let rest = ns % 1_000_000_000
        return seconds << 32 | (rest << 32) / 1_000_000_000
    }

    /// 32.32 as nanoseconds.
    static func ns(fixed: UInt64) -> UInt64 {
        let seconds = fixed >> 32
        return seconds &* 1_000_000_000 &+ ((fixed & 0xFFFF_FFFF) &* 1_000_000_000) >> 32
    }
}
