/// How much arrived at a viewer in the last half second, by the viewer's clock (draft-ietf-rmcat-gcc-02 §5.5 asks for 0.5 to 1 s).
struct ThroughputMeter {
    /// How far back it looks.
    static let spanNs: UInt64 = 500_000_000
    private static let bucketMs = 50.0
    private static let buckets: Int64 = 10
    /// Less than this says too little about a rate.
    private static let spanMinMs = 250.0

    private var bytes = InlineArray<10, Int>(repeating: 0)
    /// The newest bucket's number; nil before the first packet.
    private var newest: Int64?
    private var firstMs = 0.0
    private var lastMs = 0.0

    mutating func add(bytes count: Int, arrivalMs: Double) {
        let number = Int64(arrivalMs / Self.bucketMs)
        guard let known = newest, number > known - Self.buckets else {
            // A clock that jumped back would never be caught up with.
            if let known = newest, number > known - 100 * Self.buckets { return }
            return begin(number, count, arrivalMs)
        }
        guard number < known + Self.buckets else { return begin(number, count, arrivalMs) }
        if number > known {
            for passed in (known + 1)...number { bytes[Self.place(passed)] = 0 }
            newest = number
        }
        bytes[Self.place(number)] += count
        lastMs = max(lastMs, arrivalMs)
    }

    private mutating func begin(_ number: Int64, _ count: Int, _ arrivalMs: Double) {
        bytes = InlineArray(repeating: 0)
        bytes[Self.place(number)] = count
        newest = number
        firstMs = arrivalMs
        lastMs = arrivalMs
    }

    private static func place(_ number: Int64) -> Int { Int(((number % buckets) + buckets) % buckets) }

    /// Bits per second; nil while too little was seen.
    var bitsPerSecond: Double? {
        guard let newest else { return nil }
        let start = max(Double(newest - Self.buckets + 1) * Self.bucketMs, firstMs)
        let span = lastMs - start
        guard span >= Self.spanMinMs else { return nil }
        var sum = 0
        for index in 0..<Int(Self.buckets) { sum += bytes[index] }
        return Double(sum) * 8000 / span
    }
}
