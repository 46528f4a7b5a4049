import Cluster
import MediaPlane
import SDP
@testable import Streams
import Testing

@Suite("Subscribing (draft-ietf-wish-whep section 4.2)")
struct SubscribeTests {
    @Test("viewers that agreed on the same formats share one list of them")
    func sharedFormats() async throws {
        try await TestBench.with { bench in
            _ = try await bench.publish("demo")
            let vp8 = Codec(name: "VP8", clockRate: 90000)
            for _ in 0..<2 { _ = try await bench.subscribe("demo", codecs: [.opus, .h264, vp8]) }
            _ = try await bench.subscribe("demo")
            let lists = await bench.registry.streams["demo"]?.viewers.values.compactMap { viewer in
                viewer.tracks.first { $0.kind == .video }?.alternatives
            }
            let some = try #require(lists).filter { !$0.isEmpty }
            #expect(some.count == 2 && some.allSatisfy { $0.map(\.codec.name) == ["VP8"] })
            let places = Set(some.map { list in list.withUnsafeBytes { $0.baseAddress } })
            #expect(places.count == 1)
        }
    }

    @Test("a stream that is not there is 404, or is made when the strategy says so")
    func unknown() async throws {
        try await TestBench.with { bench in
            await #expect(throws: StreamError.streamNotFound) { try await bench.subscribe("demo") }
            #expect(await bench.registry.records().isEmpty)
        }
        try await TestBench.with({ $0.autoCreateWHEP = true }) { bench in
            _ = try await bench.subscribe("demo")
            #expect(await bench.sessions("demo") == (0, 1))
            _ = try await bench.publish("demo")
            #expect(await bench.sessions("demo") == (1, 1))
        }
    }

