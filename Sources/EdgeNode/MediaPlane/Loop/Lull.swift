/// Whether a loop should wait a little before it reads what has come, and for how long: each wake costs more than a packet does.
///
/// Commands are never waited with. Times in nanoseconds.
struct Lull {
    /// Nothing but consent checks for so long: those of thousands who watch nothing are read together.
    static let afterNs: UInt64 = 1_000_000_000
    static let checksMs: Int32 = 20
    /// So many datagrams in a window: 5,000 a second come from many peers, and few of them at once.
    static let windowNs: UInt64 = 10_000_000
    static let crowd = 50
    static let crowdMs: Int32 = 1

    /// When something last came that can't wait long: anything but a consent check.
    var activeNs: UInt64
    private var windowStartNs: UInt64
    private var inWindow = 0
    private var isCrowded = false
    /// How long the last wake worked.
    private var workedNs: UInt64 = 0

    init(now: UInt64) {
        activeNs = now
        windowStartNs = now
    }

    /// A wake has ended, in which so many datagrams were read.
    mutating func note(datagrams: Int, workedNs: UInt64, now: UInt64) {
        self.workedNs = workedNs
        inWindow += datagrams
        guard now &- windowStartNs >= Self.windowNs else { return }
        // A longer window than that has no crowd in it, or so much work that things gather by themselves.
        isCrowded = now &- windowStartNs < 2 * Self.windowNs && inWindow >= Self.crowd
        (windowStartNs, inWindow) = (now, 0)
    }

    /// For how many milliseconds to let things gather; 0 for not at all. A wake that worked for long has had things gather meanwhile.
    func gatherMs(_ now: UInt64) -> Int32 {
        if now &- activeNs > Self.afterNs { return Self.checksMs }
        return isCrowded && workedNs < UInt64(Self.crowdMs) * 1_000_000 ? Self.crowdMs : 0
    }
}
