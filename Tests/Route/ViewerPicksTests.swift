import Testing

@testable import Route

@Suite("Viewers that were just sent away")
struct ViewerPicksTests {
    @Test("each counts for its node until its time is over, its session ends or it is taken back")
    func counts() {
        var picks = ViewerPicks()
        let first = picks.add("a", nowNs: 0)
        let second = picks.add("a", nowNs: 1)
        let third = picks.add("b", nowNs: 2)
        #expect(picks.counts == ["a": 2, "b": 1])
        picks.opened("s", number: second)
        picks.ended("s", on: "b")
        #expect(picks.counts == ["a": 2, "b": 1])
        picks.ended("s", on: "a")
        picks.ended("s", on: "a")
        #expect(picks.counts == ["a": 1, "b": 1])
        picks.takeBack(third)
        picks.takeBack(third)
        #expect(picks.counts == ["a": 1])
        picks.expire(ViewerPicks.lifeNs - 1)
        #expect(picks.counts == ["a": 1])
        picks.expire(ViewerPicks.lifeNs)
        #expect(picks.counts.isEmpty)
        picks.takeBack(first)
        picks.opened("late", number: first)
        picks.ended("late", on: "a")
        #expect(picks.counts.isEmpty)
    }

    @Test("counts are those of a list that is gone through each time", arguments: 1...4 as ClosedRange<UInt64>)
    func agrees(seed: UInt64) {
        var state = seed
        func next(_ limit: UInt64) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % limit)
        }
        var picks = ViewerPicks()
        var list: [(number: Int, alias: String, atNs: UInt64)] = []
        var nowNs: UInt64 = 0
        for step in 0..<5_000 {
            nowNs += UInt64(next(3_000_000))
            switch next(8) {
            case 0 where !list.isEmpty:
                let gone = list.remove(at: next(UInt64(list.count)))
                picks.takeBack(gone.number)
            case 1 where !list.isEmpty:
                let gone = list.remove(at: next(UInt64(list.count)))
                picks.opened("s\(step)", number: gone.number)
                picks.ended("s\(step)", on: gone.alias)
            default:
                let alias = "node-\(next(3))"
                list.append((picks.add(alias, nowNs: nowNs), alias, nowNs))
            }
            picks.expire(nowNs)
            list.removeAll { $0.atNs + ViewerPicks.lifeNs <= nowNs }
            let counted = list.reduce(into: [String: Int]()) { $0[$1.alias, default: 0] += 1 }
            #expect(picks.counts == counted)
        }
    }
}
