import Testing

@testable import EdgeServe

@Suite("When freed memory goes back to the system")
struct FreedMemoryTests {
    @Test(
        "once the number of sessions has moved by many and then rested, and not again while it rests",
        arguments: [
            ([0, 0, 0, 0, 0], []),
            ([4000, 9000, 10_000, 10_000, 10_000, 10_000, 10_000], [5]),
            // Who comes in ones and twos beside thousands is no unrest.
            ([10_000, 10_010, 10_000, 10_015, 10_010], [3]),
            ([100, 100, 100, 100, 60, 60, 60, 60, 20, 20, 20, 20], [3, 11]),
            ([40, 40, 40, 40], []),
            ([10_000, 10_100, 10_200, 10_300, 10_400, 10_500, 10_600], []),
        ] as [([Int], [Int])])
    func moments(counts: [Int], expected: [Int]) {
        var rest = FreedMemory.Rest()
        var moments: [Int] = []
        for (look, count) in counts.enumerated() where rest.isTime(sessions: count) { moments.append(look) }
        #expect(moments == expected)
    }
}
