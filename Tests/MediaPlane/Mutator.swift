/// Damages byte strings the same way for the same seed; every parser test of this module feeds from it.
///
/// `for _ in 0..<10_000 { parse(mutator.mutate(seeds.randomElement(using: &mutator.random)!)) }`
struct Mutator {
    /// SplitMix64, so that a failure replays from its seed.
    struct Random: RandomNumberGenerator {
        private var state: UInt64
        init(seed: UInt64) { state = seed }

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var mixed = state
            mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
            return mixed ^ (mixed >> 31)
        }
    }

    var random: Random
    private static let nasty: [UInt8] = [0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 63, 64, 127, 128, 191, 192, 254, 255]

    init(seed: UInt64) { random = Random(seed: seed) }

    /// A number in `0..<bound`, 0 when `bound` is not positive.
    mutating func below(_ bound: Int) -> Int { bound > 0 ? Int.random(in: 0..<bound, using: &random) : 0 }

    /// `count` random bytes.
    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) } }

    /// One to four random edits: flips, nasty values, truncation, insertion, removal, a repeated run, wrong 16-bit lengths.
    mutating func mutate(_ input: [UInt8]) -> [UInt8] {
        var bytes = input
        for _ in 0...below(4) { edit(&bytes) }
        return bytes
    }

    private mutating func edit(_ bytes: inout [UInt8]) {
        let at = below(bytes.count)
        switch below(8) {
        case 0 where !bytes.isEmpty: bytes[at] ^= 1 << UInt8(below(8))
        case 1 where !bytes.isEmpty: bytes[at] = Self.nasty[below(Self.nasty.count)]
        case 2: bytes.removeLast(below(bytes.count + 1))
        case 3: bytes.insert(contentsOf: self.bytes(1 + below(8)), at: at)
        case 4 where !bytes.isEmpty: bytes.removeSubrange(at..<min(bytes.count, at + 1 + below(8)))
        case 5 where bytes.count < 4096: bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + below(64))], at: at)
        case 6 where bytes.count >= 2:
            let pair = below(bytes.count - 1)
            let value = [0, 1, 0xFFFF, 0x7FFF, bytes.count, bytes.count - pair, below(0x10000)][below(7)]
            bytes[pair] = UInt8(truncatingIfNeeded: value >> 8)
            bytes[pair + 1] = UInt8(truncatingIfNeeded: value)
        default: bytes = self.bytes(below(200))
        }
    }
}
