/// Which of the last 1024 indices were seen (RFC 3711 section 3.3.2), as a ring of bits.
struct ReplayWindow {
    private static let words = Limits.replayWindow / 64

    private var bits: InlineArray<16, UInt64> = .init(repeating: 0)
    /// Highest index accepted.
    private(set) var highest: UInt64

    init(first index: UInt64) {
        highest = index
        mark(index)
    }

    /// True when `index` is newer than all or inside the window and not seen.
    @inline(__always)
    func accepts(_ index: UInt64) -> Bool {
        if index > highest { return true }
        guard highest &- index < UInt64(Limits.replayWindow) else { return false }
        return bits[word(index)] & bit(index) == 0
    }

    /// Notes an authenticated `index` that ``accepts(_:)`` let through.
    @inline(__always)
    mutating func insert(_ index: UInt64) {
        if index > highest {
            clear(from: highest &+ 1, through: index)
            highest = index
        }
        mark(index)
    }

    /// The ring places between the old and the new highest held indices now out of the window.
    private mutating func clear(from first: UInt64, through last: UInt64) {
        guard last &- first < UInt64(Limits.replayWindow - 1) else {
            for index in 0..<Self.words { bits[index] = 0 }
            return
        }
        var index = first
        while index <= last {
            if index % 64 == 0 && last &- index >= 63 {
                bits[word(index)] = 0
                index &+= 64
            } else {
                bits[word(index)] &= ~bit(index)
                index &+= 1
            }
        }
    }

    private mutating func mark(_ index: UInt64) { bits[word(index)] |= bit(index) }
    private func word(_ index: UInt64) -> Int { Int(truncatingIfNeeded: (index >> 6) & UInt64(Self.words - 1)) }
    private func bit(_ index: UInt64) -> UInt64 { 1 << (index & 63) }
}
