import Cluster
import MediaPlane
import SDP
@testable import Streams
import Testing

@Suite("Publishing (RFC 9725 section 4.2)")
struct PublishTests {
    @Test("a publisher makes its stream and gets an answer, a session and a tag")
    func publish() async throws {
        try await TestBench.with { bench in
            let answer = try await bench.publish("demo")
            let description = try SessionDescription(parsing: answer.sdp)
            let candidates = description.media.first?.attributes.filter { $0.name == "candidate" }.compactMap(\.value) ?? []
            let expected = bench.plane.candidates(loop: 0).map { " \($0.address) \($0.port) typ host" }
            #expect(!expected.isEmpty && candidates.count == expected.count)
            #expect(zip(candidates, expected).allSatisfy { $0.hasSuffix($1) })
            #expect(answer.sessionID.utf8.count == 33)
            #expect(answer.etag.hasPrefix("\"") && answer.etag.hasSuffix("\""))
            let record = try #require(await bench.registry.record(of: "demo"))
            #expect(record.publish.sessions.map(\.id) == [answer.sessionID])
            #expect(record.publish.leaveAt == 0 && record.codecs.map(\.codec) == ["opus", "H264"])
            #expect(await bench.registry.records().map(\.id) == ["demo"])
        }
    }

    @Test("names that are no stream names, and streams that may not be made")
    func names() async throws {
        try await TestBench.with({ $0.autoCreateWHIP = false }) { bench in
            for name in ["", ".hidden", "a/b", "a b", "\u{e9}", String(repeating: "x", count: 65)] {
                await #expect(throws: StreamError.invalidName) { try await bench.publish(name) }
                await #expect(throws: StreamError.invalidName) { try await bench.subscribe(name) }
            }
            await #expect(throws: StreamError.streamNotFound) { try await bench.publish("demo") }
            try await bench.registry.create(stream: "demo")
            _ = try await bench.publish("demo")
        }
    }

    @Test("parameter sets that the offer tells of go on as a packet (RFC 6184 section 8.2.2)")
    func parameterSets() throws {
        for (sets, count) in [("", 0), (";sprop-parameter-sets=Z0LAHtkAoEf+iA==,aM48gA==", 19)] {
            let codec = Codec(name: "H264", clockRate: 90000, fmtp: "packetization-mode=1;profile-level-id=42c01e\(sets)")
            let answer = try PublishAnswer(
                offer: SessionDescription(parsing: TestOffer.publish([.opus, codec])), supported: .all)
            let tracks = IncomingTrackSpec.tracks(answer.tracks)
            #expect(tracks.map(\.parameterSets.count) == [0, count])
        }
    }

    @Test("bad offers leave nothing behind")
    func badOffers() async throws {
        try await TestBench.with { bench in
            let cases: [([UInt8], Int)] = [
                ([], 400), (Array("hello".utf8), 400), ([UInt8](repeating: 0x61, count: SDPLimits.bytes + 1), 413),
                (TestOffer.publish([Codec(name: "H263", clockRate: 90000)]), 422), (TestOffer.subscribe([.h264]), 422),
            ]
            for (offer, status) in cases {
                do throws(StreamError) {
                    _ = try await bench.registry.publish(stream: "demo", offer: offer, from: SessionClient(credential: nil))
                    Issue.record("accepted")
                } catch {
                    #expect(error.status == status)
                }
            }
            #expect(await bench.registry.records().isEmpty)
        }
    }

    @Test("of many publishers at the same moment exactly one wins")
    func race() async throws {
        try await TestBench.with { bench in
            let won = await withTaskGroup(of: Bool.self) { group in
                for index in 0..<20 {
                    group.addTask { (try? await bench.publish("demo", credential: "client\(index)")) != nil }
                }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(won == 1)
            #expect(await bench.registry.counts.publishers == 1)
        }
    }

    @Test("a second publisher gets 409; the same credential, the setting and silence let it take over")
    func takeover() async throws {
        try await TestBench.with { bench in
            let first = try await bench.publish("demo", credential: "alice")
            await #expect(throws: StreamError.publisherExists) { try await bench.publish("demo", credential: "bob") }
            await #expect(throws: StreamError.publisherExists) { try await bench.publish("demo") }
            let second = try await bench.publish("demo", credential: "alice")
            #expect(await bench.registry.owner(stream: "demo", session: first.sessionID) == nil)
            #expect(await bench.registry.owner(stream: "demo", session: second.sessionID)?.credential == "alice")
            // Far more than the two seconds, since the real clock went on as well.
            bench.clock.advance(ms: 600_000)
            let third = try await bench.publish("demo", credential: "bob")
            let record = try #require(await bench.registry.record(of: "demo"))
            #expect(record.publish.sessions.map(\.id) == [first.sessionID, second.sessionID, third.sessionID])
            #expect(record.publish.sessions.map(\.state) == [.closed, .closed, .new])
        }
        try await TestBench.with({ $0.overridePublisher = true }) { bench in
            _ = try await bench.publish("demo", credential: "alice")
            _ = try await bench.publish("demo", credential: "bob")
        }
    }

    @Test("an empty credential is nobody's: it does not take over")
    func emptyCredential() async throws {
        try await TestBench.with { bench in
            _ = try await bench.publish("demo", credential: "")
            await #expect(throws: StreamError.publisherExists) { try await bench.publish("demo", credential: "") }
        }
    }

    @Test("limits answer 503, and room that is freed is given again")
    func limits() async throws {
        try await TestBench.with({
            $0.publishersMax = 2; $0.sessionsMax = 3; $0.subscribersMax = 1
        }) { bench in
            let first = try await bench.publish("one")
            _ = try await bench.publish("two")
            do throws(StreamError) {
                _ = try await bench.publish("three")
                Issue.record("accepted")
            } catch {
                #expect(error.status == 503)
            }
            #expect(await bench.registry.record(of: "three") == nil)
            _ = try await bench.subscribe("one")
            await #expect(throws: StreamError.unavailable(retryAfterSeconds: 5)) { try await bench.subscribe("one") }
            try await bench.registry.end(stream: "one", session: first.sessionID)
            _ = try await bench.publish("three")
        }
    }

    @Test("a draining node takes nothing new and keeps what it has")
    func drain() async throws {
        try await TestBench.with { bench in
            _ = try await bench.publish("demo")
            await bench.registry.drain()
            await #expect(throws: StreamError.unavailable(retryAfterSeconds: 5)) { try await bench.publish("other") }
            await #expect(throws: StreamError.unavailable(retryAfterSeconds: 5)) { try await bench.subscribe("demo") }
            #expect(await bench.sessions("demo").publishers == 1)
        }
    }

    @Test("publications tell the recorder, changes tell everybody")
    func listeners() async throws {
        try await TestBench.with { bench in
            var publications = await bench.registry.publications().makeAsyncIterator()
            var changes = await bench.registry.changes().makeAsyncIterator()
            let answer = try await bench.publish("demo")
            let key = try #require(await bench.registry.key(of: "demo"))
            #expect(await publications.next() == .published(stream: "demo", key: key, isCopy: false))
            #expect(await changes.next() != nil)
            try await bench.registry.end(stream: "demo", session: answer.sessionID)
            #expect(await publications.next() == .ended(stream: "demo", key: key))
            #expect(await changes.next() != nil)
        }
    }
}
