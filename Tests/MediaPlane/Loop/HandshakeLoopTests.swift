import CLinux
import TestThreads
import Testing

@testable import MediaPlane

@Suite("Joins and media share a loop, not its time: handshakes are the pool's", .offThePool, .serialized)
struct HandshakeLoopTests {
    @Test("media goes on while a handshake waits for the pool, and the joiner connects when the pool has done it")
    func mediaGoesOn() async throws {
        let loop = try SteppedLoop(segmentation: true)
        defer { loop.stop() }
        let publisher = try TestPeer()
        let spec = PublisherSpec(stream: LoopBed.stream, session: "p", transport: publisher.spec, tracks: LoopBed.incoming())
        try await loop.add(publisher, .publisher(spec), isPublisher: true, others: [])
        let viewer = try TestPeer()
        let watching = ViewerSpec(stream: LoopBed.stream, session: "v", transport: viewer.spec, tracks: LoopBed.outgoing)
        try await loop.add(viewer, .viewer(watching), isPublisher: false, others: [])
        let joiner = try TestPeer()
        let joining = ViewerSpec(stream: LoopBed.stream, session: "j", transport: joiner.spec, tracks: LoopBed.outgoing)
        try await loop.announce(joiner, .viewer(joining), isPublisher: false, handshakesElsewhere: true)

        var encoder = Encoder()
        var scratch = TransportOutput()
        var sent = 0
        var isPoolAwake = false
        try loop.connect(joiner) {
            guard loop.core.handshakes.underWay > 0 || isPoolAwake else { return }
            if sent < 20 {
                // The ClientHello is at the pool, which does nothing yet.
                encoder.frame(publisher, key: sent == 0, packets: 4, size: 800)
                sent += 1
                return
            }
            isPoolAwake = viewer.run(seconds: 20) { viewer in
                loop.step()
                return viewer.packets(LoopBed.viewerVideo).count >= 80
            }
            while loop.pool.runOne(&scratch) { loop.step() }
        }
        #expect(isPoolAwake && joiner.isConnected)
        #expect(loop.core.handshakes.isEmpty)
    }

    @Test("a session that ends while its handshake is away leaves nothing behind")
    func endsMeanwhile() async throws {
        let loop = try SteppedLoop(segmentation: true)
        defer { loop.stop() }
        let joiner = try TestPeer()
        let joining = ViewerSpec(stream: LoopBed.stream, session: "j", transport: joiner.spec, tracks: LoopBed.outgoing)
        try await loop.announce(joiner, .viewer(joining), isPublisher: false, handshakesElsewhere: true)
        var isEnded = false
        #expect(throws: TestPeerError.self) {
            try loop.connect(joiner, seconds: 3) {
                guard !isEnded, loop.core.handshakes.underWay == 1, let session = loop.core.sessions.values.first else { return }
                loop.core.end(session, reason: .removed, tributary_monotonic_ns())
                isEnded = true
            }
        }
        #expect(isEnded)
        var scratch = TransportOutput()
        while loop.pool.runOne(&scratch) { loop.step() }
        #expect(loop.core.handshakes.isEmpty && loop.core.sessions.isEmpty)
    }

    @Test("a crowd of joins through the threads: all connect, none twice")
    func crowd() async throws {
        let bed = try LoopBed(loops: 2)
        let (publisher, _) = try await bed.publisher()
        var viewers: [(TestPeer, SessionHandle)] = []
        for _ in 0..<24 {
            let peer = try TestPeer()
            let spec = ViewerSpec(stream: LoopBed.stream, session: "v", transport: peer.spec, tracks: LoopBed.outgoing)
            let handle = try await bed.plane.addViewer(spec)
            try peer.begin(to: bed.plane, handle)
            viewers.append((peer, handle))
        }
        let areUp = publisher.run(seconds: 60) { _ in
            for (viewer, _) in viewers { viewer.step() }
            return viewers.allSatisfy { $0.0.isConnected }
        }
        #expect(areUp)
        await bed.plane.shutdown()
    }
}
