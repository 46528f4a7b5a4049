/// Durations, counted in steps that grow with them: percentiles of millions in 16 KB, within 1 % of the truth.
struct Samples {
    private static let perOctave = 64
    private var counts = [UInt32](repeating: 0, count: 64 * Samples.perOctave)
    private(set) var count = 0
    private(set) var longestNs: UInt64 = 0

    mutating func add(_ ns: UInt64) {
        counts[Self.place(ns)] += 1
        count += 1
        longestNs = max(longestNs, ns)
    }

    /// Sums of two.
    mutating func add(_ other: Samples) {
        for place in counts.indices { counts[place] += other.counts[place] }
        count += other.count
        longestNs = max(longestNs, other.longestNs)
    }

    mutating func removeAll() { self = Samples() }

    private static func place(_ ns: UInt64) -> Int {
        guard ns >= UInt64(perOctave) else { return Int(ns) }
        let octave = 63 - ns.leadingZeroBitCount
        // The six bits behind the leading one.
        return (octave - 5) * perOctave + Int(ns >> UInt64(octave - 6)) & (perOctave - 1)
    }

    private static func value(_ place: Int) -> UInt64 {
        guard place >= perOctave else { return UInt64(place) }
        let octave = place / perOctave + 5
        return UInt64(perOctave + place % perOctave) << UInt64(octave - 6)
    }

    /// The duration that `share` of all stay below, in milliseconds; nil when there are none.
    func percentileMs(_ share: Double) -> Double? {
        guard count > 0 else { return nil }
        var left = Int((Double(count) * share).rounded(.up))
        for place in counts.indices {
            left -= Int(counts[place])
            if left <= 0 { return Double(min(Self.value(place + 1), longestNs)) / 1_000_000 }
        }
        return Double(longestNs) / 1_000_000
    }
}
