import Cluster
import MediaPlane
import SDP
@testable import Streams
import Testing

@Suite("Streams between two nodes")
struct RelayTests {
    /// Two registries with media planes of their own, and an exchange of offer and answer as HTTP would do it.
    private struct Pair {
        let a: TestBench
        let b: TestBench

        static func with(
            depth: Int = 4, _ body: (Pair) async throws -> Void
        ) async throws {
            func settings(_ alias: String) -> (inout StreamSettings) -> Void {
                { settings in
                    settings.alias = alias
                    settings.relayDepthMax = depth
                }
            }
            try await TestBench.with(settings("a")) { a in
                try await TestBench.with(settings("b")) { b in
                    await a.registry.start()
                    await b.registry.start()
                    try await body(Pair(a: a, b: b))
                }
            }
        }

        func pull(_ stream: String, from source: TestBench? = nil, to own: TestBench? = nil) async throws -> (RelayOffer, String)
        {
            let (source, own) = (source ?? a, own ?? b)
            let offer = try await own.registry.offerPull(stream: stream)
            do throws(StreamError) {
                let answer = try await source.registry.subscribe(
                    stream: stream, offer: Array(offer.sdp.utf8), from: SessionClient(credential: nil), path: offer.path)
                let record = CascadeRecord(sourceURL: "http://a/whep/\(stream)", sessionURL: "http://a/session/1")
                try await own.registry.accept(
                    offer,
                    RelayAnswer(sdp: Array(answer.sdp.utf8), record: record, path: await source.registry.path(of: stream)))
                return (offer, answer.sessionID)
            } catch {
                await own.registry.abandon(offer)
                throw error
            }
        }
    }

    private static func connected(_ bench: TestBench, _ stream: String, _ session: String) async throws -> Bool {
        for _ in 0..<1000 {
            if await bench.registry.state(of: session, on: stream) == .connected { return true }
            try await Task.sleep(for: .milliseconds(10))
        }
        return false
    }

    @Test("a pulled stream: connected on both sides, marked on both, not for recording")
    func pulls() async throws {
        try await Pair.with { pair in
            _ = try await pair.a.publish("demo", codecs: [.opus, .h264])
            var publications = await pair.b.registry.publications().makeAsyncIterator()
            let (offer, remote) = try await pair.pull("demo")
            #expect(try await Self.connected(pair.b, "demo", offer.session))
            #expect(try await Self.connected(pair.a, "demo", remote))
            let record = try #require(await pair.b.registry.record(of: "demo"))
            #expect(record.publish.sessions.map(\.cascade?.sourceURL) == ["http://a/whep/demo"])
            #expect(Set(record.codecs.map(\.codec)) == ["opus", "H264"])
            #expect(await pair.a.registry.record(of: "demo")?.subscribe.sessions.map(\.cascade) == [CascadeRecord()])
            guard case .published("demo", _, isCopy: true) = await publications.next() else {
                Issue.record("not a copy")
                return
            }
            // Whoever watches on B is answered for what A has.
            _ = try await pair.b.subscribe("demo")
            #expect(await pair.b.registry.path(of: "demo") == ["b", "a"])
        }
    }

