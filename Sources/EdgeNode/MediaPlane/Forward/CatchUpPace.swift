/// How many packets of what the ring holds a viewer is sent at a time: every 10 ms, and with all that comes meanwhile.
///
/// A receiver whose thread waits for a processor loses what its socket has no room for, and of too much at once it does not ask for all
/// again. So the pace halves with what is missed, and grows again by and by.
struct CatchUpPace {
    /// 60 Mb/s, for who joins.
    static let packetsMax = 64
    /// 4 Mb/s, for whose way may be full: he was sent video before.
    static let packetsMin = 4
    private static let slowEveryNs: UInt64 = 100_000_000
    private static let growsEvery = 4

    private(set) var packets: Int
    private var taken = 0
    private var slowedNs: UInt64 = 0

    init(packets: Int = packetsMax) { self.packets = packets }

    /// The packets that go now.
    mutating func take() -> Int {
        defer {
            taken = (taken + 1) % Self.growsEvery
            if taken == 0 { packets = min(Self.packetsMax, packets + 1) }
        }
        return packets
    }

    /// The viewer misses something.
    mutating func slow(now: UInt64) {
        guard slowedNs == 0 || now &- slowedNs >= Self.slowEveryNs else { return }
        slowedNs = now
        packets = max(Self.packetsMin, packets / 2)
    }
}
