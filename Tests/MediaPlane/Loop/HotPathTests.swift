import CAllocationCounter
import CLinux
import Glibc
import TestThreads
import Testing

@testable import MediaPlane

/// A loop without a thread: the test runs its iterations itself, so it can count and time what each does.
final class SteppedLoop {
    let core: LoopCore
    let plane: MediaPlane
    private(set) var usedNs: UInt64 = 0
    private(set) var allocations: UInt64 = 0
    /// Without threads: a test that gives handshakes away carries them out itself.
    let pool: HandshakePool
    private let directory: PlaneDirectory
    private let certificate: DTLSCertificate
    private var nextID: UInt64 = 1

    init(segmentation: Bool, tcp: Bool = false) throws {
        var settings = MediaSettings()
        settings.bindAddress = "127.0.0.1"
        settings.loops = 1
        settings.usesSegmentation = segmentation
        plane = try MediaPlane(settings)
        settings.tcpPort = tcp ? 0 : nil
        certificate = try DTLSCertificate()
        let mailbox = try Mailbox()
        let (_, events) = AsyncStream.makeStream(of: MediaEvent.self)
        directory = PlaneDirectory(mailboxes: [mailbox], events: events)
        pool = try HandshakePool(threads: 0)
        core = try LoopCore(
            index: 0, settings: settings, directory: directory, mailbox: mailbox, status: LoopStatus(), pool: pool)
    }

    func add(_ peer: TestPeer, _ role: SessionOrder.Role, isPublisher: Bool, others: [TestPeer]) async throws {
        try await announce(peer, role, isPublisher: isPublisher)
        try connect(peer) {}
    }

    func connect(_ peer: TestPeer, seconds: Double = 30, _ meanwhile: () -> Void) throws {
        try peer.connect(port: core.socket.port, fingerprint: certificate.sha256Fingerprint, seconds: seconds) {
            step()
            meanwhile()
        }
    }

    /// Tells the loop of a peer that is yet to come.
    func announce(
        _ peer: TestPeer, _ role: SessionOrder.Role, isPublisher: Bool, handshakesElsewhere: Bool = false
    ) async throws {
        let spec = peer.spec
        let now = tributary_monotonic_ns()
        let transport = try PeerTransport(
            settings: TransportSettings(
                local: ICECredentialPair(ufrag: spec.localUfrag, password: spec.localPassword),
                remote: ICECredentialPair(ufrag: spec.remoteUfrag, password: spec.remotePassword),
                remoteFingerprints: [PeerFingerprint(algorithm: "sha-256", bytes: peer.certificate.sha256Fingerprint)],
                iceRole: .lite, dtlsRole: .server, certificate: certificate, handshakesElsewhere: handshakesElsewhere), now: now)
        let handle = SessionHandle(id: nextID, loop: 0, stream: LoopBed.stream, isPublisher: isPublisher)
        nextID += 1
        let order = SessionOrder(handle: handle, role: role, transport: transport, localUfrag: spec.localUfrag)
        _ = await withCheckedContinuation { core.handle(.add(order, $0), now) }
    }

    var fingerprint: [UInt8] { certificate.sha256Fingerprint }

    /// One iteration with a look at the TCP sockets.
    func stepOthers() {
        core.acceptConnections(tributary_monotonic_ns())
        for connection in core.streams.pointee.all { core.readConnection(connection, tributary_monotonic_ns()) }
        step()
    }

    /// One iteration as the thread would do it; only this is counted.
    func step() {
        let before = tributary_allocations()
        let started = Self.used()
        core.iterate(tributary_monotonic_ns())
        usedNs += Self.used() - started
        allocations += tributary_allocations() - before
    }

    /// Processor time of this thread in nanoseconds: other work on the machine doesn't show in it.
    private static func used() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Ends what a thread would end at the end of its loop.
    func stop() {
        core.handle(.shutdown, tributary_monotonic_ns())
        core.run()
    }

    func resetCounts() {
        usedNs = 0
        allocations = 0
    }
}

@Suite("The packet path allocates nothing, whatever the number of viewers", .offThePool, .serialized)
struct HotPathTests {
    /// Viewers that only a release build is asked to serve in numbers.
    #if DEBUG
        static let viewerCount = 8
        static let frames = 100
    #else
        static let viewerCount = 100
        static let frames = 400
    #endif

