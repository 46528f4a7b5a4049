/// Which of the last 2048 extended sequence numbers came: tells duplicates from late packets.
struct ReceiveWindow {
    static let size: UInt64 = 2048
    private var bits = InlineArray<32, UInt64>(repeating: 0)
    private var highest: UInt64 = 0

    enum Outcome { case new, duplicate, tooOld }

    /// Notes an arrival.
    mutating func insert(_ sequence: UInt64) -> Outcome {
        if highest == 0 { highest = sequence &- 1 }
        if sequence > highest {
            if sequence - highest >= Self.size {
                for word in 0..<32 { bits[word] = 0 }
            } else {
                var passed = highest + 1
                while passed < sequence {
                    clear(passed)
                    passed += 1
                }
            }
            highest = sequence
            set(sequence)
            return .new
        }
        guard highest - sequence < Self.size else { return .tooOld }
        let word = Int(truncatingIfNeeded: sequence >> 6) & 31
        let bit: UInt64 = 1 << (sequence & 63)
        if bits[word] & bit != 0 { return .duplicate }
        bits[word] |= bit
        return .new
    }

    private mutating func set(_ sequence: UInt64) {
        bits[Int(truncatingIfNeeded: sequence >> 6) & 31] |= 1 << (sequence & 63)
    }

    private mutating func clear(_ sequence: UInt64) {
        bits[Int(truncatingIfNeeded: sequence >> 6) & 31] &= ~(1 << (sequence & 63))
    }
}
