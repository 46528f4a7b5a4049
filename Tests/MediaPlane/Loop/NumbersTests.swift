import CLinux
import TestThreads
import Testing

@testable import MediaPlane

@Suite("What is published of sessions", .offThePool, .serialized)
struct NumbersTests {
    /// Lets peers live until it is so; false when it never is.
    private func until(_ peers: [TestPeer], _ isSo: () async -> Bool) async -> Bool {
        let deadline = tributary_monotonic_ns() + 30_000_000_000
        while tributary_monotonic_ns() < deadline {
            for peer in peers { peer.step() }
            if await isSo() { return true }
            try? await Task.sleep(for: .milliseconds(5))
        }
        return false
    }

    @Test("each session is there once, whoever comes and goes, and its numbers are its own")
    func comingAndGoing() async throws {
        let bed = try LoopBed()
        let (publisher, publishing) = try await bed.publisher()
        var viewers: [(peer: TestPeer, handle: SessionHandle)] = []
        for _ in 0..<5 { viewers.append(try await bed.viewer()) }
        var encoder = Encoder()
        for (leaving, count) in [(1, 5), (3, 4), (0, 3)] {
            let peers = [publisher] + viewers.map(\.peer)
            encoder.frame(publisher, key: true)
            let isTold = await until(peers) {
                let shown = await bed.plane.snapshot().sessions
                let packets = Dictionary(shown.map { ($0.handle, $0.packets) }) { first, _ in first }
                return shown.count == count + 1 && packets.count == shown.count
                    && packets[publishing] == UInt64(encoder.sentPayloads.count)
                    && viewers.allSatisfy { packets[$0.handle] == UInt64($0.peer.packets(LoopBed.viewerVideo).count) }
            }
            #expect(isTold, "\(count) viewers")
            await bed.plane.remove(viewers.remove(at: min(leaving, viewers.count - 1)).handle)
        }
        await bed.plane.shutdown()
        #expect(await bed.plane.snapshot().sessions.isEmpty)
    }

    @Test("who has nothing new to tell isn't told of again, unless it was silent for long")
    func news() async throws {
        let bed = try LoopBed()
        let (publisher, publishing) = try await bed.publisher()
        let (viewer, watching) = try await bed.viewer()
        var marks: [UInt64] = []
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        var told: [SessionHandle: UInt64] = [:]
        #expect(
            await until([publisher, viewer]) {
                for sample in bed.plane.news(after: &marks, silentNs: 0) { told[sample.handle] = sample.packets }
                return told == [publishing: 3, watching: 3]
            })
        // The publisher sends nothing any more; the viewer is still sent reports.
        #expect(await until([]) { bed.plane.news(after: &marks, silentNs: 0).map(\.handle) == [watching] })
        #expect(Set(bed.plane.news(after: &marks, silentNs: .max).map(\.handle)) == [publishing, watching])
        await bed.plane.shutdown()
    }

    /// A consent check of a peer's, as a datagram.
    private func withCheck(from peer: TestPeer, number: UInt64, _ body: (UnsafeMutableRawBufferPointer) -> Void) {
        var request = [UInt8](repeating: 0, count: 200)
        request.withUnsafeMutableBytes { place in
            var writer = STUNWriter(place, type: .request, transaction: STUNTransaction(high: 1, low: number))
            writer.username(peer.remote.ufrag, peer.local.ufrag)
            writer.messageIntegrity(HMACSHA1(key: peer.remote.password))
            body(UnsafeMutableRawBufferPointer(rebasing: place[..<writer.finish()]))
        }
    }

    @Test("checks go to whom they name, also from an address that is known as another's, and leave the timer where it is")
    func named() async throws {
        let loop = try SteppedLoop(segmentation: true)
        defer { loop.stop() }
        let peers = [try TestPeer(), try TestPeer()]
        for (index, peer) in peers.enumerated() {
            let spec = ViewerSpec(stream: LoopBed.stream, session: "\(index)", transport: peer.spec, tracks: LoopBed.outgoing)
            try await loop.add(peer, .viewer(spec), isPublisher: false, others: Array(peers.prefix(index)))
        }
        let sessions = loop.core.sessions.values.sorted { $0.pointee.name < $1.pointee.name }
        let addresses = try sessions.map { try #require($0.pointee.withTransport { $0.selectedAddress }) }
        let now = tributary_monotonic_ns()
        for (peer, session) in zip(peers, sessions) {
            for address in addresses {
                withCheck(from: peer, number: now) {
                    let found = loop.core.find($0, from: address, now)
                    #expect(found == session)
                }
            }
        }
        // An ICE restart gives the session another name; the old one is still known.
        let restarted = sessions[0].pointee.handle.id
        let isRestarted = await withCheckedContinuation { done in
            loop.core.handle(
                .restartICE(
                    restarted, local: ICECredentialPair(ufrag: "other", password: "a password of its own"),
                    remote: ICECredentialPair(ufrag: "peer", password: "and another one"), done), now)
        }
        #expect(isRestarted)
        withCheck(from: peers[0], number: now) {
            let found = loop.core.find($0, from: addresses[0], now)
            #expect(found == sessions[0])
        }
        let deadline = sessions[1].pointee.transportDeadlineNs
        withCheck(from: peers[1], number: now) { loop.core.take($0, from: addresses[1], sessions[1], now + 5_000_000_000) }
        #expect(sessions[1].pointee.transportDeadlineNs == deadline)
        #expect(sessions[1].pointee.withTransport { $0.lastHeardNs } == now + 5_000_000_000)
    }

    @Test("a consent check alone is no news, but is remembered; after a long silence it is news")
    func heard() async throws {
        let loop = try SteppedLoop(segmentation: true)
        defer { loop.stop() }
        let viewer = try TestPeer()
        let spec = ViewerSpec(stream: LoopBed.stream, session: "v", transport: viewer.spec, tracks: LoopBed.outgoing)
        try await loop.add(viewer, .viewer(spec), isPublisher: false, others: [])
        let session = try #require(loop.core.sessions.values.first)
        let address = try #require(session.pointee.withTransport { $0.selectedAddress })
        var published: [SessionSnapshot] = []
        let began = tributary_monotonic_ns() + 1_000_000_000
        loop.core.publishSessions(&published, began)
        #expect(published.map(\.state) == [.connected] && published.map(\.sampledNs) == [began])

        func check(at now: UInt64, toldAfter delayNs: UInt64 = 1) {
            withCheck(from: viewer, number: now) { loop.core.take($0, from: address, session, now) }
            loop.core.publishSessions(&published, now + delayNs)
        }
        let before = try #require(published.first?.lastReceivedNs)
        check(at: before + 5_000_000_000)
        #expect(published.map(\.sampledNs) == [began])
        #expect(published.map(\.lastReceivedNs) == [before + 5_000_000_000])
        check(at: before + 15_000_000_000)
        #expect(published.map(\.sampledNs) == [before + 15_000_000_001])
        // In time, but told so late that a sweep in between would have found the peer gone.
        check(at: before + 21_500_000_000, toldAfter: 1_000_000_000)
        #expect(published.map(\.sampledNs) == [before + 22_500_000_000])
    }
}
