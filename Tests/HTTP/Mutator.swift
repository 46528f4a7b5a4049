/// A seeded source of damage to byte strings.
struct Mutator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }

    mutating func next(below bound: Int) -> Int { Int(next() % UInt64(max(1, bound))) }

    /// One to eight flips, cuts, doublings and insertions.
    mutating func mutate(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0...next(below: 8) {
            let place = next(below: bytes.count)
            switch next(below: 5) {
            case 0 where !bytes.isEmpty: bytes[place] = UInt8(truncatingIfNeeded: next())
            case 1: bytes.removeSubrange(place..<min(bytes.count, place + next(below: 16)))
            case 2: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + next(below: 32))], at: place)
            case 3: bytes.insert(UInt8(truncatingIfNeeded: next()), at: place)
            default: bytes.insert(contentsOf: [[0x0D, 0x0A], [0], [0x20], [0x25], [0xFF]][next(below: 5)], at: place)
            }
        }
        return bytes
    }
}
