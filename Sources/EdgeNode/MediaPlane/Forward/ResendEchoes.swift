/// Resends that go out once more a moment later, to a viewer whose path loses much at random.
///
/// Chromium is not told the round trip, so it asks again after 110 ms only; a picture that waits for two such repeats is often overtaken by the
/// next keyframe, and skipped. A second copy makes the first request enough nearly always.
struct ResendEchoes {
    /// Of 256: from 3 % on. From a fifth on it is no chance any more but a path that is too narrow, which needs less, not more.
    static let lossRange: ClosedRange<UInt8> = 8...51
    /// Losses come in bursts: the copy keeps clear of the one that took the packet.
    static let pauseNs: UInt64 = 5_000_000
    /// The most that wait: a keyframe's losses.
    private static let capacity = 32

    /// Looked at with every flush, so it stands in front, beside what each packet is counted in.
    private(set) var count = 0
    private var first = 0
    private var waiting = InlineArray<32, (sequence: UInt64, dueNs: UInt64)>(repeating: (0, 0))

    /// A packet was sent again. Of more than fit the oldest have no copy.
    mutating func add(_ sequence: UInt64, now: UInt64) {
        if count == Self.capacity {
            first = (first + 1) % Self.capacity
            count -= 1
        }
        waiting[(first + count) % Self.capacity] = (sequence, now &+ Self.pauseNs)
        count += 1
    }

    /// The next whose copy is due, in the order in which they were sent.
    mutating func take(now: UInt64) -> UInt64? {
        guard count > 0, waiting[first].dueNs <= now else { return nil }
        defer {
            first = (first + 1) % Self.capacity
            count -= 1
        }
        return waiting[first].sequence
    }
}
