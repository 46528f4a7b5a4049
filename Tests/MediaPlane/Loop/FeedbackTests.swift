import CLinux
import TestThreads
import Testing

@testable import MediaPlane

@Suite("Feedback to publishers (RFC 3550 §6.4, RFC 4585 §6.2–6.3, transport-wide CC)", .offThePool, .serialized)
struct PublisherFeedbackTests {
    @Test("a gap is asked for, and what comes late reaches viewers under its own number once")
    func repairsPublisherLoss() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        let (viewer, handle) = try await bed.viewer()
        var encoder = Encoder()
        encoder.frame(publisher, key: true, packets: 4)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 4 })
        let lost = encoder.sequence &+ 1
        encoder.frame(publisher, packets: 4, skip: [1])
        #expect(publisher.run { $0.nackedSequences.contains(lost) })
        // As RTX: the original number in front, on the repair SSRC and payload type.
        let original = encoder.sentPayloads[5]
        for _ in 0..<2 {
            publisher.sendMedia(
                payloadType: 97, sequence: 7, timestamp: encoder.timestamp &- 3000, ssrc: LoopBed.videoSSRC + 1,
                payload: [UInt8(lost >> 8), UInt8(lost & 0xFF)] + original)
        }
        encoder.frame(publisher)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 11 })
        let video = viewer.packets(LoopBed.viewerVideo)
        let first = try #require(video.first).header.sequence
        let repaired = try #require(video.first { $0.payload == original })
        #expect(repaired.header.sequence == first &+ 5)
        #expect(Set(video.map(\.header.sequence)).count == 11)
        let numbers = try #require(await bed.plane.snapshot(of: handle))
        #expect(numbers.packets == 11)
        await bed.plane.shutdown()
    }

    @Test("padding-only packets leave no gap; RTX probes and duplicates nothing at all")
    func closesPadding() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        let (viewer, _) = try await bed.viewer()
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        for _ in 0..<3 {
            publisher.sendMedia(
                payloadType: 96, sequence: encoder.sequence, timestamp: encoder.timestamp, ssrc: LoopBed.videoSSRC, padding: 200,
                payload: [])
            encoder.sequence &+= 1
            publisher.sendMedia(
                payloadType: 97, sequence: encoder.sequence, timestamp: 0, ssrc: LoopBed.videoSSRC + 1, padding: 100, payload: [])
            encoder.frame(publisher)
        }
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 12 })
        let video = viewer.packets(LoopBed.viewerVideo)
        let first = try #require(video.first).header.sequence
        #expect(video.map(\.header.sequence) == (0..<12).map { first &+ $0 })
        #expect(video.map(\.payload) == encoder.sentPayloads)
        await bed.plane.shutdown()
    }

    @Test(
        "a padding-only packet that comes late goes on as a filler, so no viewer waits for its number", arguments: [false, true])
    func fillsLatePadding(isRetransmitted: Bool) async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        let (viewer, _) = try await bed.viewer()
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        let late = encoder.sequence
        encoder.sequence &+= 1
        encoder.frame(publisher)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 6 })
        if isRetransmitted {
            publisher.sendMedia(
                payloadType: 97, sequence: 5, timestamp: 90_000, ssrc: LoopBed.videoSSRC + 1,
                payload: [UInt8(late >> 8), UInt8(late & 0xFF)])
        } else {
            publisher.sendMedia(
                payloadType: 96, sequence: late, timestamp: 90_000, ssrc: LoopBed.videoSSRC, padding: 100, payload: [])
        }
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 7 })
        let video = viewer.packets(LoopBed.viewerVideo)
        let filler = try #require(video.last)
        #expect(filler.header.sequence == video[0].header.sequence &+ 3)
        #expect(filler.payload.isEmpty && filler.header.paddingCount == 1)
        await bed.plane.shutdown()
    }

    @Test("receiver reports carry the sender report's time, and the numbers of the source")
    func reports() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        let report = SenderReport(
            ssrc: LoopBed.videoSSRC, ntp: 0x1234_5678_9ABC_DEF0, timestamp: 90_000, packets: 3, octets: 3000)
        publisher.sendReports { $0.senderReport(report) }
        encoder.frame(publisher, packets: 4, skip: [2])
        var blocks: [ReportBlock] = []
        #expect(
            publisher.run { peer in
                peer.forEachReport { part, bytes in
                    if let block = ReportBlock(0, of: part, in: bytes), block.ssrc == LoopBed.videoSSRC { blocks.append(block) }
                }
                return blocks.contains { $0.lastReport != 0 }
            })
        let block = try #require(blocks.last)
        #expect(block.lastReport == 0x5678_9ABC)
        #expect(block.delaySinceLastReport > 0)
        #expect(block.cumulativeLost == 1)
        #expect(block.highestSequence == UInt32(encoder.sequence &- 1))
        var names = 0
        publisher.forEachReport { part, _ in names += part.type == RTCPPacket.sourceDescription ? 1 : 0 }
        #expect(names == publisher.reports.count, "every compound carries a CNAME")
        await bed.plane.shutdown()
    }

    @Test("transport-wide feedback covers every packet with the extension; REMB only without it")
    func congestionFeedback() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        var encoder = Encoder()
        for _ in 0..<50 { encoder.frame(publisher, packets: 5) }
        var covered: Set<UInt16> = []
        #expect(
            publisher.run { peer in
                peer.forEachReport { part, bytes in
                    guard let feedback = FeedbackHeader(part, in: bytes), feedback.kind == .transportCC else { return }
                    let items = (0..<feedback.itemsCount).map { bytes[feedback.itemsOffset + $0] }
                    for arrival in TransportFeedbackDecoder(items)?.arrivals ?? [] { covered.insert(arrival.sequence) }
                }
                return covered.count == 250
            }, "\(covered.count)")
        #expect(covered == Set(0..<250))
        #expect(publisher.feedbackCount(.estimatedBitrate) == 0)
        await bed.plane.shutdown()

    }

    @Test(
        "publishers that know REMB only are told the configured rate, never none",
        arguments: [(2_500_000, 2_500_000), (20_000_000, 20_000_000), (0, 100_000)] as [(UInt64, UInt64)])
    func estimate(configured: UInt64, told: UInt64) async throws {
        let bed = try LoopBed(bitrateMax: configured)
        let (publisher, _) = try await bed.publisher(tracks: LoopBed.incoming(twcc: false))
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        #expect(publisher.run { $0.feedbackCount(.estimatedBitrate) > 0 })
        publisher.forEachReport { part, bytes in
            guard let feedback = FeedbackHeader(part, in: bytes), let bitrate = feedback.estimatedBitrate(in: bytes) else {
                return
            }
            let (count, source) = (bytes[feedback.itemsOffset + 4], bytes.bigEndian32(at: feedback.itemsOffset + 8))
            #expect(bitrate == told && count == 1 && source == LoopBed.videoSSRC)
        }
        #expect(publisher.feedbackCount(.transportCC) == 0)
        await bed.plane.shutdown()
    }

    @Test("a publisher that knows full intra requests only gets these, with another number for each new wish (RFC 5104 §4.3.1.2)")
    func fullIntra() async throws {
        let bed = try LoopBed()
        var tracks = LoopBed.incoming()
        tracks[1].feedback = FeedbackFlags(nack: true, pli: false, fir: true)
        let (publisher, _) = try await bed.publisher(tracks: tracks)
        let (viewer, _) = try await bed.viewer()
        func commands() -> [(media: UInt32, ssrc: UInt32, number: UInt8)] {
            var found: [(media: UInt32, ssrc: UInt32, number: UInt8)] = []
            publisher.forEachReport { part, bytes in
                guard let feedback = FeedbackHeader(part, in: bytes) else { return }
                if let item = feedback.fullIntraItem(0, in: bytes) { found.append((feedback.media, item.ssrc, item.number)) }
            }
            return found
        }
        #expect(publisher.run { _ in !commands().isEmpty })
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 3 })
        let first = Set(commands().map(\.number))
        viewer.sendReports { writer in
            writer.receiverReport(sender: 1, blocks: 0) { _ in unusedBlock }
            writer.pictureLoss(sender: 1, media: LoopBed.viewerVideo)
        }
        #expect(publisher.run { _ in commands().contains { !first.contains($0.number) } })
        #expect(first.count == 1 && commands().allSatisfy { $0.media == 0 && $0.ssrc == LoopBed.videoSSRC })
        #expect(publisher.feedbackCount(.pictureLoss) == 0)
        await bed.plane.shutdown()
    }

    @Test("twenty joiners share their keyframe requests, and a keyframe serves them all")
    func joinsRequests() async throws {
        let bed = try LoopBed()
        let (publisher, handle) = try await bed.publisher()
        let started = tributary_monotonic_ns()
        var viewers: [TestPeer] = []
        for _ in 0..<20 { viewers.append(try await bed.viewer().0) }
        #expect(publisher.run { $0.feedbackCount(.pictureLoss) > 0 })
        var encoder = Encoder()
        encoder.frame(publisher, key: true, packets: 6)
        encoder.frame(publisher)
        for viewer in viewers {
            #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 9 })
            #expect(viewer.encrypted.count == 9, "nothing is sent twice")
        }
        let numbers = try #require(await bed.plane.snapshot(of: handle))
        // One at once and one each half second of the joining, however many join.
        #expect(numbers.keyframeRequests <= 2 + (tributary_monotonic_ns() - started) / KeyframeRequester.intervalNs)
        #expect(Set(viewers.compactMap { $0.packets(LoopBed.viewerVideo).first?.payload }).count == 1)
        await bed.plane.shutdown()
    }
}

