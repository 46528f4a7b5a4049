/// Keeps one viewer's resends in bounds: each packet at most once per round trip and ten times, and a share of the bytes
/// that the viewer gets anyway.
struct ResendLimiter {
    static let triesMax: UInt8 = 10
    static let intervalMinNs: UInt64 = 40_000_000
    /// What may be resent at once, when nothing was for a while.
    static let burstBytes = 256 * 1024

    private struct Entry {
        var sequence: UInt64 = .max
        var sentNs: UInt64 = 0
        var tries: UInt8 = 0
    }

    /// Sets of four: numbers a power of two apart, as those of pictures' first packets may be, leave each other room. None before the first
    /// packet is asked for again: 3 KB for each track of a viewer, most of whom lose nothing or only wait.
    private var entries: [Entry] = []
    private static let ways = 4
    private static let sets = 32
    private var budget = Self.burstBytes

    /// Ordinary packets earn resends half their size.
    @inline(__always)
    mutating func earn(_ bytes: Int) {
        budget = min(Self.burstBytes, budget + bytes / 2)
    }

    /// Whether `sequence`, `bytes` long, may be resent now; counts it as resent.
    mutating func take(_ sequence: UInt64, bytes: Int, now: UInt64, rttNs: UInt64) -> Bool {
        guard budget >= bytes else { return false }
        if entries.isEmpty { entries = [Entry](repeating: Entry(), count: Self.ways * Self.sets) }
        let place = place(of: sequence)
        if entries[place].sequence == sequence {
            let interval = max(Self.intervalMinNs, min(rttNs, 500_000_000))
            guard entries[place].tries < Self.triesMax, now &- entries[place].sentNs >= interval else { return false }
            entries[place].tries += 1
            entries[place].sentNs = now
        } else {
            entries[place] = Entry(sequence: sequence, sentNs: now, tries: 1)
        }
        return spend(bytes)
    }

    /// Where a packet is remembered, or the one of its set that was resent longest ago.
    private func place(of sequence: UInt64) -> Int {
        let first = (Int(truncatingIfNeeded: sequence) & (Self.sets - 1)) * Self.ways
        var oldest = first
        for place in first..<(first + Self.ways) {
            if entries[place].sequence == sequence { return place }
            if entries[place].sentNs < entries[oldest].sentNs { oldest = place }
        }
        return oldest
    }

    /// Whether so many bytes more may be resent; counts them.
    mutating func spend(_ bytes: Int) -> Bool {
        guard budget >= bytes else { return false }
        budget -= bytes
        return true
    }
}
