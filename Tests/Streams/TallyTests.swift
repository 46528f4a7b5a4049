import Cluster
@testable import Streams
import Testing

@Suite("Numbers of streams for metrics")
struct TallyTests {
    @Test("tallies say what the records say, in the order of names")
    func same() async throws {
        try await TestBench.with { bench in
            for name in ["second", "first"] { _ = try await bench.publish(name) }
            var viewers: [String] = []
            for _ in 0..<3 { viewers.append(try await bench.subscribe("first").sessionID) }
            try await bench.registry.end(stream: "first", session: viewers[0])
            await bench.registry.update(viewers[1], on: "first") {
                $0.state = .connected
                ($0.stats.bytes, $0.stats.packets, $0.stats.bitrate) = (1000, 7, 80)
            }
            let tallies = await bench.registry.tallies()
            let records = await bench.registry.records()
            #expect(tallies.map(\.stream) == ["first", "second"] && records.map(\.id) == tallies.map(\.stream))
            #expect(tallies.map(\.publisher) == [.new, .new])
            #expect(tallies.map(\.viewers) == [[.new: 1, .connected: 1], [:]])
            #expect(tallies.map(\.stats) == records.map(\.stats))
            #expect(tallies[0].stats.subscribe == TrafficStats(bytes: 1000, packets: 7, bitrate: 80))
        }
    }
}
