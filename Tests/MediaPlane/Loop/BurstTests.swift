import CLinux
import TestThreads
import Testing

@testable import MediaPlane

@Suite("Newcomers are sent older pictures in pieces; those who watch wait for no more than one", .offThePool, .serialized)
struct BurstTests {
    @Test("a tick has so much room, whoever takes it")
    func budget() {
        var budget = BurstBudget()
        #expect(budget.room(now: 1_000_000_000, perTick: 100) == 100)
        budget.use(70)
        #expect(budget.room(now: 1_009_999_999, perTick: 100) == 30)
        budget.use(30)
        #expect(budget.room(now: 1_009_999_999, perTick: 100) == 0)
        #expect(budget.room(now: 1_010_000_000, perTick: 40) == 40)
    }

    /// A loop with viewers of a group of pictures of 404 packets.
    private struct Bed {
        let loop: SteppedLoop
        let publisher: TestPeer
        var viewers: [TestPeer] = []
        var sessions: [UnsafeMutablePointer<PeerSession>] = []
        var encoder = Encoder()

        init(viewers count: Int) async throws {
            loop = try SteppedLoop(segmentation: true)
            publisher = try TestPeer()
            let spec = PublisherSpec(stream: LoopBed.stream, session: "p", transport: publisher.spec, tracks: LoopBed.incoming())
            try await loop.add(publisher, .publisher(spec), isPublisher: true, others: [])
            for _ in 0..<count {
                let viewer = try TestPeer()
                let watching = ViewerSpec(stream: LoopBed.stream, session: "v", transport: viewer.spec, tracks: LoopBed.outgoing)
                try await loop.add(viewer, .viewer(watching), isPublisher: false, others: viewers)
                viewers.append(viewer)
            }
            sessions = loop.core.sessions.values.filter { $0.pointee.viewer != nil }
                .sorted { $0.pointee.handle.id < $1.pointee.handle.id }
            loop.core.fanouts[LoopBed.stream]?.pointee.ignoresRequests = true
            loop.core.fanouts[LoopBed.stream]?.pointee.keepGroups(true)
        }

        /// What an iteration at this time sends of video, to all together.
        func sent(at now: UInt64) -> UInt64 {
            let before = sessions.reduce(0) { $0 + $1.pointee.counters.packets }
            loop.core.iterate(now)
            for viewer in viewers { viewer.step() }
            return sessions.reduce(0) { $0 + $1.pointee.counters.packets } - before
        }

        mutating func frame(key: Bool = false, at now: UInt64) -> UInt64 {
            encoder.frame(publisher, key: key, packets: 4, size: 200)
            return sent(at: now)
        }
    }

    @Test(
        "20 at once share what a tick has, a busy loop has less, and a frame for who watches goes out in the same tick",
        arguments: zip([UInt32(0), 900], [MediaLimits.burstPackets, MediaLimits.burstPacketsBusy]))
    func shares(permille: UInt32, perTick: Int) async throws {
        var bed = try await Bed(viewers: 21)
        defer { bed.loop.stop() }
        bed.loop.core.directory.gauges[0].set(permille: permille)
        // On a tick, and ahead of the clock that the peers' handshakes took.
        var now = (tributary_monotonic_ns() + 1_000_000_000) / TimerWheel.tickNs * TimerWheel.tickNs
        for session in bed.sessions.dropFirst() { bed.loop.core.pauseVideo(session) }
        for number in 0...100 {
            #expect(bed.frame(key: number == 0, at: now) == 4)
            now += 1_000_000
        }
        now = (now / TimerWheel.tickNs + 1) * TimerWheel.tickNs

        let before = bed.sessions.reduce(0) { $0 + $1.pointee.counters.packets }
        for session in bed.sessions.dropFirst() { bed.loop.core.resumeVideo(session, now) }
        #expect(bed.sessions.reduce(0) { $0 + $1.pointee.counters.packets } - before == UInt64(perTick))
        #expect(bed.frame(at: now) == 4, "only who watches already")
        var ticks = 1
        while ticks < 100 {
            now += TimerWheel.tickNs
            ticks += 1
            let sent = bed.sent(at: now)
            // The last pieces, up to 64 for each, are no bursts any more.
            #expect(sent <= UInt64(perTick + 20 * 64))
            if sent == 0 { break }
        }
        #expect(ticks <= 20 * 408 / perTick + 5)
        let whole = bed.encoder.sentPayloads
        for viewer in bed.viewers { #expect(viewer.packets(LoopBed.viewerVideo).map(\.payload) == whole) }
    }

    @Test("who finds no room is first in the next tick: nobody waits for all others")
    func turns() async throws {
        var bed = try await Bed(viewers: 12)
        defer { bed.loop.stop() }
        bed.loop.core.directory.gauges[0].set(permille: 900)
        var now = (tributary_monotonic_ns() + 1_000_000_000) / TimerWheel.tickNs * TimerWheel.tickNs
        for session in bed.sessions { bed.loop.core.pauseVideo(session) }
        for number in 0...100 {
            #expect(bed.frame(key: number == 0, at: now) == 0)
            now += 1_000_000
        }
        now = (now / TimerWheel.tickNs + 1) * TimerWheel.tickNs
        for session in bed.sessions { bed.loop.core.resumeVideo(session, now) }
        for _ in 0..<3 {
            now += TimerWheel.tickNs
            _ = bed.sent(at: now)
        }
        // Four ticks with room for four pieces each, for twelve: everybody has had one.
        #expect(bed.sessions.allSatisfy { $0.pointee.counters.packets >= 64 })
    }
}
