import TestThreads
import Testing

@testable import MediaPlane

@Suite(
    "Viewers without transport-wide feedback (draft-alvestrand-rmcat-remb-03, draft-ietf-rmcat-gcc-02 §6)", .offThePool,
    .serialized)
struct ReportedRateTests {
    private static let second: UInt64 = 1_000_000_000

    @Test("nothing is known until something speaks against a rate; an estimate holds for ten seconds and never means silence")
    func estimates() {
        var rate = ReportedRate()
        #expect(rate.bitsPerSecond(now: Self.second) == nil)
        rate.note(estimate: 500_000, now: Self.second)
        #expect(rate.bitsPerSecond(now: 2 * Self.second) == 500_000)
        #expect(rate.bitsPerSecond(now: 11 * Self.second) == nil)
        rate.note(estimate: 0, now: 12 * Self.second)
        #expect(rate.bitsPerSecond(now: 12 * Self.second) == UInt64(RateControl.minimum))
        rate.note(estimate: .max, now: 13 * Self.second)
        #expect(rate.bitsPerSecond(now: 13 * Self.second) == UInt64(RateControl.maximum))
    }

    @Test("heavy loss lowers the rate below what is sent, little loss lets it grow until it is no limit any more")
    func losses() throws {
        var rate = ReportedRate()
        var now = Self.second
        var sent: UInt64 = 0
        /// A report each second about one megabit.
        func report(_ fractionLost: UInt8) -> UInt64? {
            now += Self.second
            sent += 125_000
            rate.note(fractionLost: fractionLost, sentBytes: sent, now: now)
            return rate.bitsPerSecond(now: now)
        }
        #expect(report(0) == nil)
        #expect(report(13) == nil)
        let first = try #require(report(128))
        #expect((700_000...800_000).contains(first))
        let second = try #require(report(128))
        #expect(second < first)
        #expect(report(13) == second)
        let grown = try #require(report(0))
        #expect(grown > second)
        #expect((0..<40).contains { _ in report(0) == nil })
    }

    @Test("packets tell when they were sent, and the viewer's own estimate counts")
    func remb() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        var ids = ExtensionIDs()
        ids.absSendTime = 2
        let tracks = [
            OutgoingTrackSpec(
                kind: .video, codec: .h264, payloadType: 102, ssrc: LoopBed.viewerVideo, rtxPayloadType: 112,
                rtxSSRC: LoopBed.viewerRepair, clockRate: 90000, cname: "c", extensions: ids,
                feedback: FeedbackFlags(nack: true, pli: true, remb: true))
        ]
        let (viewer, handle) = try await bed.viewer(tracks: tracks)
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 3 })
        viewer.askAgain([viewer.packets(LoopBed.viewerVideo)[1].header.sequence], of: LoopBed.viewerVideo)
        #expect(viewer.run { $0.packets(LoopBed.viewerRepair).count == 1 })
        let times = viewer.media.compactMap { packet -> UInt32? in
            guard let header = try? RTPHeader(parsing: packet.span) else { return nil }
            var reader = HeaderExtensionReader(header)
            guard let element = reader.next(in: packet.span), element.id == 2, element.count == 3 else { return nil }
            return packet[element.offset..<element.offset + 3].reduce(0) { $0 << 8 | UInt32($1) }
        }
        #expect(times.count == 4)
        for (before, after) in zip(times, times.dropFirst()) { #expect((after &- before) & 0xFF_FFFF < 0x80_0000) }
        viewer.sendReports { writer in
            writer.receiverReport(sender: 1, blocks: 0) { _ in unusedBlock }
            [LoopBed.viewerVideo].withUnsafeBufferPointer {
                _ = writer.estimatedBitrate(sender: 1, bitsPerSecond: 262_144, sources: $0)
            }
        }
        encoder.frame(publisher)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 6 })
        #expect(await bed.plane.snapshot(of: handle)?.availableBitrate == 262_144)
        await bed.plane.shutdown()
    }
}
