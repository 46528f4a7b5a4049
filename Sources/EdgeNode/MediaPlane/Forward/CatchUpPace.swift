/// How many packets of a cached group of pictures a viewer is sent at a time, each 10 ms: 64 are 60 Mb/s.
///
/// A receiver whose thread waits for a processor loses what its socket has no room for, and of too much at once it does not ask for all
/// again. So the pace halves with what is missed, and grows again by and by.
struct CatchUpPace {
    static let packetsMax = 64
    /// 15 Mb/s.
    static let packetsMin = 16
    private static let slowEveryNs: UInt64 = 100_000_000

    private(set) var packets = CatchUpPace.packetsMax
    private var slowedNs: UInt64 = 0

    /// The packets that go now.
    mutating func take() -> Int {
        defer { packets = min(Self.packetsMax, packets + 1) }
        return packets
    }

    /// The viewer misses something.
    mutating func slow(now: UInt64) {
        guard slowedNs == 0 || now &- slowedNs >= Self.slowEveryNs else { return }
        slowedNs = now
        packets = max(Self.packetsMin, packets / 2)
    }
}
