import Synchronization

/// Whether a loop has time left: the loop writes a few times a second, anybody reads.
///
/// A loop that is nearly always busy serves everybody late, so newcomers have to be refused before that.
final class LoopGauge: Sendable {
    private let permille = Atomic<UInt32>(0)

    func set(permille: UInt32) { self.permille.store(permille, ordering: .relaxed) }

    var isSaturated: Bool { permille.load(ordering: .relaxed) >= MediaLimits.saturationPermille }
}

/// The share of its time that a loop was busy, window by window.
///
/// Where the kernel tells, that is the time that its thread ran, and as much again at most in which it was ready and others ran: who watches is
/// served late by either, but a loop that does little has nobody to protect.
struct LoadWindow {
    private var startNs: UInt64
    private var busyNs: UInt64 = 0
    private var before: (ranNs: UInt64, waitedNs: UInt64)?
    private var lastShare: UInt64 = 0

    init(startNs: UInt64) { self.startNs = startNs }

    /// Adds a stretch of work that ended at `now`. When a window ends with it: the share in thousandths, of the lighter of the last two,
    /// so that one moment in which the system had other things to do is no overload.
    ///
    /// - Parameter times: the thread's, which are only asked for then.
    mutating func add(
        busyNs stretch: UInt64, endingAt now: UInt64, times: () -> (ranNs: UInt64, waitedNs: UInt64)? = { nil }
    ) -> UInt32? {
        busyNs &+= stretch
        let elapsed = now &- startNs
        guard elapsed >= MediaLimits.loadWindowNs else { return nil }
        let counted = times()
        if let before, let counted {
            let ran = counted.ranNs &- before.ranNs
            busyNs = ran &+ min(ran, counted.waitedNs &- before.waitedNs)
        }
        let share = min(1000, busyNs &* 1000 / elapsed)
        defer { (startNs, busyNs, lastShare, before) = (now, 0, share, counted) }
        return UInt32(truncatingIfNeeded: min(share, lastShare))
    }
}