@Suite("Viewers: repair, reports, joining and switching (RFC 4585, RFC 3550 §6.4.1)", .offThePool, .serialized)
struct ViewerTests {
    @Test("a NACK is answered with the same bytes, once in a round trip")
    func resendsIdenticalBytes() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        let (viewer, handle) = try await bed.viewer()
        var encoder = Encoder()
        encoder.frame(publisher, key: true, packets: 6)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 6 })
        let wanted = viewer.packets(LoopBed.viewerVideo)[3].header.sequence
        let before = viewer.encrypted.filter { $0[2] == UInt8(wanted >> 8) && $0[3] == UInt8(wanted & 0xFF) }
        #expect(before.count == 1)
        for _ in 0..<3 { viewer.askAgain([wanted, wanted &+ 1000], of: LoopBed.viewerVideo) }
        #expect(viewer.run { $0.encrypted.count == 7 })
        #expect(try #require(viewer.encrypted.last) == before[0])
        viewer.run(seconds: 0.03) { _ in false }
        #expect(viewer.encrypted.count == 7, "repeats within a round trip are not answered")
        let numbers = try #require(await bed.plane.snapshot(of: handle))
        #expect(numbers.resent == 1 && numbers.nacks == 6)
        await bed.plane.shutdown()
    }

    @Test("sender reports map both tracks to the publisher's common clock")
    func senderReports() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        var encoder = Encoder()
        // Video 90000 at 100 s; audio 480000 (sequence 500) at 100.25 s of the publisher's clock. No keyframe, which the viewer might begin at.
        encoder.frame(publisher)
        encoder.audio(publisher)
        publisher.sendReports {
            $0.senderReport(SenderReport(ssrc: LoopBed.videoSSRC, ntp: 100 << 32, timestamp: 90_000, packets: 1, octets: 1))
        }
        publisher.sendReports {
            $0.senderReport(
                SenderReport(ssrc: LoopBed.audioSSRC, ntp: 100 << 32 | 1 << 30, timestamp: 480_000, packets: 1, octets: 1))
        }
        #expect(
            publisher.run { peer in
                var reported: Set<UInt32> = []
                peer.forEachReport { part, bytes in
                    for index in 0..<2 {
                        guard let block = ReportBlock(index, of: part, in: bytes), block.lastReport != 0 else { continue }
                        reported.insert(block.ssrc)
                    }
                }
                return reported.count == 2
            }, "both reports must be known before a viewer is told anything")
        let (viewer, _) = try await bed.viewer()
        let sentBefore = (encoder.timestamp, encoder.audioSequence)
        encoder.frame(publisher, key: true)
        encoder.audio(publisher)
        func report(_ ssrc: UInt32) -> SenderReport? { viewer.senderReports.last { $0.ssrc == ssrc } }
        #expect(viewer.run { _ in report(LoopBed.viewerVideo) != nil && report(LoopBed.viewerAudio) != nil })
        let video = try #require(report(LoopBed.viewerVideo))
        let audio = try #require(report(LoopBed.viewerAudio))
        let firstVideo = try #require(viewer.packets(LoopBed.viewerVideo).first).header.timestamp
        let firstAudio = try #require(viewer.packets(LoopBed.viewerAudio).first).header.timestamp
        func seconds(_ report: SenderReport, from timestamp: UInt32, rate: Double) -> Double {
            Double(report.ntp) / 4_294_967_296 - Double(Int32(bitPattern: report.timestamp &- timestamp)) / rate
        }
        let gap = seconds(audio, from: firstAudio, rate: 48000) - seconds(video, from: firstVideo, rate: 90000)
        let videoElapsed = Double(sentBefore.0 - 90_000) / 90_000
        let audioElapsed = Double(sentBefore.1 - 500) * 960 / 48_000
        #expect(abs(gap - (0.25 + audioElapsed - videoElapsed)) < 0.002, "\(gap)")
        #expect(video.packets == 3 && video.octets == 3000)
        await bed.plane.shutdown()
    }

    @Test("both tracks are reported within half a second of a viewer's first packet, so that lips are soon in step")
    func firstReports() async throws {
        let loop = try SteppedLoop(segmentation: true)
        let (publisher, viewer) = (try TestPeer(), try TestPeer())
        let publishing = PublisherSpec(
            stream: LoopBed.stream, session: "p", transport: publisher.spec, tracks: LoopBed.incoming())
        try await loop.add(publisher, .publisher(publishing), isPublisher: true, others: [])
        let watching = ViewerSpec(stream: LoopBed.stream, session: "v", transport: viewer.spec, tracks: LoopBed.outgoing)
        try await loop.add(viewer, .viewer(watching), isPublisher: false, others: [])
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        encoder.audio(publisher)
        let began = tributary_monotonic_ns()
        for ms in stride(from: 0 as UInt64, through: 500, by: 10) { loop.core.iterate(began + ms * 1_000_000) }
        viewer.run { $0.senderReports.count >= 2 }
        #expect(Set(viewer.senderReports.map(\.ssrc)) == [LoopBed.viewerVideo, LoopBed.viewerAudio])
        loop.stop()
        await loop.plane.shutdown()
    }

    @Test("a second publisher goes on where the first one stopped", arguments: [(0, 0), (0, 1), (1, 0)])
    func switchesSource(loops: (Int, Int)) async throws {
        let bed = try LoopBed(loops: 2)
        let (first, handle) = try await bed.publisher(loop: loops.0)
        let (viewer, _) = try await bed.viewer(loop: 0)
        var encoder = Encoder()
        encoder.frame(first, key: true)
        encoder.audio(first)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 3 && $0.packets(LoopBed.viewerAudio).count == 1 })
        await bed.plane.remove(handle)
        #expect(first.run { $0.state == .closed(.peer) })
        let (second, _) = try await bed.publisher(
            loop: loops.1, tracks: LoopBed.incoming(videoSSRC: 0x7777_0000))
        #expect(second.run { $0.feedbackCount(.pictureLoss) > 0 }, "viewers need a keyframe of the new source")
        var other = Encoder(videoSSRC: 0x7777_0000, sequence: 60000, timestamp: 4_000_000_000)
        other.audioSequence = 9
        other.frame(second, key: false)
        other.frame(second, key: true)
        other.audio(second)
        other.frame(second)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 9 && $0.packets(LoopBed.viewerAudio).count == 2 })
        let video = viewer.packets(LoopBed.viewerVideo)
        let base = video[0].header.sequence
        #expect(video.map(\.header.sequence) == (0..<9).map { base &+ $0 })
        let jump = Int32(bitPattern: video[3].header.timestamp &- video[2].header.timestamp)
        #expect(jump > 0 && jump < 90_000 * 10)
        #expect(video[3].payload == other.sentPayloads[3], "starts at the keyframe")
        let audio = viewer.packets(LoopBed.viewerAudio)
        #expect(audio[1].header.sequence == audio[0].header.sequence &+ 1)
        #expect(Int32(bitPattern: audio[1].header.timestamp &- audio[0].header.timestamp) > 0)
        await bed.plane.shutdown()
    }

    @Test(
        "a publisher that ignores requests: joiners get the cached group of pictures, contiguous with live, on any loop",
        arguments: [1, 2])
    func servesCachedGroup(loops: Int) async throws {
        let bed = try LoopBed(loops: loops)
        let (publisher, _) = try await bed.publisher(loop: 0)
        var encoder = Encoder()
        encoder.frame(publisher, key: true, packets: 50)
        for _ in 0..<40 { encoder.frame(publisher) }
        #expect(publisher.run { $0.feedbackCount(.transportCC) > 0 })
        publisher.run(seconds: 1.1) { _ in false }
        let (viewer, _) = try await bed.viewer(loop: loops - 1)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count >= 170 }, "waits for a keyframe, then is helped")
        encoder.frame(publisher)
        let expected = encoder.sentPayloads
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == expected.count })
        let video = viewer.packets(LoopBed.viewerVideo)
        #expect(video.map(\.payload) == expected)
        let base = video[0].header.sequence
        #expect(video.map(\.header.sequence) == (0..<expected.count).map { base &+ UInt16($0) })
        #expect(viewer.encrypted.count == expected.count, "nothing is sent twice")
        await bed.plane.shutdown()
    }

    @Test("leaving and removing end sessions; the stream's pipes follow")
    func leaves() async throws {
        let bed = try LoopBed(loops: 2)
        let (publisher, _) = try await bed.publisher(loop: 0)
        var encoder = Encoder()
        for _ in 0..<3 {
            let (viewer, handle) = try await bed.viewer(loop: 1)
            encoder.frame(publisher, key: true)
            #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count >= 3 })
            viewer.close()
            let deadline = tributary_monotonic_ns() + 30_000_000_000
            while await bed.plane.snapshot(of: handle) != nil, tributary_monotonic_ns() < deadline { publisher.step() }
            #expect(await bed.plane.snapshot(of: handle) == nil)
        }
        await bed.plane.shutdown()
    }
}

/// For report calls without blocks.
let unusedBlock = ReportBlock(
    ssrc: 0, fractionLost: 0, cumulativeLost: 0, highestSequence: 0, jitter: 0, lastReport: 0, delaySinceLastReport: 0)
