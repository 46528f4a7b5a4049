import CLinux
import TestThreads
import Testing

@testable import MediaPlane

@Suite("Layers within a source on their way through loops (RFC 9628)", .offThePool, .serialized)
struct CellLoopTests {
    /// A publisher whose encoder answers each request with a keyframe, and one viewer.
    private final class Scene {
        let bed: LoopBed
        let publisher: TestPeer
        let viewer: TestPeer
        let handle: SessionHandle
        private var encoder = ScalableEncoder(.l3t3Key, .vp9)
        private var asked = 0

        init(viewerLoop: Int, isNode: Bool = false) async throws {
            bed = try LoopBed(loops: 2)
            (publisher, _) = try await bed.publisher(
                loop: 0,
                tracks: [
                    IncomingTrackSpec(
                        kind: .video, codec: .vp9, clockRate: 90000, payloadType: 96,
                        feedback: FeedbackFlags(nack: true, pli: true))
                ])
            viewer = try TestPeer()
            handle = try await bed.plane.addViewer(
                ViewerSpec(
                    stream: LoopBed.stream, session: "v", transport: viewer.spec,
                    tracks: [
                        OutgoingTrackSpec(
                            kind: .video, codec: .vp9, payloadType: 102, ssrc: LoopBed.viewerVideo, clockRate: 90000, cname: "c")
                    ], loop: viewerLoop, isNode: isNode))
            try viewer.connect(to: bed.plane, handle)
        }

        /// Layers of the packets that came last.
        func layers(_ count: Int) -> [VP9Layer] {
            viewer.media.suffix(count).compactMap { ViewedPacket($0).flatMap { VP9Layer($0.payload.span) } }
        }

        /// Sends pictures until something is so.
        func until(_ isSo: () async -> Bool) async -> Bool {
            let deadline = tributary_monotonic_ns() + 60_000_000_000
            while tributary_monotonic_ns() < deadline {
                publisher.run(seconds: 0.02) { _ in false }
                let requests = publisher.feedbackCount(.pictureLoss)
                for packet in encoder.encode(isKey: requests > asked) {
                    publisher.sendMedia(
                        payloadType: 96, sequence: UInt16(truncatingIfNeeded: packet.incoming.sequence),
                        timestamp: packet.incoming.timestamp, ssrc: 0x500, marker: packet.incoming.flags.contains(.marker),
                        payload: packet.payload)
                }
                asked = requests
                viewer.step()
                if await isSo() { return true }
            }
            return false
        }

        /// The last pictures are all of these layers.
        func gets(_ spatial: UInt8, upTo temporal: UInt8) -> Bool {
            let last = layers(12)
            return last.count == 12 && last.allSatisfy { $0.spatial == spatial && $0.temporal <= temporal }
                && last.contains { $0.temporal == temporal }
        }
    }

    @Test("a chosen layer comes, with numbers that go on; what was sent of another is sent again as it was", arguments: [0, 1])
    func pins(viewerLoop: Int) async throws {
        let scene = try await Scene(viewerLoop: viewerLoop)
        let plane = scene.bed.plane
        #expect(await scene.until { await plane.layers(of: scene.handle)?.layers.count == 9 })
        for (name, spatial, temporal) in [("S0T0", 0, 0), ("S2T2", 2, 2), ("S1T1", 1, 1)] as [(String, UInt8, UInt8)] {
            try await plane.choose(.pinned(rid: name), for: scene.handle)
            #expect(await scene.until { scene.gets(spatial, upTo: temporal) }, "\(name)")
            #expect(await plane.layers(of: scene.handle)?.current == name)
        }
        let packets = scene.viewer.packets(LoopBed.viewerVideo)
        let first = try #require(packets.first).header.sequence
        #expect(packets.map(\.header.sequence) == packets.indices.map { first &+ UInt16($0) })
        let wanted = try #require(packets.last { VP9Layer($0.payload.span).map { $0.spatial == 2 && $0.endsFrame } ?? false })
        let number = wanted.header.sequence
        let sent = try #require(scene.viewer.encrypted.first { $0[2] == UInt8(number >> 8) && $0[3] == UInt8(number & 0xFF) })
        scene.viewer.askAgain([number], of: LoopBed.viewerVideo)
        let count = scene.viewer.encrypted.count
        #expect(scene.viewer.run { $0.encrypted.dropFirst(count).contains(sent) })
        await plane.shutdown()
    }

    @Test("another node gets everything")
    func whole() async throws {
        let scene = try await Scene(viewerLoop: 1, isNode: true)
        #expect(await scene.until { scene.viewer.media.count > 200 })
        let seen = Set(scene.layers(200).map { $0.spatial * 3 + $0.temporal })
        #expect(seen.count == 9)
        #expect(await scene.bed.plane.layers(of: scene.handle)?.current == nil)
        await scene.bed.plane.shutdown()
    }
}
