import Cluster
import Testing

@testable import Nodes

@Suite("How far a node's clock is off")
struct ClockOffsetTests {
    @Test(
        "the quickest record of many tells it, however late the others are", arguments: [-7_200_000, -400, 0, 90_000] as [Int64])
    func quickest(offsetMs: Int64) {
        var clock = ClockOffset()
        #expect(clock.ms == nil)
        for beat in 0..<40 as Range<Int64> {
            let madeMs = 1_000_000 + beat * 1_000
            clock.note(madeMs: madeMs, arrivedMs: madeMs + offsetMs + (beat % 7 == 3 ? 2 : 50 + beat * 13 % 400))
        }
        #expect(clock.ms == offsetMs + 2)
    }

    @Test("a clock that is set is believed: at once when it was put forward, after some heartbeats when it was put back")
    func steps() {
        var clock = ClockOffset()
        for beat in 0..<40 as Range<Int64> { clock.note(madeMs: beat, arrivedMs: beat + 500) }
        clock.note(madeMs: 100, arrivedMs: 110)
        #expect(clock.ms == 10)
        for beat in 0..<32 as Range<Int64> { clock.note(madeMs: beat, arrivedMs: beat + 2_000) }
        #expect(clock.ms == 2_000)
    }

    @Test("absurd times change nothing")
    func absurd() {
        var clock = ClockOffset()
        clock.note(madeMs: .min, arrivedMs: .max)
        #expect(clock.ms == nil)
    }

    @Test("a node's view has it; the same record heard twice is no news, a restarted node begins anew")
    func table() {
        var table = NodeTable()
        func heard(_ updatedAtMs: Int64, wallMs: Int64, startedAtMs: Int64 = 1) {
            let record = NodeRecord(alias: "a", url: "http://127.0.0.1:1", startedAtMs: startedAtMs, updatedAtMs: updatedAtMs)
            table.heard(record, from: .registry, nowNs: 1, wallMs: wallMs)
        }
        heard(1_000, wallMs: 4_000)
        #expect(table.view(nowNs: 1).node("a")?.clockOffsetMs == 3_000)
        heard(1_000, wallMs: 3_500)
        #expect(table.view(nowNs: 1).node("a")?.clockOffsetMs == 3_000)
        heard(2_000, wallMs: 4_990)
        #expect(table.view(nowNs: 1).node("a")?.clockOffsetMs == 2_990)
        heard(3_000, wallMs: 8_000, startedAtMs: 2)
        #expect(table.view(nowNs: 1).node("a")?.clockOffsetMs == 5_000)
    }
}
