import TestThreads
import Testing

@testable import MediaPlane

@Suite("A client whose NAT gives it another port, which sends no check from there", .offThePool, .serialized)
struct ChangedPortTests {
    @Test("a publisher's pictures go on with its next packet, a viewer's after its next report", arguments: [1, 2])
    func goesOn(loops: Int) async throws {
        let bed = try LoopBed(loops: loops)
        let (publisher, _) = try await bed.publisher()
        let (neighbour, _) = try await bed.viewer()
        let (viewer, _) = try await bed.viewer()
        var encoder = Encoder()
        encoder.frame(publisher, key: true, packets: 8)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 8 })
        // The viewer's next report could as well be the neighbour's, by its number, so it is tried on both.
        Self.report(neighbour, times: 1)
        Self.report(viewer, times: 5)

        publisher.sendsChecks = false
        try publisher.changePort()
        encoder.frame(publisher, key: false, packets: 4)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 12 })

        viewer.sendsChecks = false
        try viewer.changePort()
        viewer.forgetMedia()
        let isFollowed = viewer.run {
            Self.report($0, times: 1)
            publisher.step()
            encoder.frame(publisher, key: false, packets: 1)
            return $0.packets(LoopBed.viewerVideo).count > 4
        }
        #expect(isFollowed)
        #expect(neighbour.run { $0.packets(LoopBed.viewerVideo).count > 12 })
        await bed.plane.shutdown()
    }

    @Test(
        "a check from another's address takes nothing from who is heard from there; once that one has gone it is the newcomer's")
    func usedAddress() async throws {
        let bed = try LoopBed()
        let (publisher, publishing) = try await bed.publisher()
        let (viewer, _) = try await bed.viewer()
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 3 })
        let newcomer = try TestPeer()
        let watching = try await bed.plane.addViewer(
            ViewerSpec(stream: LoopBed.stream, session: "n", transport: newcomer.spec, tracks: LoopBed.outgoing, loop: nil))
        try newcomer.begin(to: bed.plane, watching)
        newcomer.swapSockets(with: publisher)
        #expect(newcomer.run { $0.state == .handshaking }, "its check is answered")
        newcomer.swapSockets(with: publisher)
        encoder.frame(publisher)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 6 })

        await bed.plane.remove(publishing)
        newcomer.swapSockets(with: publisher)
        #expect(newcomer.run { $0.isConnected })
        await bed.plane.shutdown()
    }

    private static func report(_ peer: TestPeer, times: Int) {
        for _ in 0..<times { peer.sendReports { $0.receiverReport(sender: 1, blocks: 0) { _ in unusedBlock } } }
    }
}
