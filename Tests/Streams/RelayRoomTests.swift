import Cluster
import MediaPlane
import SDP
import Testing

@testable import Streams

@Suite("Streams between nodes: room, orders, drain")
struct RelayRoomTests {
    private static let ask = TestOffer.subscribe([.opus, .h264])
    private static let give = TestOffer.publish([.opus, .h264])

    @Test("a node that is full gives the stream to other nodes, up to what it can hold at all")
    func fullSource() async throws {
        func limits(_ settings: inout StreamSettings) {
            settings.subscribersMax = 1
            settings.subscribersPerStreamMax = 1
            settings.sessionsMax = 3
        }
        try await TestBench.with(limits) { bench in
            _ = try await bench.publish("demo")
            _ = try await bench.subscribe("demo")
            await #expect(throws: StreamError.self) { try await bench.subscribe("demo") }
            _ = try await bench.registry.subscribe(
                stream: "demo", offer: Self.ask, from: SessionClient(credential: nil), path: ["b"])
            #expect(await bench.sessions("demo") == (1, 2))
            await #expect(throws: StreamError.unavailable(retryAfterSeconds: 5)) {
                try await bench.registry.subscribe(
                    stream: "demo", offer: Self.ask, from: SessionClient(credential: nil), path: ["c"])
            }
        }
    }

    @Test("a copy that a coordinator orders takes another copy's place, never a publisher's")
    func orderedCopy() async throws {
        try await TestBench.with { bench in
            func push(_ from: String, idleSeconds: Int?) async throws(StreamError) -> SessionAnswer {
                try await bench.registry.publish(
                    stream: "demo", offer: Self.give, from: SessionClient(credential: "node"), path: [from],
                    idleSeconds: idleSeconds)
            }
            _ = try await bench.registry.publish(
                stream: "demo", offer: Self.give, from: SessionClient(credential: "first"), path: ["a"])
            await #expect(throws: StreamError.publisherExists) {
                try await bench.registry.publish(
                    stream: "demo", offer: Self.give, from: SessionClient(credential: "other"), path: ["b"])
            }
            let second = try await push("b", idleSeconds: 60)
            #expect(await bench.registry.record(of: "demo")?.upstream == ["b"])
            #expect(await bench.registry.owner(stream: "demo", session: second.sessionID)?.isPublisher == true)
            try await bench.registry.end(stream: "demo", session: second.sessionID)
            #expect(await bench.registry.record(of: "demo")?.upstream == [])
            _ = try await bench.publish("demo", credential: "somebody")
            await #expect(throws: StreamError.publisherExists) { try await push("c", idleSeconds: 60) }
        }
    }

    @Test("an ordered copy that nobody uses is let go after its time; others stay")
    func idleCopy() async throws {
        try await TestBench.with { bench in
            for (stream, idleSeconds) in [("ordered", 20), ("by-hand", nil), ("watched", 20)] as [(String, Int?)] {
                _ = try await bench.registry.publish(
                    stream: stream, offer: Self.give, from: SessionClient(credential: nil), path: ["a"], idleSeconds: idleSeconds)
            }
            _ = try await bench.subscribe("watched")
            bench.clock.advance(ms: 19_000)
            await bench.registry.sweep()
            #expect(await bench.registry.copyCount == 3)
            bench.clock.advance(ms: 2_000)
            await bench.registry.sweep()
            #expect(await bench.registry.copyCount == 2)
            #expect(await bench.sessions("ordered").publishers == 0)
        }
    }

    @Test("drained: viewers go first, then the publisher, then nodes that had ten seconds to find another source")
    func drain() async throws {
        try await TestBench.with { bench in
            let sinceNs = bench.clock.read().monotonicNs
            func step(_ countMax: Int = 2) async { await bench.registry.moveClients(countMax, sinceNs: sinceNs) }
            _ = try await bench.publish("demo")
            for _ in 0..<3 { _ = try await bench.subscribe("demo") }
            await bench.registry.beginDrain()
            await #expect(throws: StreamError.unavailable(retryAfterSeconds: 5)) { try await bench.subscribe("demo") }
            await #expect(throws: StreamError.unavailable(retryAfterSeconds: 5)) { try await bench.publish("fresh") }
            // Those who have to go find the stream elsewhere only if it still gets there.
            _ = try await bench.registry.subscribe(
                stream: "demo", offer: Self.ask, from: SessionClient(credential: nil), path: ["b"])
            var seen: [[Int]] = []
            for _ in 0..<4 {
                await step()
                let left = await bench.sessions("demo")
                seen.append([left.publishers, left.viewers])
            }
            #expect(seen == [[1, 2], [1, 1], [0, 1], [0, 1]])
            bench.clock.advance(ms: 10_001)
            await step()
            #expect(await bench.registry.counts == (0, 0))
            await bench.registry.endDrain()
            _ = try await bench.publish("demo")
        }
    }

    @Test("drained: a copy goes when nobody has it from here any more")
    func drainedCopy() async throws {
        try await TestBench.with { bench in
            _ = try await bench.registry.publish(
                stream: "demo", offer: Self.give, from: SessionClient(credential: nil), path: ["a"])
            let relay = try await bench.registry.subscribe(
                stream: "demo", offer: Self.ask, from: SessionClient(credential: nil), path: ["b"])
            await bench.registry.beginDrain()
            let sinceNs = bench.clock.read().monotonicNs
            await bench.registry.moveClients(5, sinceNs: sinceNs)
            #expect(await bench.sessions("demo") == (1, 1))
            try await bench.registry.end(stream: "demo", session: relay.sessionID)
            await bench.registry.moveClients(5, sinceNs: sinceNs)
            #expect(await bench.sessions("demo") == (0, 0))
        }
    }
}
