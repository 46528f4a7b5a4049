/// What becomes of a viewer's requests for a keyframe: whether the publisher makes one, or the viewer has to be shown the last one again.
///
/// Some clients ask every few seconds whether they need one or not, and one that waits for one may ask no more often. So what a viewer's
/// reports say counts, too.
struct KeyframePleas {
    /// Whose requests go on for so long gets none: a publisher's answer takes half a second and more where a request was sent just before,
    /// or has to pass several nodes.
    static let patienceNs: UInt64 = 1_000_000_000
    /// Chromium, when it waits for a keyframe, asks every three seconds; requests further apart don't belong together.
    static let apartMaxNs: UInt64 = 4_000_000_000
    /// Whose reports come once a second and then don't for so long has stood still, and lost what his socket had no room for.
    static let standstillNs: UInt64 = 3_000_000_000
    /// Between two repeats of a group; each next one waits twice as long.
    static let pauseMinNs: UInt64 = 4_000_000_000
    static let pauseMaxNs: UInt64 = 64_000_000_000

    /// Of the requests since the last keyframe or repeat, each soon after the one before: the first's and the last's time; 0 for none.
    private var firstNs: UInt64 = 0
    private var lastNs: UInt64 = 0
    /// When the last report came, and the last one that tells of loss.
    private var reportNs: UInt64 = 0
    private var missedNs: UInt64 = 0
    private var repeatedNs: UInt64 = 0
    private var pauseNs: UInt64 = 0

    /// Notes a receiver report on the track.
    mutating func noteReport(isLossy: Bool, now: UInt64) {
        if isLossy || reportNs != 0 && now &- reportNs >= Self.standstillNs { missedNs = now }
        reportNs = now
    }

    /// Notes a request.
    ///
    /// - Parameter keyframeNs: when the last keyframe came.
    /// - Returns: whether something was lost since then, requests have brought nothing, and the group is to be shown again now; it counts
    ///   as shown.
    mutating func areInVain(now: UInt64, keyframeNs: UInt64) -> Bool {
        if firstNs <= keyframeNs || now &- lastNs > Self.apartMaxNs { firstNs = now }
        lastNs = now
        guard missedNs > keyframeNs, now &- firstNs >= Self.patienceNs else { return false }
        let sinceNs = now &- repeatedNs
        if sinceNs >= 2 * Self.pauseMaxNs { pauseNs = 0 }
        guard pauseNs == 0 || sinceNs >= pauseNs else { return false }
        (firstNs, missedNs, repeatedNs) = (0, 0, now)
        pauseNs = min(Self.pauseMaxNs, max(Self.pauseMinNs, pauseNs &* 2))
        return true
    }
}
