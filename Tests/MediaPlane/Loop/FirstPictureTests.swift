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

    /// A viewer who has been sent all that is cached.
    private static func watching(_ loop: SteppedLoop, isNode: Bool = false) async throws -> (
        TestPeer, UnsafeMutablePointer<PeerSession>
    ) {
        let viewer = try TestPeer()
        let spec = ViewerSpec(
            stream: LoopBed.stream, session: "v", transport: viewer.spec, tracks: LoopBed.outgoing, isNode: isNode)
        try await loop.announce(viewer, .viewer(spec), isPublisher: false)
        try loop.connect(viewer) {}
        for _ in 0..<Self.iterations { loop.step() }
        viewer.run(seconds: 5) { $0.packets(LoopBed.viewerVideo).count >= Self.packets }
        let found = loop.core.sessions.values.first { $0.pointee.name == "v" }
        return (viewer, try #require(found))
    }

    /// The same, whose way is full from then on; the publisher is known to make no keyframes when asked.
    private static func paused(_ loop: SteppedLoop) async throws -> (
        TestPeer, Encoder, TestPeer, UnsafeMutablePointer<PeerSession>
    ) {
        let (publisher, encoder) = try await cached(loop)
        loop.core.fanout(for: LoopBed.stream).pointee.noteIgnoredRequest(now: 0)
        let (viewer, session) = try await watching(loop)
        loop.core.pauseVideo(session, on: 1)
        return (publisher, encoder, viewer, session)
    }

    /// Steps until the viewer has been sent so many packets: some each 10 ms.
    private static func step(
        _ loop: SteppedLoop, _ session: UnsafeMutablePointer<PeerSession>, until packets: Int
    ) -> Bool {
        for _ in 0..<2000 {
            if session.pointee.viewer?.pointee.tracks[0].packets == UInt64(packets) { return true }
            usleep(1000)
            loop.step()
        }
        return false
    }

    @Test("who asks for keyframes in vain is shown the group again, under new numbers and later timestamps; another node is not")
    func again() async throws {
        for isNode in [false, true] {
            let loop = try SteppedLoop(segmentation: true)
            let (publisher, encoder) = try await Self.cached(loop)
            let fanout = loop.core.fanout(for: LoopBed.stream)
            let (viewer, session) = try await Self.watching(loop, isNode: isNode)
            let now = fanout.pointee.tracks[1].lastArrivalNs
            var begun: [Bool] = []
            session.pointee.viewer?.pointee.tracks[0].pleas.noteReport(isLossy: true, now: now + 1)
            for laterNs in stride(from: 100, through: 100 + KeyframePleas.patienceNs, by: 200_000_000) {
                loop.core.viewerWantsKeyframe(of: LoopBed.viewerVideo, session, now + laterNs)
                begun.append((session.pointee.viewer?.pointee.tracks[0].packets ?? 0) > UInt64(Self.packets))
            }
            #expect(begun == [false, false, false, false, false, !isNode] && fanout.pointee.ignoresRequests == !isNode)
            let sent = (isNode ? 1 : 2) * Self.packets
            #expect(Self.step(loop, session, until: sent))
            var live = encoder
            // What comes two seconds later lies behind the group's end.
            live.timestamp &+= 180_000
            for _ in 0..<5 { live.frame(publisher) }
            #expect(Self.step(loop, session, until: sent + 15))
            viewer.run(seconds: 5) { $0.packets(LoopBed.viewerVideo).count >= sent + 15 }
            let heard = viewer.packets(LoopBed.viewerVideo)
            #expect(heard.map(\.payload) == (isNode ? [] : encoder.sentPayloads) + live.sentPayloads)
            #expect(heard.map { $0.header.sequence &- heard[0].header.sequence } == (0..<UInt16(sent + 15)).map { $0 })
            let steps = zip(heard.dropFirst(), heard).map { Int32(bitPattern: $0.header.timestamp &- $1.header.timestamp) }
            #expect(steps.allSatisfy { $0 >= 0 } && steps.filter { $0 > 0 }.count == (isNode ? 1 : 2) * (Self.frames + 1) + 4)
            // It is no later than it would be had nothing been shown again.
            let last = try #require(heard.last)
            #expect(last.header.timestamp &- heard[0].header.timestamp == UInt32(Self.frames + 5) * 3000 + 180_000)
            loop.stop()
            await loop.plane.shutdown()
        }
    }

    @Test("whose way was full goes on where he was if no keyframe can be had: nothing twice, nothing left out")
    func goesOn() async throws {
        let loop = try SteppedLoop(segmentation: true)
        let (publisher, encoder, viewer, session) = try await Self.paused(loop)
        var later = encoder
        for _ in 0..<5 { later.frame(publisher) }
        for _ in 0..<20 { loop.step() }
        let paused = session.pointee.viewer?.pointee.tracks[0].packets
        loop.core.resumeVideo(session, tributary_monotonic_ns())
        #expect(paused == UInt64(Self.packets) && Self.step(loop, session, until: Self.packets + 15))
        viewer.run(seconds: 5) { $0.packets(LoopBed.viewerVideo).count >= Self.packets + 15 }
        let heard = viewer.packets(LoopBed.viewerVideo)
        #expect(heard.map(\.payload) == later.sentPayloads)
        #expect(heard.map { $0.header.sequence &- heard[0].header.sequence } == (0..<UInt16(Self.packets + 15)).map { $0 })
        loop.stop()
        await loop.plane.shutdown()
    }

    @Test("a keyframe that comes while a group is sent ends it")
    func passed() async throws {
        let loop = try SteppedLoop(segmentation: true)
        let (publisher, encoder, viewer, session) = try await Self.paused(loop)
        var later = encoder
        for _ in 0..<20 { later.frame(publisher) }
        for _ in 0..<30 { loop.step() }
        loop.core.resumeVideo(session, tributary_monotonic_ns())
        // The first four of sixty packets went out.
        later.frame(publisher, key: true, packets: 4)
        let whole = Self.packets + CatchUpPace.packetsMin + 4
        for _ in 0..<200 where session.pointee.viewer?.pointee.tracks[0].packets != UInt64(whole) {
            usleep(1000)
            loop.step()
        }
        viewer.run(seconds: 5) { $0.packets(LoopBed.viewerVideo).count >= whole }
        let heard = viewer.packets(LoopBed.viewerVideo)
        #expect(heard.count < Self.packets + 60 && heard.suffix(4).map(\.payload) == later.sentPayloads.suffix(4))
        #expect(heard.map { $0.header.sequence &- heard[0].header.sequence } == heard.indices.map { UInt16($0) })
        #expect(session.pointee.viewer?.pointee.tracks[0].packets == UInt64(heard.count))
        loop.stop()
        await loop.plane.shutdown()
    }

    @Test(
        "an old group goes on from the newest timestamp, each picture at a time of its own, and is live in the end",
        arguments: [(60, 30), (30, 60), (136, 30), (600, 1), (3, 30)] as [(UInt32, UInt32)])
    func rerun(seconds: UInt32, rate: UInt32) {
        // The clock wraps in the group, and does so for the viewer.
        let (first, step) = (UInt32.max - 100_000, 90_000 / rate)
        let last = first &+ seconds * 90_000
        var shift = LayerShift(timestamp: 12_345)
        let seen = shift.moved(last)
        shift.rerun = Rerun(from: first, ageNs: UInt64(seconds) * 1_000_000_000, clockRate: 90_000)
        let shown = (0...seconds * rate).map { shift.moved(first &+ $0 * step) &- seen }
        let steps = zip(shown.dropFirst(), shown).map { $0 - $1 }
        #expect(shown.first == 1 && steps.allSatisfy { $0 > 0 && $0 <= step / UInt32(Rerun.speed) + 1 })
        let (live, beyond) = (shift.rerun.last, shift.rerun.last &+ step)
        #expect(shift.moved(live) == live &+ 12_345)
        #expect(shift.moved(beyond) == beyond &+ 12_345)
        #expect(live &- last == min(seconds * 90_000 / 5, 450_000) + 1)
    }

    @Test("an old group goes out at the pace of the clock")
    func due() {
        var track = OutgoingTrack(LoopBed.outgoing[0], initialSequence: 1, timestampOffset: 0)
        var shift = LayerShift(take: 1)
        shift.rerun = Rerun(from: 90_000, ageNs: 10_000_000_000, clockRate: 90_000)
        let hasBegun = track.begin(at: 5, shift: shift)
        #expect(hasBegun)
        track.rerunSinceNs = 7_000_000_000
        // Ten seconds in two; an eleventh and a twelfth come meanwhile.
        let moments: [(seconds: UInt32, afterMs: UInt64)] = [(0, 0), (1, 167), (5, 834), (10, 1667), (12, 2000)]
        for (seconds, afterMs) in moments {
            var slot = PacketSlot()
            slot.timestamp = 90_000 + seconds * 90_000
            let isDue = [0, 1].map { back in
                afterMs >= back && track.isDue(&slot, now: track.rerunSinceNs + (afterMs - back) * 1_000_000)
            }
            #expect(isDue == [true, false], "\(seconds)")
        }
        var live = PacketSlot()
        live.timestamp = 90_000 + 13 * 90_000
        #expect(track.isDue(&live, now: track.rerunSinceNs))
    }

    @Test("a group is shown again to who has lost something and pleads in vain, ever more rarely; who only pleads is not")
    func pleas() {
        var (pleas, clock, still) = (KeyframePleas(), KeyframePleas(), KeyframePleas())
        var shown: [[UInt64]] = [[], [], []]
        // Each third second from the twelfth on; keyframes came in the fifth and the 300th. Reports come each second, of one viewer none
        // from the 30th second to the 36th.
        for second: UInt64 in 9...600 {
            let (now, keyframeNs) = (second * 1_000_000_000, (second < 300 ? 5 : 300) * 1_000_000_000 as UInt64)
            pleas.noteReport(isLossy: true, now: now)
            clock.noteReport(isLossy: false, now: now)
            if second < 30 || second >= 36 { still.noteReport(isLossy: false, now: now) }
            guard second % 3 == 0, second >= 12 else { continue }
            let isShown = [
                pleas.areInVain(now: now, keyframeNs: keyframeNs), clock.areInVain(now: now, keyframeNs: keyframeNs),
                still.areInVain(now: now, keyframeNs: keyframeNs),
            ]
            for viewer in 0..<3 where isShown[viewer] { shown[viewer].append(second) }
        }
        #expect(shown[0] == [15, 21, 30, 48, 81, 147, 213, 279, 345, 411, 477, 543] && shown[1] == [] && shown[2] == [36])
    }

    @Test("a group goes out half as fast when something of it is missed, and faster again by and by")
    func pace() {
        var pace = CatchUpPace()
        let begun = [pace.take(), pace.take()]
        let slowed = [50, 60, 151, 300, 500, 700].map { (milliseconds: UInt64) in
            pace.slow(now: milliseconds * 1_000_000)
            return pace.packets
        }
        let after = (0..<8).map { _ in pace.take() }
        for _ in 0..<240 { _ = pace.take() }
        #expect(
            begun == [64, 64] && slowed == [32, 32, 16, 8, 4, 4] && after == [4, 4, 5, 5, 5, 5, 6, 6] && pace.packets == 64)
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