    @Test("steady forwarding", arguments: [true, false])
    func steady(segmentation: Bool) async throws {
        let loop = try SteppedLoop(segmentation: segmentation)
        let publisher = try TestPeer()
        let spec = PublisherSpec(
            stream: LoopBed.stream, session: "p", transport: publisher.spec, tracks: LoopBed.incoming())
        try await loop.add(publisher, .publisher(spec), isPublisher: true, others: [])
        var viewers: [TestPeer] = []
        for _ in 0..<Self.viewerCount {
            let viewer = try TestPeer()
            let spec = ViewerSpec(stream: LoopBed.stream, session: "v", transport: viewer.spec, tracks: LoopBed.outgoing)
            try await loop.add(viewer, .viewer(spec), isPublisher: false, others: viewers)
            viewers.append(viewer)
        }
        var encoder = Encoder()
        encoder.frame(publisher, key: true, packets: 8, size: 1100)
        for _ in 0..<20 { loop.step() }
        for _ in 0..<40 { round(&encoder, publisher, loop, viewers) }
        loop.resetCounts()
        let sentBefore = loop.core.arena.pointee.totals.sent
        let messagesBefore = loop.core.arena.pointee.totals.messages
        for _ in 0..<Self.frames { round(&encoder, publisher, loop, viewers) }
        let sent = loop.core.arena.pointee.totals.sent - sentBefore
        let messages = loop.core.arena.pointee.totals.messages - messagesBefore
        #expect(sent >= UInt64(Self.frames * 8 * Self.viewerCount))
        #if !DEBUG
            // Only the optimiser takes closures and copies off the heap.
            if tributary_counts_allocations() {
                #expect(loop.allocations == 0, "\(loop.allocations) allocations for \(sent) packets")
            }
            print(
                "segmentation \(segmentation): \(sent) packets, \(loop.usedNs / max(sent, 1)) ns of processor time each,",
                "\(Double(sent) / Double(max(messages, 1))) packets a message, \(loop.allocations) allocations")
        #endif
        #expect(messages > 0)
        loop.stop()
        await loop.plane.shutdown()
    }

    @Test("what waited a second between loops is left out, and a keyframe asked for")
    func sheds() throws {
        let loop = try SteppedLoop(segmentation: true)
        let pipe = PacketPipe(slots: 64, wake: loop.core.mailbox.wake)
        loop.core.handle(.openInlet(LoopBed.stream, pipe), 0)
        let fanout = loop.core.fanout(for: LoopBed.stream)
        let track = TapTrack(index: 0, kind: .video, codec: .h264, clockRate: 90000, fmtp: "", channels: 0)
        pipe.pushSource(epoch: 1, tracks: [track], restarted: .max)
        let now = tributary_monotonic_ns()
        let payload: [UInt8] = [0x65, 1, 2]
        for (sequence, arrival) in [(10, now - 3_000_000_000), (11, now - 2_000_000_000), (12, now)] as [(UInt64, UInt64)] {
            let entry = PipeEntry(sequence: sequence, arrivalNs: arrival, timestamp: UInt32(sequence), epoch: 1)
            _ = payload.withUnsafeBytes { pipe.push(entry, payload: $0) }
        }
        pipe.publish()
        loop.core.iterate(now)
        let highest = fanout.pointee.tracks[0].ring.highest
        let timestamp = fanout.pointee.tracks[0].lastTimestamp
        #expect(highest == 1 && timestamp == 12)
        #expect(loop.core.counters.pointee.drops.contains { $0.reason == "overload" && $0.count == 2 })
        #expect(fanout.pointee.upstreamWishNs == now)
        loop.core.handle(.closeInlet(LoopBed.stream, pipe), now)
        loop.stop()
    }

    /// A frame of eight packets comes in and goes out; viewers empty their sockets.
    private func round(_ encoder: inout Encoder, _ publisher: TestPeer, _ loop: SteppedLoop, _ viewers: [TestPeer]) {
        encoder.sentPayloads = []
        encoder.frame(publisher, packets: 8, size: 1100)
        loop.step()
        loop.step()
        for viewer in viewers { viewer.discard() }
        publisher.step()
        publisher.forgetMedia()
    }
}
