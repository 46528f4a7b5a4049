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

        func check(at now: UInt64) {
            var request = [UInt8](repeating: 0, count: 200)
            let count = request.withUnsafeMutableBytes { place in
                var writer = STUNWriter(place, type: .request, transaction: STUNTransaction(high: 1, low: now))
                writer.username(viewer.remote.ufrag, viewer.local.ufrag)
                writer.messageIntegrity(HMACSHA1(key: viewer.remote.password))
                return writer.finish()
            }
            request.withUnsafeMutableBytes {
                loop.core.take(UnsafeMutableRawBufferPointer(rebasing: $0[..<count]), from: address, session, now)
            }
            loop.core.publishSessions(&published, now + 1)
        }
        let before = try #require(published.first?.lastReceivedNs)
        check(at: before + 5_000_000_000)
        #expect(published.map(\.sampledNs) == [began])
        #expect(published.map(\.lastReceivedNs) == [before + 5_000_000_000])
        check(at: before + 15_000_000_000)
        #expect(published.map(\.sampledNs) == [before + 15_000_000_001])
    }
}
