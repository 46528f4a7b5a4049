import CLinux
import TestThreads
import Testing

@testable import MediaPlane

@Suite("A second copy of what was asked for, where the path loses much (RFC 4588)", .offThePool, .serialized)
struct ResendEchoesTests {
    @Test("copies come in order, each a moment after the packet it copies")
    func order() {
        var echoes = ResendEchoes()
        echoes.add(7, now: 1_000_000)
        echoes.add(3, now: 2_000_000)
        let taken = [5_999_999, 6_000_000, 6_000_000, 7_000_000, 7_000_000].map { echoes.take(now: $0) }
        #expect(taken == [nil, 7, nil, 3, nil])
        #expect(echoes.count == 0)
    }

    @Test("of more than a keyframe's losses the newest have copies")
    func bound() {
        var echoes = ResendEchoes()
        for sequence in 0..<1_000 as Range<UInt64> { echoes.add(sequence, now: 1) }
        var taken: [UInt64] = []
        while let sequence = echoes.take(now: 1_000_000_000) { taken.append(sequence) }
        #expect(taken == Array(968..<1_000))
    }

    @Test(
        "a viewer with a repair stream that loses a tenth gets what it asks for twice, any other and one that loses little or half once",
        arguments: [0, 7, 26, 51, 128] as [Int32], [true, false])
    func copies(lost: Int32, hasRepair: Bool) async throws {
        let loop = try SteppedLoop(segmentation: true)
        let (publisher, viewer) = (try TestPeer(), try TestPeer())
        try await loop.add(
            publisher,
            .publisher(
                PublisherSpec(stream: LoopBed.stream, session: "p", transport: publisher.spec, tracks: LoopBed.incoming())),
            isPublisher: true, others: [])
        try await loop.add(
            viewer,
            .viewer(
                ViewerSpec(
                    stream: LoopBed.stream, session: "v", transport: viewer.spec, tracks: LoopBed.outgoing(hasRepair: hasRepair))),
            isPublisher: false, others: [])
        var encoder = Encoder()
        var aheadNs: UInt64 = 0
        func pass(ms: UInt64) {
            aheadNs += ms * 1_000_000
            for _ in 0..<3 { loop.core.iterate(tributary_monotonic_ns() + aheadNs) }
            viewer.step()
        }
        func report(highest: UInt32, lost: Int32) {
            viewer.sendReports {
                $0.receiverReport(sender: 1, blocks: 1) { _ in
                    ReportBlock(
                        ssrc: LoopBed.viewerVideo, fractionLost: 0, cumulativeLost: lost, highestSequence: highest, jitter: 0,
                        lastReport: 0, delaySinceLastReport: 0)
                }
            }
            pass(ms: 1_100)
        }
        encoder.frame(publisher, key: true)
        pass(ms: 10)
        report(highest: 1, lost: 0)
        report(highest: 257, lost: lost)
        let wanted = try #require(viewer.packets(LoopBed.viewerVideo).first).header.sequence
        viewer.askAgain([wanted], of: LoopBed.viewerVideo)
        pass(ms: 1)
        func arrived() -> Int {
            guard !hasRepair else { return viewer.packets(LoopBed.viewerRepair).count }
            return viewer.encrypted.count { $0.isOf(LoopBed.viewerVideo, wanted) } - 1
        }
        #expect(arrived() == 1, "the copy is no burst")
        for _ in 0..<3 {
            encoder.frame(publisher)
            pass(ms: 10)
        }
        #expect(arrived() == (hasRepair && [26, 51].contains(lost) ? 2 : 1))
        loop.stop()
    }
}

extension [UInt8] {
    /// Whether a packet, as encrypted, has this source and number.
    fileprivate func isOf(_ ssrc: UInt32, _ sequence: UInt16) -> Bool {
        withUnsafeBytes {
            $0.count >= 12 && UInt16(bigEndian: $0.loadUnaligned(fromByteOffset: 2, as: UInt16.self)) == sequence
                && UInt32(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt32.self)) == ssrc
        }
    }
}
