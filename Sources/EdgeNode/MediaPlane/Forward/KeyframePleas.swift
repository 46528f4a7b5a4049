/// What becomes of a viewer's requests for a keyframe: whether the publisher makes one, or the viewer has to be shown the last one again.
struct KeyframePleas {
    /// A publisher that makes keyframes when asked has made one in this time.
    static let patienceNs: UInt64 = 500_000_000
    /// Between two repeats of a group; each next one waits twice as long, until a keyframe has come.
    static let pauseMinNs: UInt64 = 4_000_000_000
    static let pauseMaxNs: UInt64 = 64_000_000_000

    /// The first request since the last keyframe or repeat; 0 for none.
    private var firstNs: UInt64 = 0
    private var repeatedNs: UInt64 = 0
    private var pauseNs: UInt64 = 0

    /// Notes a request.
    ///
    /// - Parameter keyframeNs: when the last keyframe came.
    /// - Returns: whether one before has brought nothing, and the group is to be shown again now.
    mutating func areInVain(now: UInt64, keyframeNs: UInt64) -> Bool {
        guard firstNs != 0, firstNs > keyframeNs else {
            firstNs = now
            return false
        }
        return now &- firstNs >= Self.patienceNs && mayRepeat(now: now, keyframeNs: keyframeNs)
    }

    /// Whether the group may be shown again now; counts it as shown.
    mutating func mayRepeat(now: UInt64, keyframeNs: UInt64) -> Bool {
        if keyframeNs > repeatedNs { pauseNs = 0 }
        guard pauseNs == 0 || now &- repeatedNs >= pauseNs else { return false }
        firstNs = 0
        repeatedNs = now
        pauseNs = min(Self.pauseMaxNs, max(Self.pauseMinNs, pauseNs &* 2))
        return true
    }
}
