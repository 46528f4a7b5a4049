import Cluster
import MediaPlane
import SDP
@testable import Streams
import Testing

@Suite("Session resources (RFC 9725 section 4.2, 4.3)")
struct SessionTests {
    private static func fragment(_ ufrag: String, _ password: String) -> [UInt8] {
        Array(
            """
            a=ice-ufrag:\(ufrag)\r
            a=ice-pwd:\(password)\r
            m=audio 9 UDP/TLS/RTP/SAVPF 0\r
            a=mid:0\r
            a=candidate:1 1 udp 2130706431 192.0.2.1 61764 typ host\r

            """.utf8)
    }

    /// A publisher whose credentials are known.
    private static func published(_ bench: TestBench) async throws -> (SessionAnswer, ICECredentials) {
        let local = TestOffer.local()
        let offer = PublishOffer(codecs: [.opus, .h264]) { .random(in: 1 ... .max) }.sdp(local: local)
        return (
            try await bench.registry.publish(stream: "demo", offer: Array(offer.utf8), from: SessionClient(credential: nil)),
            local.ice
        )
    }

    @Test("the end is final: a second DELETE and a PATCH find nothing")
    func end() async throws {
        try await TestBench.with { bench in
            let (answer, ice) = try await Self.published(bench)
            try await bench.registry.end(stream: "demo", session: answer.sessionID)
            await #expect(throws: StreamError.sessionNotFound) {
                try await bench.registry.end(stream: "demo", session: answer.sessionID)
            }
            await #expect(throws: StreamError.sessionNotFound) {
                try await bench.registry.patch(
                    stream: "demo", session: answer.sessionID, fragment: Self.fragment(ice.ufrag, ice.password), ifMatch: "*")
            }
            #expect(await bench.registry.hasPublisher("demo") == false)
            let record = try #require(await bench.registry.record(of: "demo"))
            #expect(record.publish.leaveAt == bench.clock.read().wallMs && record.codecs.isEmpty)
        }
    }

    @Test("a session is found on its own stream only, and by its exact id")
    func lookup() async throws {
        try await TestBench.with { bench in
            let (answer, _) = try await Self.published(bench)
            _ = try await bench.publish("other")
            for (stream, id) in [
                ("other", answer.sessionID), ("demo", answer.sessionID.lowercased() + "x"), ("demo", ""),
                ("none", answer.sessionID),
                ("demo", "../" + answer.sessionID), ("demo", String(repeating: "a", count: 10_000)),
            ] {
                await #expect(throws: StreamError.sessionNotFound) { try await bench.registry.end(stream: stream, session: id) }
            }
        }
    }

    @Test("trickle: the current tag and both wildcards are taken; another tag is not, none at all only when the settings let it")
    func preconditions() async throws {
        try await TestBench.with { bench in
            let (answer, ice) = try await Self.published(bench)
            let body = Self.fragment(ice.ufrag, ice.password)
            for header in [answer.etag, "*", "\"*\"", "\"x\", " + answer.etag, " * "] {
                let patch = try await bench.registry.patch(
                    stream: "demo", session: answer.sessionID, fragment: body, ifMatch: header)
                #expect(patch == .trickled)
            }
            for header in ["\"x\"", "", "W/" + answer.etag, answer.etag.filter { $0 != "\"" }] {
                await #expect(throws: StreamError.preconditionFailed) {
                    try await bench.registry.patch(stream: "demo", session: answer.sessionID, fragment: body, ifMatch: header)
                }
            }
            await #expect(throws: StreamError.preconditionRequired) {
                try await bench.registry.patch(stream: "demo", session: answer.sessionID, fragment: body, ifMatch: nil)
            }
            #expect(await bench.registry.hasPublisher("demo"))
        }
        try await TestBench.with({ $0.requiresIfMatch = false }) { bench in
            let (answer, ice) = try await Self.published(bench)
            let patch = try await bench.registry.patch(
                stream: "demo", session: answer.sessionID, fragment: Self.fragment(ice.ufrag, ice.password), ifMatch: nil)
            #expect(patch == .trickled)
        }
    }

    @Test("a fragment that cannot be read is 400 and changes nothing")
    func malformed() async throws {
        try await TestBench.with { bench in
            let (answer, _) = try await Self.published(bench)
            do throws(StreamError) {
                _ = try await bench.registry.patch(
                    stream: "demo", session: answer.sessionID, fragment: Array("hello".utf8), ifMatch: nil)
                Issue.record("accepted")
            } catch {
                #expect(error.status == 400)
            }
        }
    }

    @Test("new credentials restart ICE: new tag, our new credentials and candidates; the old ones are late trickle then")
    func restart() async throws {
        try await TestBench.with { bench in
            let (answer, ice) = try await Self.published(bench)
            let body = Self.fragment("newUfrag", "newPasswordOfMoreThan22")
            let patch = try await bench.registry.patch(
                stream: "demo", session: answer.sessionID, fragment: body, ifMatch: "*")
            guard case .restarted(let text, let etag) = patch else {
                Issue.record("no restart")
                return
            }
            #expect(etag != answer.etag)
            let reply = try SDPFragment(parsing: text)
            #expect(reply.ice?.isValid == true && !answer.sdp.contains(reply.ice?.ufrag ?? ""))
            #expect(reply.candidates.map(\.port) == bench.plane.candidates(loop: 0).map(\.port))
            // The same restart again is trickle for the new generation, the first generation's is ignored.
            for fragment in [body, Self.fragment(ice.ufrag, ice.password)] {
                let again = try await bench.registry.patch(
                    stream: "demo", session: answer.sessionID, fragment: fragment, ifMatch: etag)
                #expect(again == .trickled)
            }
            await #expect(throws: StreamError.preconditionFailed) {
                try await bench.registry.patch(stream: "demo", session: answer.sessionID, fragment: body, ifMatch: answer.etag)
            }
        }
    }
}

