/// What a viewer without transport-wide feedback lets us know of its path: its own estimate (draft-alvestrand-rmcat-remb-03), and the
/// loss in its receiver reports (draft-ietf-rmcat-gcc-02 §6).
struct ReportedRate {
    /// An estimate that isn't repeated is forgotten.
    private static let estimateNs: UInt64 = 10_000_000_000

    private var estimate: UInt64 = 0
    private var estimatedNs: UInt64 = 0
    /// Infinite until there was loss.
    private var lossLimit = Double.infinity
    private var countedNs: UInt64 = 0
    private var countedBytes: UInt64 = 0

    /// Takes the viewer's own estimate; one below what sound needs is meant as a stop of video, not of everything.
    mutating func note(estimate bits: UInt64, now: UInt64) {
        estimate = max(bits, UInt64(RateControl.minimum))
        estimatedNs = now
    }

    /// Takes what was lost of the video.
    ///
    /// - Parameters:
    ///   - fractionLost: in a window of a second or more, of 256.
    ///   - sentBytes: everything sent to the viewer so far.
    mutating func note(fractionLost: UInt8, sentBytes: UInt64, now: UInt64) {
        let elapsed = countedNs == 0 ? 0 : Double(now &- countedNs) / 1e9
        let rate = elapsed > 0 ? Double(8 * (sentBytes &- countedBytes)) / elapsed : 0
        (countedNs, countedBytes) = (now, sentBytes)
        let loss = Double(fractionLost) / 256
        if loss > RateControl.lossHigh, rate > 0 {
            lossLimit = max(min(lossLimit, rate) * (1 - loss / 2), RateControl.minimum)
        } else if loss < RateControl.lossLow, lossLimit.isFinite {
            lossLimit *= 1 + (RateControl.growth - 1) * min(elapsed, 1)
            // Far above what is sent it says nothing any more.
            if lossLimit > 3 * max(rate, RateControl.minimum) { lossLimit = .infinity }
        }
    }

    /// Bits per second that everything together may take; nil while nothing speaks against any rate.
    func bitsPerSecond(now: UInt64) -> UInt64? {
        let isFresh = estimatedNs != 0 && now &- estimatedNs < Self.estimateNs
        let told = isFresh ? Double(estimate) : .infinity
        let limit = min(told, lossLimit)
        return limit.isFinite ? UInt64(min(limit, RateControl.maximum)) : nil
    }
}
