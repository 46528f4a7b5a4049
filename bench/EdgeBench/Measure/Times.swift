/// How durations are spread, for a report; milliseconds.
struct Times: Encodable, Sendable {
    let count: Int
    let median: Double
    let p95: Double
    let p99: Double
    let max: Double

    init?(_ values: [Double]) {
        self.init(values.reduce(into: Samples()) { $0.add(UInt64($1 * 1_000_000)) })
    }

    /// Nil when there are none.
    init?(_ samples: Samples) {
        guard let median = samples.percentileMs(0.5), let p95 = samples.percentileMs(0.95), let p99 = samples.percentileMs(0.99)
        else { return nil }
        count = samples.count
        self.median = median
        self.p95 = p95
        self.p99 = p99
        max = Double(samples.longestNs) / 1_000_000
    }
}
