import CLinux
import TestThreads
import Testing

@testable import MediaPlane

@Suite("A viewer's first picture comes from what is cached, not from what the publisher sends next", .offThePool, .serialized)
struct FirstPictureTests {
    /// Frames of three packets after the keyframe of four.
    private static let frames = 20
    private static let packets = 4 + frames * 3
    /// More than enough for a group of this length: 64 packets an iteration.
    private static let iterations = 8

    /// Who publishes a group of pictures and is silent from then on.
    private static func cached(_ loop: SteppedLoop) async throws -> (TestPeer, Encoder) {
        let publisher = try TestPeer()
        let spec = PublisherSpec(
            stream: LoopBed.stream, session: "p", transport: publisher.spec, tracks: LoopBed.incoming())
        try await loop.add(publisher, .publisher(spec), isPublisher: true, others: [])
        var encoder = Encoder()
        encoder.frame(publisher, key: true, packets: 4)
        for _ in 0..<frames { encoder.frame(publisher) }
        for _ in 0..<20 { loop.step() }
        return (publisher, encoder)
    }

    @Test(
        "the whole group of pictures goes out when the viewer is there, the keyframe first and without a gap, before anything new"
    )
    func order() async throws {
        let loop = try SteppedLoop(segmentation: true)
        let (publisher, encoder) = try await Self.cached(loop)
        // A publisher that is known to make no keyframes when asked, as OBS and FFmpeg are: its last one serves, however old.
        let fanout = loop.core.fanout(for: LoopBed.stream)
        fanout.pointee.noteIgnoredRequest(now: 0)
        let viewer = try TestPeer()
        let spec = ViewerSpec(stream: LoopBed.stream, session: "v", transport: viewer.spec, tracks: LoopBed.outgoing)
        try await loop.announce(viewer, .viewer(spec), isPublisher: false)
        try loop.connect(viewer) {}
        for _ in 0..<Self.iterations { loop.step() }
        viewer.run(seconds: 5) { $0.packets(LoopBed.viewerVideo).count >= Self.packets }
        let heard = viewer.packets(LoopBed.viewerVideo)
        #expect(heard.map(\.payload) == encoder.sentPayloads)
        #expect(heard.first?.payload.prefix(2) == [0x7C, 0x85], "the first packet of the keyframe")
        #expect(heard.map { $0.header.sequence &- heard[0].header.sequence } == (0..<UInt16(Self.packets)).map { $0 })
        // Live goes on right behind it.
        var live = encoder
        live.frame(publisher)
        for _ in 0..<4 { loop.step() }
        viewer.run(seconds: 5) { $0.packets(LoopBed.viewerVideo).count >= Self.packets + 3 }
        let last = viewer.packets(LoopBed.viewerVideo)
        #expect(last.map(\.payload) == live.sentPayloads)
        #expect(last.last?.header.sequence == heard[0].header.sequence &+ UInt16(Self.packets + 2))
        loop.stop()
        await loop.plane.shutdown()
    }

    @Test("who asks for keyframes in vain is shown the group again: new numbers, later timestamps, live behind it")
    func again() async throws {
        let loop = try SteppedLoop(segmentation: true)
        let (publisher, encoder) = try await Self.cached(loop)
        let fanout = loop.core.fanout(for: LoopBed.stream)
        let viewer = try TestPeer()
        let spec = ViewerSpec(stream: LoopBed.stream, session: "v", transport: viewer.spec, tracks: LoopBed.outgoing)
        try await loop.announce(viewer, .viewer(spec), isPublisher: false)
        try loop.connect(viewer) {}
        for _ in 0..<Self.iterations { loop.step() }
        viewer.run(seconds: 5) { $0.packets(LoopBed.viewerVideo).count >= Self.packets }
        let found = loop.core.sessions.values.first { $0.pointee.name == "v" }
        let session = try #require(found)
        let now = fanout.pointee.tracks[1].lastArrivalNs
        var sent: [UInt64?] = []
        for laterNs in [100, 200, 100 + KeyframePleas.patienceNs] {
            loop.core.viewerWantsKeyframe(session, now + laterNs)
            for _ in 0..<Self.iterations { loop.step() }
            sent.append(session.pointee.viewer?.pointee.tracks[0].packets)
        }
        let once = UInt64(Self.packets)
        #expect(sent == [once, once, 2 * once] && fanout.pointee.ignoresRequests)
        var live = encoder
        live.frame(publisher)
        for _ in 0..<4 { loop.step() }
        viewer.run(seconds: 5) { $0.packets(LoopBed.viewerVideo).count >= 2 * Self.packets + 3 }
        let heard = viewer.packets(LoopBed.viewerVideo)
        #expect(heard.map(\.payload) == encoder.sentPayloads + live.sentPayloads)
        #expect(heard.map { $0.header.sequence &- heard[0].header.sequence } == (0..<UInt16(2 * Self.packets + 3)).map { $0 })
        let steps = zip(heard.dropFirst(), heard).map { Int32(bitPattern: $0.header.timestamp &- $1.header.timestamp) }
        #expect(steps.allSatisfy { $0 >= 0 } && steps[Self.packets - 1] > 0)
        loop.stop()
        await loop.plane.shutdown()
    }

    @Test("a group is shown again after a plea in vain, then ever more rarely, until a keyframe has come")
    func pleas() {
        var pleas = KeyframePleas()
        let second: UInt64 = 1_000_000_000
        var shown: [UInt64] = []
        // Each second from the tenth on; keyframes came in the fifth and the hundredth.
        for moment: UInt64 in 10...115 {
            let isShown = pleas.areInVain(now: moment * second, keyframeNs: (moment < 100 ? 5 : 100) * second)
            if isShown { shown.append(moment) }
        }
        #expect(shown == [11, 15, 23, 39, 71, 102, 106, 114])
    }