@Suite("Streams' lives (strategy keys)")
struct LifecycleTests {
    @Test("the media plane's events become states, and an end empties the slot")
    func events() async throws {
        try await TestBench.with { bench in
            let answer = try await bench.publish("demo")
            let handle = try #require(await bench.registry.streams["demo"]?.publisher?.handle)
            await bench.registry.take(.sessionState(handle, session: answer.sessionID, .connected))
            #expect(await bench.registry.record(of: "demo")?.publish.sessions.first?.state == .connected)
            await bench.registry.take(.sessionState(handle, session: "unknown", .closed(.consentLost)))
            #expect(await bench.registry.hasPublisher("demo"))
            await bench.registry.take(.sessionState(handle, session: answer.sessionID, .closed(.consentLost)))
            #expect(await bench.registry.hasPublisher("demo") == false)
            #expect(await bench.registry.record(of: "demo")?.publish.sessions.first?.state == .failed)
        }
    }

    @Test("ended sessions stay listed for 30 s; an empty stream that came with its publisher goes then too")
    func forgetting() async throws {
        try await TestBench.with { bench in
            let answer = try await bench.publish("demo")
            try await bench.registry.create(stream: "kept")
            try await bench.registry.end(stream: "demo", session: answer.sessionID)
            bench.clock.advance(ms: 29_900)
            await bench.registry.sweep()
            #expect(await bench.registry.record(of: "demo")?.publish.sessions.count == 1)
            bench.clock.advance(ms: 200)
            await bench.registry.sweep()
            #expect(await bench.registry.records().map(\.id) == ["kept"])
        }
    }

    @Test("auto_delete_whip ends a stream and its viewers after the publisher left", arguments: [0, 500])
    func autoDeleteWHIP(_ ms: Int) async throws {
        try await TestBench.with({ $0.autoDeleteWHIPMs = ms }) { bench in
            try await bench.registry.create(stream: "demo")
            await bench.registry.sweep()
            #expect(await bench.registry.record(of: "demo") != nil)
            let publisher = try await bench.publish("demo")
            _ = try await bench.subscribe("demo")
            try await bench.registry.end(stream: "demo", session: publisher.sessionID)
            bench.clock.advance(ms: Int64(ms))
            await bench.registry.sweep()
            #expect(await bench.registry.record(of: "demo") == nil)
        }
    }

    @Test("auto_delete_whep ends a stream and its publisher when nobody watches")
    func autoDeleteWHEP() async throws {
        try await TestBench.with({ $0.autoDeleteWHEPMs = 1000 }) { bench in
            _ = try await bench.publish("demo")
            let viewer = try await bench.subscribe("demo")
            bench.clock.advance(ms: 5000)
            await bench.registry.sweep()
            #expect(await bench.sessions("demo") == (1, 1))
            try await bench.registry.end(stream: "demo", session: viewer.sessionID)
            bench.clock.advance(ms: 1000)
            await bench.registry.sweep()
            #expect(await bench.registry.record(of: "demo") == nil)
        }
    }

    @Test("a stream that is being recorded is not deleted")
    func recording() async throws {
        try await TestBench.with({ $0.autoDeleteWHIPMs = 0 }) { bench in
            let answer = try await bench.publish("demo")
            await bench.registry.setRecording(["demo": RecordingOrder(), "other": RecordingOrder()])
            try await bench.registry.end(stream: "demo", session: answer.sessionID)
            bench.clock.advance(ms: 100_000)
            await bench.registry.sweep()
            #expect(await bench.registry.record(of: "demo")?.recording == true)
            await bench.registry.setRecording([:])
            await bench.registry.sweep()
            #expect(await bench.registry.record(of: "demo") == nil)
        }
    }

    @Test("streams are made once and deleted once, sessions included")
    func api() async throws {
        try await TestBench.with { bench in
            try await bench.registry.create(stream: "demo")
            await #expect(throws: StreamError.streamExists) { try await bench.registry.create(stream: "demo") }
            let answer = try await bench.publish("demo")
            let handle = try #require(await bench.registry.streams["demo"]?.publisher?.handle)
            try await bench.registry.delete(stream: "demo")
            await #expect(throws: StreamError.streamNotFound) { try await bench.registry.delete(stream: "demo") }
            await #expect(throws: StreamError.sessionNotFound) {
                try await bench.registry.end(stream: "demo", session: answer.sessionID)
            }
            #expect(await bench.plane.snapshot(of: handle) == nil)
        }
    }
}
