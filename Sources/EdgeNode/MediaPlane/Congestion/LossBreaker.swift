/// Stops the video of a viewer whose path loses more than it can make up for, so that sound gets through and the path recovers
/// (in the spirit of RFC 8083 §4.3). Resends and a lower layer come first: this is for what neither helps.
struct LossBreaker {
    /// Of 256: a quarter.
    static let lossMax: UInt8 = 64
    /// Reports have to say so for that long.
    static let patienceNs: UInt64 = 4_000_000_000
    /// How long the video stops, at first and at most; each time twice as long.
    static let pauseMinNs: UInt64 = 2_000_000_000
    static let pauseMaxNs: UInt64 = 16_000_000_000
    /// After this long without trouble the first pause is short again.
    static let calmNs: UInt64 = 30_000_000_000

    private var troubledSinceNs: UInt64 = 0
    private var pauseNs = Self.pauseMinNs
    /// Until when video stays stopped; 0 while it runs.
    private(set) var resumeNs: UInt64 = 0
    private var resumedNs: UInt64 = 0

    var isOpen: Bool { resumeNs != 0 }

    /// Takes what a report says of the video; returns true when it has to stop now.
    ///
    /// - Parameter fractionLost: since the report before, of 256.
    mutating func note(fractionLost: UInt8, now: UInt64) -> Bool {
        guard !isOpen else { return false }
        guard fractionLost > Self.lossMax else {
            troubledSinceNs = 0
            return false
        }
        if troubledSinceNs == 0 { troubledSinceNs = now }
        guard now &- troubledSinceNs >= Self.patienceNs else { return false }
        if resumedNs != 0, now &- resumedNs >= Self.calmNs { pauseNs = Self.pauseMinNs }
        resumeNs = now &+ pauseNs
        pauseNs = min(2 * pauseNs, Self.pauseMaxNs)
        troubledSinceNs = 0
        return true
    }

    /// Whether video may begin again, at a keyframe; once for each stop.
    mutating func takeResume(now: UInt64) -> Bool {
        guard isOpen, now >= resumeNs else { return false }
        resumeNs = 0
        resumedNs = now
        return true
    }
}