    @Test("a group goes out half as fast when something of it is missed, and faster again by and by")
    func pace() {
        var pace = CatchUpPace()
        let begun = [pace.take(), pace.take()]
        let slowed = [50, 60, 151, 300, 500].map { (milliseconds: UInt64) in
            pace.slow(now: milliseconds * 1_000_000)
            return pace.packets
        }
        let after = (0..<50).map { _ in pace.take() }
        #expect(begun == [64, 64] && slowed == [32, 32, 16, 16, 16] && after == Array(16...64) + [64])
    }

    @Test(
        "a joiner begins with a group whose keyframe is younger than a second, and nobody is asked for another",
        arguments: [(LoopCore.youngKeyframeNs - 1, true), (LoopCore.youngKeyframeNs, false)])
    func young(ageNs: UInt64, isServed: Bool) async throws {
        let loop = try SteppedLoop(segmentation: true)
        _ = try await Self.cached(loop)
        let viewer = try TestPeer()
        let spec = ViewerSpec(stream: LoopBed.stream, session: "v", transport: viewer.spec, tracks: LoopBed.outgoing)
        try await loop.announce(viewer, .viewer(spec), isPublisher: false)
        let announced = loop.core.sessions.values.first { $0.pointee.name == "v" }
        let session = try #require(announced)
        // Video is off until it is connected, so that the keyframe's age is the test's to choose.
        loop.core.chooseLayer(.off, session, tributary_monotonic_ns())
        try loop.connect(viewer) {}
        let fanout = loop.core.fanout(for: LoopBed.stream)
        let keyframeNs = fanout.pointee.tracks[1].keyframeArrivalNs
        loop.core.chooseLayer(.automatic, session, keyframeNs + ageNs)
        let sent = session.pointee.viewer?.pointee.tracks[0].packets
        let isAsked = fanout.pointee.publisher?.pointee.publisher?.pointee.tracks[1].keyframes.isWanted
        #expect(sent == (isServed ? UInt64(Self.packets) : 0) && isAsked == !isServed)
        loop.stop()
        await loop.plane.shutdown()
    }

    @Test(
        "a loop that gets its first viewer is given the group, and the publisher asked only if that will be old when he has connected",
        arguments: [(LoopCore.earlyKeyframeNs - 1, false), (LoopCore.earlyKeyframeNs, true)])
    func youngForAnotherLoop(ageNs: UInt64, isAsked: Bool) async throws {
        let loop = try SteppedLoop(segmentation: true)
        _ = try await Self.cached(loop)
        let fanout = loop.core.fanout(for: LoopBed.stream)
        let pipe = PacketPipe(slots: 1024, wake: loop.core.mailbox.wake)
        loop.core.openOutlet(fanout, pipe, replays: true, fanout.pointee.tracks[1].keyframeArrivalNs + ageNs)
        var packets = 0
        while let entry = pipe.front() {
            packets += entry.pointee.kind == .packet ? 1 : 0
            pipe.pop()
        }
        let wasAsked = fanout.pointee.publisher?.pointee.publisher?.pointee.tracks[1].keyframes.isWanted
        #expect(packets == Self.packets && wasAsked == isAsked)
        loop.stop()
        await loop.plane.shutdown()
    }

    @Test("a publisher that was late with a keyframe is asked again after two answers; late three times, not for ten minutes")
    func lateOnce() async throws {
        let loop = try SteppedLoop(segmentation: true)
        let (_, encoder) = try await Self.cached(loop)
        let fanout = loop.core.fanout(for: LoopBed.stream)
        let track = fanout.pointee.tracks + 1
        let now = tributary_monotonic_ns()
        var sequence = (track.pointee.original(at: track.pointee.ring.highest)?.packet.sequence ?? 0) + 1
        var verdicts: [Bool] = []
        func keyframe(_ flags: PacketFlags, laterNs: UInt64 = 0) {
            let packet = IncomingPacket(
                sequence: sequence, timestamp: encoder.timestamp &+ UInt32(sequence), arrivalNs: now, flags: flags,
                extensions: ForwardedExtensions())
            sequence += 1
            let payload: [UInt8] = [0x65, 1, 2]
            payload.withUnsafeBytes { loop.core.accept(packet, payload: $0, track: 1, fanout, now + laterNs) }
            verdicts.append(fanout.pointee.ignoresRequests)
        }
        fanout.pointee.noteIgnoredRequest(now: now)
        keyframe(.keyframeStart)
        keyframe([.keyframeStart, .answer, .replayed])
        let second: UInt64 = 1_000_000_000
        // One, two of the same request, and one more.
        for laterNs in [0, second / 2, 2 * second] { keyframe([.keyframeStart, .answer], laterNs: laterNs) }
        for laterNs in [10 * second, 20 * second] {
            fanout.pointee.noteIgnoredRequest(now: now + laterNs)
            keyframe([.keyframeStart, .answer], laterNs: laterNs + second)
            keyframe([.keyframeStart, .answer], laterNs: laterNs + 3 * second)
        }
        keyframe([.keyframeStart, .answer], laterNs: 630 * second)
        #expect(verdicts == [true, true, true, true, false, true, false, true, true, false])
        loop.stop()
        await loop.plane.shutdown()
    }
}
