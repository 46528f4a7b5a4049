import CLinux
import TestThreads
import Testing

@testable import MediaPlane

@Suite("A viewer's path: numbers, layers, padding (draft-holmer-rmcat-transport-wide-cc-extensions-01)", .offThePool, .serialized)
struct ViewerPathTests {
    @Test("one counter runs over video, sound and retransmissions; what is asked for again is a new packet")
    func oneCounter() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        let (viewer, _) = try await bed.viewer(tracks: ReportingViewer.tracks(hasAudio: true))
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        for _ in 0..<10 {
            encoder.frame(publisher)
            encoder.audio(publisher)
        }
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 33 && $0.packets(LoopBed.viewerAudio).count == 10 })
        let video = viewer.packets(LoopBed.viewerVideo)
        viewer.askAgain([video[4].header.sequence, video[5].header.sequence], of: LoopBed.viewerVideo)
        #expect(viewer.run { $0.packets(LoopBed.viewerRepair).count == 2 })
        let numbers = viewer.media.compactMap { ReportingViewer.number(of: $0) }
        #expect(numbers.count == 45)
        let first = try #require(numbers.first)
        #expect(numbers == (0..<45).map { first &+ $0 })
        await bed.plane.shutdown()
    }

    @Test("sound without retransmissions of its own is not sent twice under one number")
    func neverTwice() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        let (viewer, handle) = try await bed.viewer(tracks: ReportingViewer.tracks(hasAudio: true))
        var encoder = Encoder()
        for _ in 0..<5 { encoder.audio(publisher) }
        #expect(viewer.run { $0.packets(LoopBed.viewerAudio).count == 5 })
        viewer.askAgain(viewer.packets(LoopBed.viewerAudio).map(\.header.sequence), of: LoopBed.viewerAudio)
        encoder.audio(publisher)
        #expect(viewer.run { $0.packets(LoopBed.viewerAudio).count >= 6 })
        var nacks: UInt64 = 0
        #expect(
            viewer.run { _ in
                encoder.audio(publisher)
                return viewer.packets(LoopBed.viewerAudio).count > 12
            })
        nacks = try #require(await bed.plane.snapshot(of: handle)).nacks
        #expect(nacks == 5)
        #expect(
            Set(viewer.packets(LoopBed.viewerAudio).map(\.header.sequence)).count == viewer.packets(LoopBed.viewerAudio).count)
        await bed.plane.shutdown()
    }

    private static let pictureSeconds = 0.031

    /// Sends pictures and reports for a while, or until something.
    private func run(
        _ encoder: inout LayeredEncoder, _ publisher: TestPeer, _ viewer: ReportingViewer, seconds: Double,
        until done: (ReportingViewer) -> Bool = { _ in false }
    ) -> Bool {
        let began = tributary_monotonic_ns()
        var asked = publisher.feedbackCount(.pictureLoss)
        // A layer's bit rate is that of its pictures: on a busy machine, too, so many of them come in a second.
        for picture in 1...Int(seconds / Self.pictureSeconds) {
            repeat {
                publisher.run(seconds: 0.005) { _ in false }
                viewer.step()
            } while Double(tributary_monotonic_ns() - began) / 1e9 < Double(picture) * Self.pictureSeconds
            let now = publisher.feedbackCount(.pictureLoss)
            encoder.picture(publisher, keyOf: now > asked ? ["q", "h", "f"] : [])
            asked = now
            if done(viewer) { return true }
        }
        return false
    }

    @Test("a full path brings a lower layer, a free one is found by padding and brings the better one back")
    func follows() async throws {
        let bed = try LoopBed()
        var encoder = LayeredEncoder()
        let (publisher, _) = try await bed.layeredPublisher(encoder)
        let (peer, handle) = try await bed.viewer(tracks: ReportingViewer.tracks())
        // Layers of about 150, 290 and 570 kb/s.
        let viewer = ReportingViewer(peer, link: SimulatedLink(rate: 5_000_000))
        func last(_ viewer: ReportingViewer) -> String { viewer.peer.packets(LoopBed.viewerVideo).last?.rid(.h264) ?? "" }
        encoder.picture(publisher, keyOf: ["q", "h", "f"])
        #expect(run(&encoder, publisher, viewer, seconds: 20) { last($0) == "f" })
        _ = run(&encoder, publisher, viewer, seconds: 3)
        viewer.link.rate = 250_000
        #expect(run(&encoder, publisher, viewer, seconds: 20) { last($0) == "q" })
        let low = try #require(await bed.plane.snapshot(of: handle))
        #expect(low.layer == "q")
        #expect(try #require(low.availableBitrate) < 500_000)
        viewer.link.rate = 5_000_000
        #expect(run(&encoder, publisher, viewer, seconds: 30) { last($0) == "f" })
        let padding = peer.packets(LoopBed.viewerRepair)
        #expect(!padding.isEmpty && padding.allSatisfy { $0.payload.isEmpty && $0.header.paddingCount == 255 })
        let video = peer.packets(LoopBed.viewerVideo)
        #expect(Set(video.map(\.header.sequence)).count == video.count)
        await bed.plane.shutdown()
    }

    @Test("a keyframe that the path has no room for at once comes in parts; what comes after it stays in order")
    func paces() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        let (peer, _) = try await bed.viewer(tracks: ReportingViewer.tracks())
        let viewer = ReportingViewer(peer, link: SimulatedLink(rate: 20_000_000))
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        #expect(
            peer.run { _ in
                viewer.step()
                encoder.frame(publisher)
                return viewer.numbers.count > 60
            })
        let before = peer.packets(LoopBed.viewerVideo).count
        let started = tributary_monotonic_ns()
        encoder.frame(publisher, key: true, packets: 200, size: 1100)
        encoder.frame(publisher)
        #expect(
            peer.run { _ in
                viewer.step()
                return peer.packets(LoopBed.viewerVideo).count >= before + 203
            })
        // 220 KB in one go would take no time at all.
        #expect(tributary_monotonic_ns() - started > 20_000_000)
        let video = peer.packets(LoopBed.viewerVideo)
        let first = try #require(video.first).header.sequence
        #expect(video.map(\.header.sequence) == (0..<video.count).map { first &+ UInt16($0) })
        await bed.plane.shutdown()
    }
}

