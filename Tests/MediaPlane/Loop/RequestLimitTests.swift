import TestThreads
import Testing

@testable import MediaPlane

/// One lossy source on simulated time: packets that were asked for come again a round trip later.
private struct LossySource {
    let roundTripMs: Int
    var random = Mutator.Random(seed: 42)
    var lost = 0
    var asked = 0

    private static let header = RTPHeader(payloadType: 96)

    /// Of 200 packets a second every tenth is lost, of requests and their answers as well.
    mutating func run(_ track: inout IncomingTrack, seconds: Int) {
        var pending: [(atMs: Int, sequence: UInt16)] = []
        for ms in 0..<(seconds * 1000) {
            if ms % 5 == 0 { send(&track, UInt16(truncatingIfNeeded: ms / 5), ms, isRepair: false) }
            for answer in pending where answer.atMs == ms { send(&track, answer.sequence, ms, isRepair: true) }
            pending.removeAll { $0.atMs <= ms }
            guard ms % 10 == 0 else { continue }
            var buffer = [UInt16](repeating: 0, count: 64)
            let count = buffer.withUnsafeMutableBufferPointer {
                track.nacks.due(now: UInt64(ms) * 1_000_000, rttNs: track.repairNs, into: $0)
            }
            asked += count
            for sequence in buffer[0..<count] where Int.random(in: 0..<10, using: &random) > 0 {
                pending.append((ms + max(roundTripMs, 1), sequence))
            }
        }
    }

    private mutating func send(_ track: inout IncomingTrack, _ sequence: UInt16, _ ms: Int, isRepair: Bool) {
        guard Int.random(in: 0..<10, using: &random) > 0 else {
            lost += isRepair ? 0 : 1
            return
        }
        let payload: [UInt8] = [0x41, 1]
        var header = Self.header
        header.sequence = sequence
        _ = track.receive(
            sequence: sequence, header: header, payload: payload.span, extensions: ForwardedExtensions(),
            now: UInt64(ms) * 1_000_000, isRepair: isRepair)
    }
}

@Suite("Requests keep to the round trip, and to what may still come (RFC 4585 §6.2.1, RFC 5104 §4.3.1.2, RFC 3550 §6.6)")
struct RequestLimitTests {
    static func track(_ feedback: FeedbackFlags = FeedbackFlags(nack: true, pli: true)) -> IncomingTrack {
        IncomingTrack(
            TrackConstants(
                IncomingTrackSpec(
                    kind: .video, codec: .h264, clockRate: 90_000, payloadType: 96, rtxPayloadType: 97, feedback: feedback)))
    }

    @Test(
        "the round trip is learned, also when it takes several requests: at most 1.5 for each loss", arguments: [0, 50, 200, 400])
    func roundTrip(ms: Int) {
        var track = Self.track()
        var source = LossySource(roundTripMs: ms)
        source.run(&track, seconds: 60)
        let missing = track.nacks.abandoned
        #expect(missing == 0)
        #expect(source.lost > 1000 && Double(source.asked) < 1.5 * Double(source.lost), "\(source.asked) for \(source.lost)")
    }

    @Test("a round trip is soon what the quickest answers took, and not much more for a few slow ones")
    func samples() {
        var trip = RoundTrip()
        var seen: [UInt64] = []
        for sample in [400, 100, 100, 100, 100, 500, 100] as [UInt64] {
            trip.take(sample)
            seen.append(trip.ns)
        }
        #expect(seen == [400, 250, 175, 137, 118, 141, 120])
    }

    @Test("a command for a picture keeps its number while it may be under way, then is a new one")
    func commandNumbers() {
        var requester = KeyframeRequester()
        requester.want()
        var repeats: [Bool] = []
        for second in 1...6 where requester.take(now: UInt64(second) * 10_000_000_000) { repeats.append(requester.isRepeat) }
        #expect(repeats == [false, true, true, false, false, false])
        requester.keyframeArrived()
        requester.want()
        let isTaken = requester.take(now: 100_000_000_000)
        #expect(isTaken && !requester.isRepeat)
    }