    @Test("the media plane has room for all formats that an answer lists")
    func room() { #expect(SDPLimits.formatsAnswered <= MediaLimits.formatsPerTrack) }

    @Test("the answer has the publisher's codecs only")
    func codecs() async throws {
        try await TestBench.with({ $0.codecs = .all }) { bench in
            _ = try await bench.publish("video", codecs: [Codec(name: "VP8", clockRate: 90000)])
            let both: [Codec] = [.opus, .h264, Codec(name: "VP8", clockRate: 90000)]
            let answer = try SessionDescription(parsing: await bench.subscribe("video", codecs: both).sdp)
            #expect(answer.media.map(\.port) == [0, 9])
            #expect(answer.media.last?.attributes.contains(SDPAttribute("rtpmap", "98 VP8/90000")) == true)
            do throws(StreamError) {
                _ = try await bench.subscribe("video", codecs: [.h264])
                Issue.record("accepted")
            } catch {
                #expect(error.status == 422)
            }
            #expect(await bench.sessions("video") == (1, 1))
        }
    }

    @Test("the H.264 profile of the stream itself wins over the publisher's SDP")
    func profile() async throws {
        try await TestBench.with { bench in
            let answer = try await bench.publish("demo", codecs: [.h264])
            let key = try #require(await bench.registry.key(of: "demo"))
            func high(_ profile: String) -> Codec {
                Codec(name: "H264", clockRate: 90000, fmtp: "packetization-mode=1;profile-level-id=\(profile)")
            }
            let offered = [Codec.h264, high("64001f")]
            let before = try await bench.subscribe("demo", codecs: offered).sdp
            #expect(before.contains("a=rtpmap:96 H264/90000"))
            await bench.registry.take(.h264Profile(key, session: answer.sessionID, profileLevelID: 0x640C1F))
            let after = try await bench.subscribe("demo", codecs: offered).sdp
            #expect(after.contains("a=rtpmap:97 H264/90000"))
        }
    }

    @Test("a viewer that came before the stream showed its profile, and listed none that plays it, is closed to ask again")
    func profileAfterJoin() async throws {
        try await TestBench.with { bench in
            func h264(_ profile: String) -> Codec {
                Codec(name: "H264", clockRate: 90000, fmtp: "packetization-mode=1;profile-level-id=\(profile)")
            }
            // Asked before anybody published: answered for constrained baseline.
            try await bench.registry.create(stream: "demo")
            let early = try await bench.subscribe("demo", codecs: [.h264, h264("f4001f"), .opus])
            let narrow = try await bench.subscribe("demo", codecs: [.h264, .opus])
            let superset = try await bench.subscribe("demo", codecs: [h264("f4001f"), .opus])
            let audio = try await bench.subscribe("demo", codecs: [.opus])
            let publisher = try await bench.publish("demo")
            let key = try #require(await bench.registry.key(of: "demo"))
            for profile: UInt32 in [0x42E01F, 0x42C02A] {
                await bench.registry.take(.h264Profile(key, session: publisher.sessionID, profileLevelID: profile))
            }
            #expect(await bench.registry.owner(stream: "demo", session: narrow.sessionID) != nil)
            await bench.registry.take(.h264Profile(key, session: publisher.sessionID, profileLevelID: 0x6E001F))
            #expect(await bench.registry.owner(stream: "demo", session: narrow.sessionID) == nil)
            for stays in [early, superset, audio] {
                #expect(await bench.registry.owner(stream: "demo", session: stays.sessionID) != nil)
            }
        }
    }

    @Test("a viewer keeps its payload type while that plays what the stream shows to be: another begins with a key frame")
    func profileOnAir() async throws {
        try await TestBench.with { bench in
            func h264(_ profile: String) -> Codec {
                Codec(name: "H264", clockRate: 90000, fmtp: "packetization-mode=1;profile-level-id=\(profile)")
            }
            let publisher = try await bench.publish("demo", codecs: [h264("42001f"), .opus])
            let key = try #require(await bench.registry.key(of: "demo"))
            let viewer = try await bench.subscribe("demo", codecs: [h264("42001f"), h264("42e01f"), h264("640c1f"), .opus])
            func video() async throws -> (first: UInt8, used: UInt8) {
                let session = try #require(await bench.registry.streams["demo"]?.viewers[viewer.sessionID])
                let track = try #require(session.tracks.first { $0.kind == .video })
                return (track.payloadType, track.ssrc.flatMap { session.payloadTypes[$0] } ?? track.payloadType)
            }
            let (first, _) = try await video()
            // Constrained baseline, which a baseline decoder plays; then what it doesn't.
            await bench.registry.take(.h264Profile(key, session: publisher.sessionID, profileLevelID: 0x42E01F))
            #expect(try await video().used == first)
            await bench.registry.take(.h264Profile(key, session: publisher.sessionID, profileLevelID: 0x640C1F))
            let high = try await video().used
            #expect(high != first)
            await bench.registry.take(.h264Profile(key, session: publisher.sessionID, profileLevelID: 0x42E01F))
            #expect(try await video().used == high)
            // The next publisher's begins with a key frame anyway, so it gets the closest.
            try await bench.registry.end(stream: "demo", session: publisher.sessionID)
            _ = try await bench.publish("demo", codecs: [h264("42001f"), .opus])
            #expect(try await video().used == first)
        }
    }

    @Test("as many viewers as the stream may have, then 403")
    func limit() async throws {
        try await TestBench.with({ $0.subscribersPerStreamMax = 2 }) { bench in
            _ = try await bench.publish("demo")
            _ = try await bench.subscribe("demo")
            let second = try await bench.subscribe("demo")
            await #expect(throws: StreamError.subscriberLimit) { try await bench.subscribe("demo") }
            try await bench.registry.end(stream: "demo", session: second.sessionID)
            _ = try await bench.subscribe("demo")
        }
    }

    @Test("viewers outlive the publisher, wait for the next one and are closed when none comes")
    func outlive() async throws {
        try await TestBench.with { bench in
            let publisher = try await bench.publish("demo")
            await bench.connectPublisher("demo")
            let viewer = try await bench.subscribe("demo")
            bench.clock.advance(ms: 60_000)
            try await bench.registry.end(stream: "demo", session: publisher.sessionID)
            bench.clock.advance(ms: 29_000)
            await bench.registry.sweep()
            #expect(await bench.sessions("demo") == (0, 1))
            let late = try await bench.subscribe("demo")
            _ = try await bench.publish("demo")
            await bench.connectPublisher("demo")
            bench.clock.advance(ms: 60_000)
            await bench.registry.sweep()
            #expect(await bench.sessions("demo") == (1, 2))

            let again = try #require(await bench.registry.record(of: "demo")?.publish.sessions.last?.id)
            try await bench.registry.end(stream: "demo", session: again)
            bench.clock.advance(ms: 30_000)
            await bench.registry.sweep()
            for id in [viewer.sessionID, late.sessionID] {
                await #expect(throws: StreamError.sessionNotFound) { try await bench.registry.end(stream: "demo", session: id) }
            }
        }
    }

    @Test("a publisher that comes again and again and never connects keeps no viewer waiting")
    func neverConnects() async throws {
        try await TestBench.with { bench in
            let first = try await bench.publish("demo")
            await bench.connectPublisher("demo")
            let viewer = try await bench.subscribe("demo")
            try await bench.registry.end(stream: "demo", session: first.sessionID)
            var isThere: [Bool] = []
            for _ in 0..<3 {
                let attempt = try await bench.publish("demo")
                let handle = try #require(await bench.registry.streams["demo"]?.publisher?.handle)
                bench.clock.advance(ms: 14_000)
                await bench.registry.take(MediaEvent.sessionState(handle, session: attempt.sessionID, .closed(.setupTimeout)))
                await bench.plane.remove(handle)
                await bench.registry.sweep()
                isThere.append(await bench.registry.owner(stream: "demo", session: viewer.sessionID) != nil)
            }
            #expect(isThere == [true, true, false])
        }
    }

    @Test("viewers wait twice as long for a publisher that is there and has not connected yet")
    func connecting() async throws {
        try await TestBench.with { bench in
            _ = try await bench.publish("demo")
            _ = try await bench.subscribe("demo")
            bench.clock.advance(ms: 59_000)
            await bench.registry.sweep()
            #expect(await bench.sessions("demo") == (1, 1))
            bench.clock.advance(ms: 1_000)
            await bench.registry.sweep()
            #expect(await bench.sessions("demo") == (1, 0))
        }
    }

    @Test("a new publisher with other codecs closes the viewers whose answer has none of them")
    func republish() async throws {
        try await TestBench.with({
            $0.codecs = .all; $0.overridePublisher = true
        }) { bench in
            _ = try await bench.publish("demo")
            let audio = try await bench.subscribe("demo", codecs: [.opus])
            let video = try await bench.subscribe("demo")
            let vp8 = Codec(name: "VP8", clockRate: 90000)
            let both = try await bench.subscribe("demo", codecs: [.opus, .h264, vp8])
            #expect(both.sdp.contains("VP8/90000"))
            _ = try await bench.publish("demo", codecs: [.opus, vp8])
            #expect(await bench.registry.owner(stream: "demo", session: audio.sessionID) != nil)
            #expect(await bench.registry.owner(stream: "demo", session: both.sessionID) != nil)
            #expect(await bench.registry.owner(stream: "demo", session: video.sessionID) == nil)
            // Sound of another clock is another source.
            _ = try await bench.publish("demo", codecs: [Codec(name: "PCMU", clockRate: 8000), vp8])
            #expect(await bench.registry.owner(stream: "demo", session: both.sessionID) == nil)
        }
    }

    @Test("video that comes later goes to the viewers who asked for it while there was sound only")
    func videoLater() async throws {
        try await TestBench.with({
            $0.overridePublisher = true; $0.acceptsLateVideo = true
        }) { bench in
            _ = try await bench.publish("demo", codecs: [.opus])
            let viewer = try await bench.subscribe("demo", codecs: [.opus, .h264])
            #expect(try SessionDescription(parsing: viewer.sdp).media.map(\.port) == [9, 9])
            _ = try await bench.publish("demo", codecs: [.opus, .h264])
            #expect(await bench.registry.owner(stream: "demo", session: viewer.sessionID) != nil)
            _ = try await bench.publish("demo", codecs: [.opus, Codec(name: "VP8", clockRate: 90000)])
            #expect(await bench.registry.owner(stream: "demo", session: viewer.sessionID) == nil)
        }
    }
}
