import MediaPlane
import SDP
import Testing

@testable import Streams

@Suite("Caps of sessions for one client")
struct SessionLimitTests {
    private static let ask = TestOffer.subscribe([.opus, .h264])
    private static let give = TestOffer.publish([.opus, .h264])
    private static let refusal = StreamError.tooManySessions(retryAfterSeconds: 5)

    private static func limits(_ settings: inout StreamSettings) {
        settings.sessionsPerAddressMax = 2
        settings.sessionsPerCredentialMax = 3
    }

    @Test("one address has so many sessions, publishers and viewers together, and others have theirs; what ends makes room")
    func perAddress() async throws {
        try await TestBench.with(Self.limits) { bench in
            let here = SessionClient(credential: nil, network: "192.0.2.1")
            _ = try await bench.registry.publish(stream: "demo", offer: Self.give, from: here)
            let viewer = try await bench.registry.subscribe(stream: "demo", offer: Self.ask, from: here)
            await #expect(throws: Self.refusal) {
                try await bench.registry.subscribe(stream: "demo", offer: Self.ask, from: here)
            }
            await #expect(throws: Self.refusal) {
                try await bench.registry.publish(stream: "other", offer: Self.give, from: here)
            }
            #expect(Self.refusal.status == 429)
            let elsewhere = SessionClient(credential: nil, network: "192.0.2.2")
            _ = try await bench.registry.subscribe(stream: "demo", offer: Self.ask, from: elsewhere)
            try await bench.registry.end(stream: "demo", session: viewer.sessionID)
            _ = try await bench.registry.subscribe(stream: "demo", offer: Self.ask, from: here)
        }
    }

    @Test("one credential has so many sessions, from wherever; none and an empty one are not counted")
    func perCredential() async throws {
        try await TestBench.with(Self.limits) { bench in
            _ = try await bench.publish("demo")
            for address in 1...3 {
                _ = try await bench.registry.subscribe(
                    stream: "demo", offer: Self.ask, from: SessionClient(credential: "shared", network: "192.0.2.\(address)"))
            }
            await #expect(throws: Self.refusal) {
                try await bench.registry.subscribe(
                    stream: "demo", offer: Self.ask, from: SessionClient(credential: "shared", network: "192.0.2.4"))
            }
            for credential in [nil, ""] {
                for _ in 0..<4 {
                    _ = try await bench.registry.subscribe(
                        stream: "demo", offer: Self.ask, from: SessionClient(credential: credential))
                }
            }
        }
    }

    @Test("the cap comes before the offer is read, and a refused client leaves nothing behind")
    func beforeTheOffer() async throws {
        try await TestBench.with(Self.limits) { bench in
            let here = SessionClient(credential: nil, network: "192.0.2.1")
            for name in ["one", "two"] { _ = try await bench.registry.publish(stream: name, offer: Self.give, from: here) }
            await #expect(throws: Self.refusal) {
                try await bench.registry.publish(stream: "three", offer: Array("no SDP".utf8), from: here)
            }
            #expect(await bench.registry.record(of: "three") == nil)
            await bench.registry.drain()
            let elsewhere = SessionClient(credential: nil, network: "192.0.2.2")
            await #expect(throws: StreamError.unavailable(retryAfterSeconds: 5)) {
                try await bench.registry.publish(stream: "three", offer: Array("no SDP".utf8), from: elsewhere)
            }
        }
    }

    @Test("a publisher who comes back takes no second place, an offer that fails none at all, other nodes are not counted")
    func exceptions() async throws {
        try await TestBench.with(Self.limits) { bench in
            let here = SessionClient(credential: "alice", network: "192.0.2.1")
            for _ in 0..<5 { _ = try await bench.registry.publish(stream: "demo", offer: Self.give, from: here) }
            for _ in 0..<5 {
                await #expect(throws: StreamError.self) {
                    try await bench.registry.subscribe(stream: "demo", offer: Array("no SDP".utf8), from: here)
                }
            }
            for _ in 0..<5 {
                _ = try await bench.registry.subscribe(stream: "demo", offer: Self.ask, from: here, path: ["b"])
            }
            _ = try await bench.registry.subscribe(stream: "demo", offer: Self.ask, from: here)
        }
    }

    @Test("who takes another's place takes the seat of its own address, and only the place that becomes free is not asked for")
    func takeover() async throws {
        try await TestBench.with { settings in
            settings.sessionsPerAddressMax = 1
        } _: { bench in
            let (here, there) = (
                SessionClient(credential: "both", network: "192.0.2.1"), SessionClient(credential: "both", network: "192.0.2.2")
            )
            _ = try await bench.registry.publish(stream: "theirs", offer: Self.give, from: there)
            _ = try await bench.registry.publish(stream: "ours", offer: Self.give, from: here)
            await #expect(throws: Self.refusal) {
                try await bench.registry.publish(stream: "theirs", offer: Self.give, from: here)
            }
            _ = try await bench.registry.publish(stream: "ours", offer: Self.give, from: here)
        }
    }

    @Test("who takes silent publishers' places at the same moment gets as many as one may have, and the others keep theirs")
    func takeoversAtOnce() async throws {
        try await TestBench.with { settings in
            settings.sessionsPerAddressMax = 1
        } _: { bench in
            let names = (0..<8).map { "stream\($0)" }
            for name in names { _ = try await bench.publish(name) }
            bench.clock.advance(ms: 600_000)
            let here = SessionClient(credential: nil, network: "192.0.2.1")
            let won = await withTaskGroup(of: Bool.self) { group in
                for name in names {
                    group.addTask {
                        (try? await bench.registry.publish(stream: name, offer: Self.give, from: here)) != nil
                    }
                }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(won == 1)
            #expect(await bench.registry.counts.publishers == 8)
        }
    }

    @Test("nobody opens a stream that nobody has made, where that is wanted, and the offer is not read for it")
    func unknownStream() async throws {
        try await TestBench.with { settings in
            settings.autoCreateWHIP = false
        } _: { bench in
            await #expect(throws: StreamError.streamNotFound) {
                try await bench.registry.checkEntry(
                    "demo", as: .publisher, from: SessionClient(credential: nil), isRelay: false)
            }
        }
    }

    @Test("a session that never connects is counted until the media plane gives it up")
    func neverConnected() async throws {
        try await TestBench.with(Self.limits) { bench in
            let here = SessionClient(credential: nil, network: "192.0.2.1")
            _ = try await bench.publish("demo")
            let waiting = try await bench.registry.subscribe(stream: "demo", offer: Self.ask, from: here)
            _ = try await bench.registry.subscribe(stream: "demo", offer: Self.ask, from: here)
            await #expect(throws: Self.refusal) {
                try await bench.registry.subscribe(stream: "demo", offer: Self.ask, from: here)
            }
            let handle = try #require(await bench.registry.streams["demo"]?.viewers[waiting.sessionID]?.handle)
            await bench.registry.take(MediaEvent.sessionState(handle, session: waiting.sessionID, .closed(.setupTimeout)))
            _ = try await bench.registry.subscribe(stream: "demo", offer: Self.ask, from: here)
        }
    }
}