@Suite("The breaker at work: a viewer that loses most of its video (RFC 8083)", .offThePool, .serialized)
struct BreakerTests {
    @Test("video stops after seconds of heavy loss while sound goes on, and begins again at a keyframe")
    func stops() async throws {
        let loop = try SteppedLoop(segmentation: true)
        let publisher = try TestPeer()
        let viewer = try TestPeer()
        try await loop.add(
            publisher,
            .publisher(
                PublisherSpec(
                    stream: LoopBed.stream, session: "p", transport: publisher.spec, tracks: LoopBed.incoming())),
            isPublisher: true, others: [])
        try await loop.add(
            viewer,
            .viewer(ViewerSpec(stream: LoopBed.stream, session: "v", transport: viewer.spec, tracks: LoopBed.outgoing)),
            isPublisher: false, others: [])
        var encoder = Encoder()
        var aheadNs: UInt64 = 0
        var (sent, lost): (UInt32, Int32) = (0, 0)
        func report(fractionLost: UInt8) {
            viewer.sendReports { [sent, lost] in
                $0.receiverReport(sender: 1, blocks: 1) { _ in
                    ReportBlock(
                        ssrc: LoopBed.viewerVideo, fractionLost: fractionLost, cumulativeLost: lost, highestSequence: sent,
                        jitter: 0,
                        lastReport: 0, delaySinceLastReport: 0)
                }
            }
        }
        /// A second of the loop's time in which pictures, sound and reports come; the last of them right behind the one before, as those
        /// that go with a NACK do, so that it tells of no loss.
        func second(fractionLost: UInt8, key: Bool = false) {
            aheadNs += 1_000_000_000
            sent += 256
            lost += Int32(fractionLost)
            report(fractionLost: fractionLost)
            loop.core.iterate(tributary_monotonic_ns() + aheadNs)
            report(fractionLost: 0)
            for _ in 0..<2 {
                loop.core.iterate(tributary_monotonic_ns() + aheadNs)
                encoder.frame(publisher, key: key)
                encoder.audio(publisher)
                for _ in 0..<3 { loop.core.iterate(tributary_monotonic_ns() + aheadNs) }
                publisher.step()
                viewer.step()
            }
        }
        func video() -> Int { viewer.packets(LoopBed.viewerVideo).count }
        func audio() -> Int { viewer.packets(LoopBed.viewerAudio).count }
        second(fractionLost: 0, key: true)
        for _ in 0..<4 { second(fractionLost: 128) }
        let before = (video: video(), audio: audio())
        #expect(before.video > 15)
        for _ in 0..<2 { second(fractionLost: 128) }
        let stopped = video()
        second(fractionLost: 128)
        #expect(video() == stopped)
        #expect(audio() >= before.audio + 6)
        #expect(loop.core.counters.pointee.drops.contains { $0.reason == "viewerStopped" })
        for _ in 0..<3 { second(fractionLost: 0, key: true) }
        #expect(video() > stopped)
        loop.stop()
    }
}
