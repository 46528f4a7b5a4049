/// What a receiver report says about one source (RFC 3550 A.3, A.8), by extended sequence numbers.
struct ReceiverStats {
    private(set) var received: UInt64 = 0
    private var base: UInt64 = 0
    private(set) var highest: UInt64 = 0
    private var expectedPrior: UInt64 = 0
    private var receivedPrior: UInt64 = 0
    /// Scaled by 16, in clock units (RFC 3550 A.8).
    private var jitter: UInt64 = 0
    private var lastTransit: Int64 = 0
    private var lastTimestamp: UInt32 = 0
    /// From the last sender report; 0 before it.
    private var lastReportMiddle: UInt32 = 0
    private var lastReportArrivalNs: UInt64 = 0

    /// Counts a packet that came under its own sequence number, duplicates too.
    mutating func record(sequence: UInt64, timestamp: UInt32, arrivalNs: UInt64, clockRate: UInt32) {
        let isFirst = received == 0
        received &+= 1
        if isFirst {
            base = sequence
            highest = sequence
        }
        // Only packets in order and of a new frame tell of the network; a frame's packets share a timestamp but not a time.
        guard sequence >= highest else { return }
        highest = sequence
        let arrival = Int64(bitPattern: arrivalNs / 1000 &* UInt64(clockRate) / 1_000_000)
        let transit = arrival &- Int64(timestamp)
        if !isFirst, timestamp != lastTimestamp {
            // Modulo 2^32, so that a wrapping timestamp is no jitter.
            let difference = UInt64(Int32(truncatingIfNeeded: transit &- lastTransit).magnitude)
            jitter = jitter &+ difference &- ((jitter &+ 8) >> 4)
        }
        lastTransit = transit
        lastTimestamp = timestamp
    }

    /// Remembers when the source last reported, for the sender's round trip time.
    mutating func recordSenderReport(ntp: UInt64, arrivalNs: UInt64) {
        lastReportMiddle = UInt32(truncatingIfNeeded: ntp >> 16)
        lastReportArrivalNs = arrivalNs
    }

    /// The source's numbering started anew.
    mutating func restart(at sequence: UInt64) {
        base = sequence
        highest = sequence
        received = 0
        expectedPrior = 0
        receivedPrior = 0
    }

    /// Expected less received; negative when more came than were sent.
    var lost: Int64 {
        guard received > 0 else { return 0 }
        return Int64(bitPattern: highest &- base &+ 1) &- Int64(bitPattern: received)
    }

    /// The block for now; starts a new interval of the lost fraction.
    mutating func report(ssrc: UInt32, now: UInt64) -> ReportBlock {
        let expected = received > 0 ? highest &- base &+ 1 : 0
        let expectedInterval = Int64(bitPattern: expected &- expectedPrior)
        let lostInterval = expectedInterval &- Int64(bitPattern: received &- receivedPrior)
        expectedPrior = expected
        receivedPrior = received
        let fraction = expectedInterval > 0 && lostInterval > 0 ? min(255, lostInterval * 256 / expectedInterval) : 0
        let delay = lastReportArrivalNs == 0 || now < lastReportArrivalNs ? 0 : now - lastReportArrivalNs
        return ReportBlock(
            ssrc: ssrc, fractionLost: UInt8(fraction), cumulativeLost: Int32(max(-0x80_0000, min(0x7F_FFFF, lost))),
            // The unwrapper counts from one cycle up.
            highestSequence: UInt32(truncatingIfNeeded: highest &- 1 << 16),
            jitter: UInt32(truncatingIfNeeded: jitter >> 4), lastReport: lastReportMiddle,
            delaySinceLastReport: UInt32(truncatingIfNeeded: delay / 1000 * 65536 / 1_000_000))
    }
}
