import CLinux
import TestThreads
import Testing

@testable import MediaPlane

@Suite(
    "A source that pauses, starts anew or has its clock set (RFC 3550 §6.4.1, §6.6, §8.2, RFC 7587 §3.1.3)", .offThePool,
    .serialized)
struct SourceRulesTests {
    private static func goodbyes(_ peer: TestPeer) -> Int {
        var count = 0
        peer.forEachReport { part, _ in count += part.type == RTCPPacket.goodbye ? 1 : 0 }
        return count
    }

    @Test("an encoder that starts anew under another SSRC: a keyframe is asked for, numbers go on, nobody is told goodbye")
    func otherSource() async throws {
        let bed = try LoopBed()
        // Without declared SSRCs the mid tells whose packets they are.
        let (publisher, _) = try await bed.publisher(tracks: LoopBed.incoming(videoSSRC: nil))
        let (viewer, _) = try await bed.viewer()
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 3 })
        let asked = publisher.feedbackCount(.pictureLoss)
        var other = Encoder(videoSSRC: 0x7777_0000, sequence: 60_000, timestamp: 4_000_000_000)
        other.frame(publisher)
        #expect(publisher.run { $0.feedbackCount(.pictureLoss) > asked }, "viewers need a keyframe of the new source")
        other.frame(publisher, key: true)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 6 })
        let video = viewer.packets(LoopBed.viewerVideo)
        #expect(video.map(\.header.sequence) == (0..<6).map { video[0].header.sequence &+ $0 })
        let jump = Int32(bitPattern: video[3].header.timestamp &- video[2].header.timestamp)
        #expect(jump > 0 && jump < 90_000 * 10)
        #expect(Self.goodbyes(viewer) == 0)
        await bed.plane.shutdown()
        #expect(viewer.run { Self.goodbyes($0) > 0 }, "at the end of the session they are")
    }

    @Test("an encoder that starts anew so often that its SSRCs can't be told apart any more has its session ended, and knows")
    func tooManySources() async throws {
        let bed = try LoopBed()
        let (publisher, handle) = try await bed.publisher(tracks: LoopBed.incoming(videoSSRC: nil))
        var encoder = Encoder()
        func start() {
            encoder.videoSSRC += 1
            encoder.frame(publisher, key: true, packets: 1)
        }
        for _ in 0..<Limits.ssrcsPerPeer { start() }
        let deadline = tributary_monotonic_ns() + 30_000_000_000
        func packets() async -> UInt64? { await bed.plane.snapshot(of: handle)?.packets }
        while await packets() != UInt64(Limits.ssrcsPerPeer), tributary_monotonic_ns() < deadline { publisher.step() }
        #expect(publisher.isConnected)
        start()
        #expect(publisher.run { $0.state == .closed(.peer) })
        #expect(await packets() == nil)
        await bed.plane.shutdown()
    }

    @Test("sound that was silent for seconds goes on with the next number and its own timestamp; nothing is missing")
    func silence() async throws {
        let bed = try LoopBed()
        let (publisher, handle) = try await bed.publisher()
        let (viewer, _) = try await bed.viewer()
        for (sequence, timestamp) in [(500, 48_000), (501, 48_960), (502, 48_960 + 5 * 48_000), (503, 49_920 + 5 * 48_000)] {
            publisher.sendMedia(
                payloadType: 111, sequence: UInt16(sequence), timestamp: UInt32(timestamp), ssrc: LoopBed.audioSSRC,
                marker: sequence == 502, extensions: [(4, [0x30])], payload: [1, 2, 3])
        }
        #expect(viewer.run { $0.packets(LoopBed.viewerAudio).count == 4 })
        let sound = viewer.packets(LoopBed.viewerAudio).map(\.header)
        #expect(sound.map(\.sequence) == (0..<4).map { sound[0].sequence &+ $0 })
        #expect(sound.map { $0.timestamp &- sound[0].timestamp } == [0, 960, 240_960, 241_920])
        #expect(sound.map(\.marker) == [false, false, true, false])
        let numbers = try #require(await bed.plane.snapshot(of: handle))
        #expect(numbers.lost == 0 && numbers.nacks == 0)
        await bed.plane.shutdown()
    }

    @Test("a publisher whose clock is set: lips stay in step, however often each track reports")
    func clockIsSet() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        let (viewer, _) = try await bed.viewer()
        var encoder = Encoder()
        let began = tributary_monotonic_ns()
        encoder.frame(publisher, key: true)
        encoder.audio(publisher)
        #expect(viewer.run { $0.senderReports.count >= 2 })
        /// Says what the publisher's clock, which stood at `seconds` when it began, shows now.
        func report(_ seconds: UInt64, video isVideo: Bool) {
            let elapsed = tributary_monotonic_ns() - began
            let ntp = NTP.fixed(ns: seconds * 1_000_000_000 + elapsed)
            let timestamp = isVideo ? 90_000 + elapsed * 90 / 1_000_000 : 480_000 + elapsed * 48 / 1_000_000
            publisher.sendReports {
                $0.senderReport(
                    SenderReport(
                        ssrc: isVideo ? LoopBed.videoSSRC : LoopBed.audioSSRC, ntp: ntp, timestamp: UInt32(timestamp), packets: 1,
                        octets: 1))
            }
        }
        report(100, video: true)
        report(100, video: false)
        viewer.run(seconds: 0.25) { _ in false }
        // Set by a quarter of an hour: not believed the first time.
        report(1000, video: true)
        report(1000, video: false)
        for _ in 0..<20 { report(1000, video: true) }
        viewer.forgetMedia()
        func last(_ ssrc: UInt32) -> SenderReport? { viewer.senderReports.last { $0.ssrc == ssrc } }
        #expect(viewer.run { _ in last(LoopBed.viewerVideo) != nil && last(LoopBed.viewerAudio) != nil })
        let (video, audio) = (try #require(last(LoopBed.viewerVideo)), try #require(last(LoopBed.viewerAudio)))
        // Both tell of what was captured at the same moment.
        let apart = Double(Int64(bitPattern: video.ntp &- audio.ntp)) / 4_294_967_296
        #expect(abs(apart) < 0.05, "\(apart) s")
        await bed.plane.shutdown()
    }
}
