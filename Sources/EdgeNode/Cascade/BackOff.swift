/// Pauses between attempts: doubling from the first to the longest, each drawn between three and five quarters of that, so that nodes
/// that lost the same source don't come back together.
struct BackOff: Sendable {
    let firstMs: Int
    let longestMs: Int

    /// The pause before attempt `number`, counted from 1, in milliseconds.
    func pauseMs(before number: Int) -> Int {
        let whole = min(longestMs, firstMs << min(max(0, number - 1), 20))
        return Int.random(in: (whole * 3 / 4)...(whole * 5 / 4))
    }
}
