import EdgeFixtures
import Nodes
import Testing

@testable import Records

@Suite("Clocks and decisions in the index")
struct ClockAndDecisionTests {
    @Test("a node's clock is what was noted nearest before, or else first after", arguments: IndexKind.allCases)
    func clocks(kind: IndexKind) async throws {
        let index = try await IndexHome(kind).open()
        #expect(try await index.clockOffset(node: "a", atUs: 5) == 0)
        for (offsetUs, atUs) in [(Int64(400_000), Int64(100)), (450_000, 150), (-900_000, 200), (-800_000, 200)] {
            try await index.noteClock(node: "a", offsetUs: offsetUs, atUs: atUs)
        }
        #expect(try await index.clockOffset(node: "a", atUs: 5) == 400_000)
        #expect(try await index.clockOffset(node: "a", atUs: 199) == 400_000, "a step of 50 ms is none")
        #expect(try await index.clockOffset(node: "a", atUs: 900) == -800_000, "the later of one time counts")
        #expect(try await index.correctionUsMax() == 800_000)
    }

    @Test("added and drained nodes are kept, changed and forgotten", arguments: IndexKind.allCases)
    func decisions(kind: IndexKind) async throws {
        let home = try IndexHome(kind)
        let index = try await home.open()
        let memory = IndexMemory(index)
        #expect(await memory.remember(ConfiguredNode(alias: "b", url: "http://b:1", token: nil)))
        #expect(await memory.remember(ConfiguredNode(alias: "a", url: "http://a:1", token: "t")))
        #expect(await memory.remember(ConfiguredNode(alias: "a", url: "http://a:2", token: "u")))
        #expect(await memory.forget("b"))
        for alias in ["a", "a", "c"] { #expect(await memory.setDrained(alias, true)) }
        #expect(await memory.setDrained("c", false))
        let decisions = try #require(await IndexMemory(try await home.open()).decisions())
        #expect(decisions.added.map(\.url) == ["http://a:2"])
        #expect(decisions.added.map(\.token) == ["u"])
        #expect(decisions.drained == ["a"])
    }
}
