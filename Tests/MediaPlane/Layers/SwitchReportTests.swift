import CLinux
import TestThreads
import Testing

@testable import MediaPlane

@Suite("Lips stay in step when a viewer's source changes (RFC 3550 §6.4.1)", .offThePool, .serialized)
struct SwitchReportTests {
    private static let rids = ["q", "h", "f"]

    @Test("a report by the new layer's clock follows a switch closely, when the last one was just before it")
    func afterSwitch() async throws {
        let loop = try SteppedLoop(segmentation: true)
        var encoder = LayeredEncoder()
        let publisher = try TestPeer()
        let source = PublisherSpec(
            stream: LoopBed.stream, session: "p", transport: publisher.spec, tracks: encoder.tracks)
        try await loop.add(publisher, .publisher(source), isPublisher: true, others: [])
        let peer = try TestPeer()
        let spec = ViewerSpec(
            stream: LoopBed.stream, session: "v", transport: peer.spec, tracks: LayeredEncoder.outgoing(.h264))
        try await loop.add(peer, .viewer(spec), isPublisher: false, others: [publisher])
        let found = loop.core.sessions.values.first { $0.pointee.name == "v" }
        let session = try #require(found)
        let watching = session.pointee.viewer
        let viewer = try #require(watching)
        encoder.picture(publisher, keyOf: Set(Self.rids))
        encoder.report(publisher)
        for _ in 0..<20 { loop.step() }
        choose("f", session, loop)
        encoder.picture(publisher, keyOf: Set(Self.rids))
        for _ in 0..<20 { loop.step() }
        #expect(loop.core.currentLayer(session) == "f")
        for rid in ["h", "q"] {
            choose(rid, session, loop)
            viewer.pointee.nextReportNs = .max
            encoder.picture(publisher, keyOf: Set(Self.rids))
            for _ in 0..<20 where viewer.pointee.nextReportNs == .max { loop.step() }
            let (nextReportNs, now) = (viewer.pointee.nextReportNs, tributary_monotonic_ns())
            #expect(nextReportNs <= now + 100_000_000, "\(rid)")
            #expect(loop.core.currentLayer(session) == rid)
            peer.step()
            let shown = try #require(peer.packets(LoopBed.viewerVideo).last)
            #expect(shown.rid(.h264) == rid)
            let report = try #require(Self.reports(session, loop).first { $0.ssrc == LoopBed.viewerVideo })
            #expect(report.timestamp == shown.header.timestamp, "\(rid)")
            let layer = try #require(encoder.layers.first { $0.rid == rid })
            let sent = try #require(encoder.sent[rid]?.last)
            let fanout = session.pointee.fanout
            let clock = fanout.pointee.tracks[viewer.pointee.tracks.pointee.layer].clock
            let captured = NTP.fixed(ns: clock.wall(of: layer.timestampBase &+ sent.clock, clockRate: 90_000))
            #expect(report.ntp == captured, "\(rid)")
        }
        loop.stop()
        await loop.plane.shutdown()
    }

    /// What comes is known of without waiting for the loop to look.
    private func choose(_ rid: String, _ session: UnsafeMutablePointer<PeerSession>, _ loop: SteppedLoop) {
        let (fanout, now) = (session.pointee.fanout, tributary_monotonic_ns())
        fanout.pointee.layers.update(fanout.pointee.tracks, now: now)
        loop.core.chooseLayer(.pinned(ShortText(rid)), session, now)
    }

    @Test("nothing is reported of a stretch before a packet of it was sent, and then soon")
    func notBefore() async throws {
        let loop = try SteppedLoop(segmentation: true)
        let publisher = try TestPeer()
        let source = PublisherSpec(
            stream: LoopBed.stream, session: "p", transport: publisher.spec, tracks: LoopBed.incoming())
        try await loop.add(publisher, .publisher(source), isPublisher: true, others: [])
        let peer = try TestPeer()
        let spec = ViewerSpec(stream: LoopBed.stream, session: "v", transport: peer.spec, tracks: LoopBed.outgoing)
        try await loop.add(peer, .viewer(spec), isPublisher: false, others: [publisher])
        var encoder = Encoder()
        encoder.frame(publisher, key: true, packets: 4)
        for _ in 0..<20 { loop.step() }
        let found = loop.core.sessions.values.first { $0.pointee.name == "v" }
        let session = try #require(found)
        let watching = session.pointee.viewer
        let viewer = try #require(watching)
        let fanout = loop.core.fanout(for: LoopBed.stream)
        let video = (0..<fanout.pointee.trackCount).first { fanout.pointee.tracks[$0].kind == .video }
        let track = try #require(video)
        let outgoing = viewer.pointee.tracks + Int(viewer.pointee.trackOfFanout[track])
        #expect(Self.reports(session, loop).map(\.ssrc) == [LoopBed.viewerVideo])
        viewer.pointee.nextReportNs = .max
        let isBegun = loop.core.beginStretch(outgoing, at: fanout.pointee.tracks[track].ring.highest + 1, of: track, fanout)
        #expect(isBegun && Self.reports(session, loop).isEmpty)
        encoder.frame(publisher)
        for _ in 0..<20 { loop.step() }
        let nextReportNs = viewer.pointee.nextReportNs
        #expect(Self.reports(session, loop).map(\.ssrc) == [LoopBed.viewerVideo])
        #expect(nextReportNs != .max)
        loop.stop()
        await loop.plane.shutdown()
    }

    /// What a viewer would be reported now.
    private static func reports(_ session: UnsafeMutablePointer<PeerSession>, _ loop: SteppedLoop) -> [SenderReport] {
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: 1500, alignment: 16)
        defer { scratch.deallocate() }
        var writer = RTCPWriter(scratch)
        loop.core.writeReports(session, tributary_monotonic_ns(), to: &writer)
        let compound = Array(writer.bytes)
        let bytes = compound.span
        var reader = RTCPReader()
        var reports: [SenderReport] = []
        while let part = reader.next(in: bytes) {
            if let report = SenderReport(part, in: bytes) { reports.append(report) }
        }
        return reports
    }
}