    @Test("a pushed stream: a viewer here, a publisher there that came through us")
    func pushes() async throws {
        try await Pair.with { pair in
            await #expect(throws: StreamError.streamNotFound) { try await pair.a.registry.offerPush(stream: "demo") }
            try await pair.a.registry.create(stream: "demo")
            await #expect(throws: StreamError.nothingPublished) { try await pair.a.registry.offerPush(stream: "demo") }
            _ = try await pair.a.publish("demo", codecs: [.opus, .h264])
            let offer = try await pair.a.registry.offerPush(stream: "demo")
            #expect(offer.path == ["a"])
            let answer = try await pair.b.registry.publish(
                stream: "other", offer: Array(offer.sdp.utf8), from: SessionClient(credential: nil), path: offer.path)
            let record = CascadeRecord(targetURL: "http://b/whip/other", sessionURL: "http://b/session/1")
            try await pair.a.registry.accept(offer, RelayAnswer(sdp: Array(answer.sdp.utf8), record: record, path: []))
            #expect(try await Self.connected(pair.a, "demo", offer.session))
            #expect(try await Self.connected(pair.b, "other", answer.sessionID))
            #expect(await pair.b.registry.path(of: "other") == ["b", "a"])
            // Back to where it comes from, straight or by way of another.
            await #expect(throws: StreamError.self) {
                try await pair.a.registry.publish(
                    stream: "fresh", offer: Array(offer.sdp.utf8), from: SessionClient(credential: nil), path: ["c", "a"])
            }
        }
    }

    @Test("nobody takes a stream that has been through him, or has come too far")
    func loops() async throws {
        try await Pair.with(depth: 2) { pair in
            _ = try await pair.a.publish("demo", codecs: [.opus, .h264])
            _ = try await pair.pull("demo")
            let ask = TestOffer.subscribe([.opus, .h264])
            func status(_ bench: TestBench, _ path: [String]) async -> Int {
                do throws(StreamError) {
                    _ = try await bench.registry.subscribe(
                        stream: "demo", offer: ask, from: SessionClient(credential: nil), path: path)
                    return 201
                } catch {
                    return error.status
                }
            }
            #expect(await status(pair.b, ["a"]) == 508)
            #expect(await status(pair.b, ["b"]) == 508)
            #expect(await status(pair.b, ["c", "d"]) == 508)
            #expect(await status(pair.b, ["c"]) == 201)
            #expect(await status(pair.a, ["c", "d"]) == 201)
            #expect(await status(pair.a, ["c", "d", "e"]) == 508)
        }
    }

    @Test("an answer that is none gives the place back, and the next one is taken")
    func badAnswer() async throws {
        try await Pair.with { pair in
            let offer = try await pair.b.registry.offerPull(stream: "demo")
            await #expect(throws: StreamError.publisherExists) { try await pair.b.publish("demo") }
            await #expect(throws: StreamError.publisherExists) { try await pair.b.registry.offerPull(stream: "demo") }
            let answers = ["", "v=0", offer.sdp].map { Array($0.utf8) }
            for answer in answers.prefix(1) {
                await #expect(throws: StreamError.self) {
                    try await pair.b.registry.accept(offer, RelayAnswer(sdp: answer, record: CascadeRecord(), path: ["a"]))
                }
            }
            #expect(await pair.b.registry.records().isEmpty)
            // The place is gone, so even a good answer to the old offer changes nothing.
            await #expect(throws: StreamError.self) {
                try await pair.b.registry.accept(offer, RelayAnswer(sdp: answers[2], record: CascadeRecord(), path: ["a"]))
            }
            _ = try await pair.b.publish("demo")
        }
    }

    @Test("an answer whose path has us in it is refused")
    func loopInAnswer() async throws {
        try await Pair.with { pair in
            let offer = try await pair.b.registry.offerPull(stream: "demo")
            do throws(StreamError) {
                try await pair.b.registry.accept(
                    offer, RelayAnswer(sdp: Array(offer.sdp.utf8), record: CascadeRecord(), path: ["a", "b"]))
                Issue.record("taken")
            } catch {
                #expect(error.status == 508)
            }
        }
    }

    @Test("the end of a session is told with its reason: stopped here, or lost because the other side ended it")
    func ends() async throws {
        try await Pair.with { pair in
            _ = try await pair.a.publish("demo", codecs: [.opus, .h264])
            var ends = await pair.b.registry.relayEnds().makeAsyncIterator()
            let (first, remote) = try await pair.pull("demo")
            #expect(try await Self.connected(pair.b, "demo", first.session))
            try await pair.a.registry.end(stream: "demo", session: remote)
            #expect(await ends.next() == RelayEnd(stream: "demo", session: first.session, reason: .lost("closedByPeer")))
            let (second, _) = try await pair.pull("demo")
            try await pair.b.registry.end(stream: "demo", session: second.session)
            #expect(await ends.next() == RelayEnd(stream: "demo", session: second.session, reason: .stopped))
            let (third, _) = try await pair.pull("demo")
            try await pair.b.registry.delete(stream: "demo")
            #expect(await ends.next() == RelayEnd(stream: "demo", session: third.session, reason: .stopped))
        }
    }

    @Test("a stream is idle from its last viewer on, never while it is recorded")
    func idle() async throws {
        try await Pair.with { pair in
            _ = try await pair.a.publish("demo", codecs: [.opus, .h264])
            _ = try await pair.pull("demo")
            #expect(await pair.b.registry.idleNs(of: "demo") == 0)
            pair.b.clock.advance(ms: 5000)
            #expect(await pair.b.registry.idleNs(of: "demo") == 5_000_000_000)
            let viewer = try await pair.b.subscribe("demo")
            #expect(await pair.b.registry.idleNs(of: "demo") == 0)
            pair.b.clock.advance(ms: 5000)
            try await pair.b.registry.end(stream: "demo", session: viewer.sessionID)
            #expect(await pair.b.registry.idleNs(of: "demo") == 0)
            pair.b.clock.advance(ms: 2000)
            #expect(await pair.b.registry.idleNs(of: "demo") == 2_000_000_000)
            await pair.b.registry.setRecording(["demo": RecordingOrder()])
            #expect(await pair.b.registry.idleNs(of: "demo") == 0)
            #expect(await pair.b.registry.idleNs(of: "other") == nil)
        }
    }

    @Test("viewers of a copy whose source is gone are told after half a minute, however often it was asked again meanwhile")
    func sourceGone() async throws {
        try await Pair.with { pair in
            _ = try await pair.a.publish("demo", codecs: [.opus, .h264])
            let (offer, _) = try await pair.pull("demo")
            let viewer = try await pair.b.subscribe("demo")
            await pair.b.registry.lose(stream: "demo", session: offer.session, why: "silent")
            for _ in 0..<3 {
                let attempt = try await pair.b.registry.offerPull(stream: "demo")
                pair.b.clock.advance(ms: 9_000)
                await pair.b.registry.abandon(attempt)
                await pair.b.registry.sweep()
                #expect(await pair.b.registry.state(of: viewer.sessionID, on: "demo") != nil)
            }
            pair.b.clock.advance(ms: 3_000)
            await pair.b.registry.sweep()
            #expect(await pair.b.registry.state(of: viewer.sessionID, on: "demo") == nil)
        }
    }

    @Test("nodes that pull from here are let go when the stream comes another way")
    func moved() async throws {
        try await Pair.with { pair in
            _ = try await pair.a.publish("demo", codecs: [.opus, .h264])
            _ = try await pair.b.registry.create(stream: "demo")
            let ask = TestOffer.subscribe([.opus, .h264])
            let node = try await pair.b.registry.subscribe(
                stream: "demo", offer: ask, from: SessionClient(credential: nil), path: ["c"])
            let person = try await pair.b.subscribe("demo")
            _ = try await pair.pull("demo")
            #expect(await pair.b.registry.state(of: node.sessionID, on: "demo") == nil)
            #expect(await pair.b.registry.state(of: person.sessionID, on: "demo") != nil)
        }
    }
}
