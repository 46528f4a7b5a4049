/// How much video may go to a viewer now: 2.5 times what its path carries, so that a keyframe takes about the time of the pictures
/// around it and doesn't overrun the queues on the way (draft-ietf-rmcat-gcc-02 §4). Sound never asks.
///
/// What finds no room stays in the track's ring; nothing is queued for a viewer.
struct PaceBudget {
    private static let burstBytesMin = 12_000
    /// What may go out in one run at most, as time at the pace.
    private static let burstNs: UInt64 = 20_000_000

    private var bytes = Self.burstBytesMin
    private var filledNs: UInt64 = 0

    /// Adds what has become free since the last call.
    ///
    /// - Parameter bitsPerSecond: what the path carries.
    @inline(__always)
    mutating func fill(bitsPerSecond: UInt64, now: UInt64) {
        let pace = bitsPerSecond / 8 * 5 / 2
        let elapsed = min(now &- filledNs, Limits.secondNs)
        filledNs = now
        let burst = max(Self.burstBytesMin, Int(pace * Self.burstNs / Limits.secondNs))
        bytes = min(burst, bytes + Int(pace * elapsed / Limits.secondNs))
    }

    /// Whether another packet may go; the last one may run into debt.
    var isOpen: Bool { bytes > 0 }

    @inline(__always)
    mutating func spend(_ count: Int) { bytes -= count }
}
