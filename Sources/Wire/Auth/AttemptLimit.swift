/// Counts wrong passwords of each address over a minute, in bounded memory.
struct AttemptLimit {
    static let failuresMax = 10
    static let windowSeconds: Int64 = 60
    static let addressesMax = 4_096

    private struct Count {
        var failures: Int
        var since: Int64
    }

    private var counts: [String: Count] = [:]

    /// Seconds to wait, or nil when the address may try now.
    func wait(_ address: String, now: Int64) -> Int? {
        guard let count = counts[address], count.failures >= Self.failuresMax else { return nil }
        let left = count.since + Self.windowSeconds - now
        return left > 0 ? Int(left) : nil
    }

    mutating func fail(_ address: String, now: Int64) {
        if let count = counts[address], now < count.since + Self.windowSeconds {
            counts[address] = Count(failures: count.failures + 1, since: count.since)
            return
        }
        if counts.count >= Self.addressesMax { counts = counts.filter { now < $0.value.since + Self.windowSeconds } }
        // Still full: someone has many addresses. Those already counted stay counted.
        if counts.count < Self.addressesMax { counts[address] = Count(failures: 1, since: now) }
    }

    mutating func succeed(_ address: String) { counts[address] = nil }
}
