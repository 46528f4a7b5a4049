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

    /// Loss is measured over no less than this: clients send a report with each message that asks for packets, and what one of those says of
    /// the few milliseconds since the one before is chance.
    static let windowNs: UInt64 = 1_000_000_000
    /// More packets than come in any window: the numbers begin anew.
    private static let expectedMax: UInt32 = 1 << 20

    /// Where the window began.
    private var since: (ns: UInt64, highest: UInt32, lost: Int32) = (0, 0, 0)
    /// Of 256, in the last whole window.
    private(set) var fractionLost: UInt8 = 0
    private var troubledSinceNs: UInt64 = 0
    private var pauseNs = Self.pauseMinNs
    /// Until when video stays stopped; 0 while it runs.
    private(set) var resumeNs: UInt64 = 0
    private var resumedNs: UInt64 = 0

    var isOpen: Bool { resumeNs != 0 }

    /// Takes what a report says of the video; returns true when it has to stop now.
    mutating func note(_ block: ReportBlock, now: UInt64) -> Bool {
        guard since.ns == 0 || now &- since.ns >= Self.windowNs else { return false }
        let before = since
        since = (now, block.highestSequence, block.cumulativeLost)
        let expected = block.highestSequence &- before.highest
        guard before.ns != 0, expected > 0, expected <= Self.expectedMax else { return false }
        let lost = max(0, Int64(block.cumulativeLost) - Int64(before.lost))
        return note(fractionLost: UInt8(clamping: lost * 256 / Int64(expected)), now: now)
    }

    /// - Parameter fractionLost: of a window, of 256.
    mutating func note(fractionLost: UInt8, now: UInt64) -> Bool {
        self.fractionLost = fractionLost
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