    @Test(
        "a keyframe is an answer when it was asked for within a second before it came",
        arguments: [(1_000, true), (1_001, false), (nil, false)] as [(UInt64?, Bool)])
    func answers(afterMs: UInt64?, isAnswer: Bool) {
        var track = Self.track()
        let started: UInt64 = 50_000_000_000
        if afterMs != nil {
            track.keyframes.want()
            _ = track.keyframes.take(now: started)
        }
        var flags: [PacketFlags] = []
        for sequence in [1, 2] as [UInt16] {
            let verdict = track.receive(
                sequence: sequence, header: RTPHeader(payloadType: 96), payload: ([0x65, 1] as [UInt8]).span,
                extensions: ForwardedExtensions(), now: started + (afterMs ?? 0) * 1_000_000, isRepair: false)
            if case .deliver(let packet) = verdict { flags.append(packet.flags) }
        }
        let first: PacketFlags = isAnswer ? [.keyframeStart, .answer] : .keyframeStart
        #expect(flags == [first, []], "the picture's second packet is no other keyframe")
    }

    @Test("a viewer's command counts once, however often it is repeated; a number that never changes counts each second")
    func viewerCommands() {
        var track = OutgoingTrack(LoopBed.outgoing[0], initialSequence: 1, timestampOffset: 0)
        let taken = [(7, 10_000), (7, 10_200), (8, 10_300), (8, 10_900), (7, 10_950), (7, 11_960)].map {
            track.isNewCommand(UInt8($0.0), now: UInt64($0.1) * 1_000_000)
        }
        #expect(taken == [true, false, true, false, true, true])
    }

    @Test("what a source that said goodbye left missing isn't asked for")
    func goodbye() {
        var track = Self.track()
        for sequence in [1, 5] as [UInt16] {
            _ = track.receive(
                sequence: sequence, header: RTPHeader(payloadType: 96), payload: ([0x41] as [UInt8]).span,
                extensions: ForwardedExtensions(), now: 1, isRepair: false)
        }
        let before = track.nacks.count
        track.sourceLeft()
        let after = track.nacks.count
        #expect(before == 3 && after == 0)
    }

    @Test("a storm of NACKs is looked at for so many packets a second")
    func storm() throws {
        var side = ViewerSide(
            ViewerSpec(stream: LoopBed.stream, session: "v", transport: try TestPeer().spec, tracks: LoopBed.outgoing))
        var admitted = 0
        for step in 0..<2000 where side.admitsNack(17, now: 5_000_000_000 + UInt64(step) * 100_000) { admitted += 17 }
        #expect(admitted > 0 && admitted <= MediaLimits.nackedPerSecond)
        let isBack = side.admitsNack(17, now: 6_000_000_000)
        #expect(isBack)
    }
}

@Suite("What NACKs can't bring back is mended by a picture (RFC 4585 §6.3.1)", .offThePool, .serialized)
struct LossForGoodTests {
    @Test("a packet that never comes makes us ask for a keyframe, also when nobody watches")
    func abandoned() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        encoder.frame(publisher, packets: 8, skip: [1])
        #expect(publisher.run { $0.feedbackCount(.pictureLoss) > 0 })
        #expect(publisher.nackedSequences.count >= MediaLimits.nackTries)
        await bed.plane.shutdown()
    }

    @Test(
        "a stream without keyframes in sight reaches viewers after a while, from its parameter sets on: it may refresh pictures bit by bit",
        arguments: [false, true])
    func refresh(hasSets: Bool) async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        let (viewer, _) = try await bed.viewer()
        var encoder = Encoder()
        let sets: [UInt8] = [0x67, 0x42, 0xE0, 0x1F, 1, 2, 3]
        if hasSets {
            encoder.video(publisher, sets, marker: false)
            encoder.sequence &+= 1
        }
        for _ in 0..<200 where viewer.packets(LoopBed.viewerVideo).count < 6 {
            encoder.frame(publisher)
            publisher.step()
            viewer.run(seconds: 0.05) { _ in false }
        }
        let video = viewer.packets(LoopBed.viewerVideo)
        #expect(video.count >= 6)
        #expect((video.first?.payload == sets) == hasSets)
        #expect(zip(video, video.dropFirst()).allSatisfy { $1.header.sequence == $0.header.sequence &+ 1 })
        await bed.plane.shutdown()
    }
}
