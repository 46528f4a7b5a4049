import Media
import MediaFixtures
import Presentation
import Testing

@Suite("Segments as runs")
struct SegmentRunsTests {
    @Test("numbers and times of a damaged index: parts of them can be had all the same")
    func damaged() {
        var runs = SegmentRuns()
        runs.append(SegmentRuns.Run(number: 1000, time: 0, duration: 100, count: 512))
        runs.append(SegmentRuns.Run(number: 1001, time: 51_200, duration: 100))
        runs.append(SegmentRuns.Run(number: 1002, time: .max, duration: 100))
        runs.noteUnsynced([1001, 1003])
        #expect(runs.part(0..<4).unsynced == [1001, 1003])
        #expect(runs.part(2..<513).count == 511)
        #expect(runs.part(2..<513).unsynced == [])
        #expect(runs.touching(.max - 1, .max).count <= runs.count)
    }

    @Test("they are what a list of segments is, for random segments and parts", arguments: 0..<20 as Range<UInt64>)
    func model(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var list: [IndexedSegment] = []
        var (number, time) = (Int64(1), Int64.random(in: 0...(1 << 40), using: &generator))
        // Some with more lengths than one block has.
        let isUneven = seed % 3 == 0
        for _ in 0..<Int.random(in: 0...(isUneven ? 900 : 200), using: &generator) {
            if Int.random(in: 0..<20, using: &generator) == 0 { number += 2 }
            if Int.random(in: 0..<20, using: &generator) == 0 { time += 7 }
            let isOdd = Int.random(in: 0..<4, using: &generator) == 0 || isUneven
            let duration = isOdd ? Int64.random(in: 1...9, using: &generator) : 100
            let isForced = seed % 2 == 0 && Int.random(in: 0..<5, using: &generator) == 0
            list.append(IndexedSegment(number: number, time: time, duration: duration, startsWithSync: !isForced))
            (number, time) = (number + 1, time + duration)
        }
        let runs = SegmentRuns(list)
        #expect(Array(runs) == list)
        #expect(runs.timeline.map(\.count).reduce(0, +) == list.count)
        #expect(runs.longest == list.map(\.duration).max() ?? 0)
        #expect(runs.unbroken.flatMap { Array($0) } == list)
        #expect(
            runs.unbroken.allSatisfy { part in
                zip(part, part.dropFirst()).allSatisfy { $0.number + 1 == $1.number && $0.time + $0.duration == $1.time }
            })
        for _ in 0..<20 {
            let first = Int.random(in: 0...list.count, using: &generator)
            let end = Int.random(in: first...list.count, using: &generator)
            #expect(Array(runs.part(first..<end)) == Array(list[first..<end]))
            #expect(runs.part(first..<end) == SegmentRuns(list[first..<end]))
            #expect(runs.firstSync(from: first) == list.indices.first { $0 >= first && list[$0].startsWithSync })
            #expect(
                first == list.count || runs.lastSync(upTo: first) == list.indices.last { $0 <= first && list[$0].startsWithSync })
            let from = (list.first?.time ?? 0) + Int64.random(in: -50...20_000, using: &generator)
            let to = from + Int64.random(in: 0...5_000, using: &generator)
            #expect(Array(runs.touching(from, to)) == list.filter { $0.time + $0.duration > from && $0.time < to })
        }
    }
}
