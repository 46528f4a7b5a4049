/// What share of a track's packets a viewer has lost, over no less than a second: clients send a report with each message that asks for
/// packets, and what one of those says of the few milliseconds since the one before is chance.
struct LossWindow {
    static let windowNs: UInt64 = 1_000_000_000
    /// More packets than come in any window: the numbers begin anew.
    private static let expectedMax: UInt32 = 1 << 20

    /// Where the window began.
    private var since: (ns: UInt64, highest: UInt32, lost: Int32) = (0, 0, 0)
    /// Of 256, in the last whole window.
    private(set) var fractionLost: UInt8 = 0

    /// Takes a report; the share of 256 when a window ends with it.
    mutating func take(_ block: ReportBlock, now: UInt64) -> UInt8? {
        guard since.ns == 0 || now &- since.ns >= Self.windowNs else { return nil }
        let before = since
        since = (now, block.highestSequence, block.cumulativeLost)
        let expected = block.highestSequence &- before.highest
        guard before.ns != 0, expected > 0, expected <= Self.expectedMax else { return nil }
        let lost = max(0, Int64(block.cumulativeLost) - Int64(before.lost))
        fractionLost = UInt8(clamping: lost * 256 / Int64(expected))
        return fractionLost
    }
}
