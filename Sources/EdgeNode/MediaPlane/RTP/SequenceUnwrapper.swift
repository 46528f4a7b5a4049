/// Turns 16-bit sequence numbers into numbers that never wrap (RFC 3550 A.1).
///
/// Counting starts one cycle up, so a packet from before the first one seen has a number too.
struct SequenceUnwrapper {
    /// The highest number so far; 0 before the first packet.
    private(set) var highest: UInt64 = 0

    var isStarted: Bool { highest != 0 }

    /// The extended number of `sequence`, taken as the one nearest to the highest; doesn't change anything.
    @inline(__always)
    func peek(_ sequence: UInt16) -> UInt64 {
        guard highest != 0 else { return 1 << 16 | UInt64(sequence) }
        let delta = Int16(bitPattern: sequence &- UInt16(truncatingIfNeeded: highest))
        let extended = Int64(bitPattern: highest) &+ Int64(delta)
        return extended < 0 ? UInt64(sequence) : UInt64(bitPattern: extended)
    }

    /// The extended number of `sequence`, remembered when it is the highest.
    @inline(__always)
    mutating func unwrap(_ sequence: UInt16) -> UInt64 {
        let extended = peek(sequence)
        if extended > highest { highest = extended }
        return extended
    }
}
