/// Stops the video of a viewer whose path loses more than it can make up for, so that sound gets through and the path recovers
/// (in the spirit of RFC 8083 §4.3). Resends and a lower layer come first: this is for what neither helps.
struct LossBreaker {
    /// Of 256: a quarter.
    static let lossMax: UInt8 = 64
    /// Reports have to say so for that long, and half as long when most is lost.
    static let patienceNs: UInt64 = 4_000_000_000
    /// Where video has begun again after a stop one report is enough, for each trial costs the sound as much as the pictures. Earlier than
    /// this it may still tell of what was lost before the stop.
    static let trialNs: UInt64 = 500_000_000
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

    /// Takes what was lost of the video in a window, of 256; returns true when it has to stop now.
    mutating func note(fractionLost: UInt8, now: UInt64) -> Bool {
        guard !isOpen else { return false }
        guard fractionLost > Self.lossMax else {
            troubledSinceNs = 0
            return false
        }
        let isTrial = resumedNs != 0 && now &- resumedNs < Self.calmNs
        if isTrial, now &- resumedNs < Self.trialNs { return false }
        if troubledSinceNs == 0 { troubledSinceNs = now }
        let patienceNs = isTrial ? 0 : fractionLost > 2 * Self.lossMax ? Self.patienceNs / 2 : Self.patienceNs
        guard now &- troubledSinceNs >= patienceNs else { return false }
        if !isTrial { pauseNs = Self.pauseMinNs }
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
