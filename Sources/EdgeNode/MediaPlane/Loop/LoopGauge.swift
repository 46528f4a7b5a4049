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
struct LoadWindow {
    private var startNs: UInt64
    private var busyNs: UInt64 = 0

    init(startNs: UInt64) { self.startNs = startNs }

    /// Adds a stretch of work that ended at `now`; the share in thousandths when a window ends with it.
    mutating func add(busyNs stretch: UInt64, endingAt now: UInt64) -> UInt32? {
        busyNs &+= stretch
        let elapsed = now &- startNs
        guard elapsed >= MediaLimits.loadWindowNs else { return nil }
        let share = min(1000, busyNs &* 1000 / elapsed)
        (startNs, busyNs) = (now, 0)
        return UInt32(truncatingIfNeeded: share)
    }
}
