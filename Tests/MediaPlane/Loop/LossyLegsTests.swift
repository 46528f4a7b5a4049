import CLinux
import Glibc
import TestThreads
import Testing

@testable import MediaPlane

@Suite("Loss on either leg is repaired (RFC 4585), hostile media hurts nobody else", .offThePool, .serialized)
struct LossyLegsTests {
    @Test(
        "10 % loss on both legs: every payload arrives, once, under a number of its own, as RTX where that was agreed",
        arguments: [1, 2], [false, true])
    func repairsBothLegs(loops: Int, hasRepair: Bool) async throws {
        let bed = try LoopBed(loops: loops)
        let (publisher, _) = try await bed.publisher(loop: 0)
        let (viewer, _) = try await bed.viewer(loop: loops - 1, tracks: LoopBed.outgoing(hasRepair: hasRepair))
        var random = Mutator.Random(seed: 7)
        var encoder = Encoder(sequence: 30_000)
        encoder.frame(publisher, key: true)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 3 })
        let first = try #require(viewer.packets(LoopBed.viewerVideo).first).header.sequence
        // Repeats of the same number get through: each is lost for itself.
        publisher.losesOutgoing = { _ in Int.random(in: 0..<10, using: &random) == 0 }
        var otherRandom = Mutator.Random(seed: 8)
        viewer.loses = { _ in Int.random(in: 0..<10, using: &otherRandom) == 0 }
        for _ in 0..<100 {
            encoder.frame(publisher, packets: 5, size: 300)
            publisher.run(seconds: 0.005) { _ in false }
            publisher.answerNacks()
            viewer.step()
        }
        publisher.losesOutgoing = { _ in false }
        encoder.frame(publisher)
        let expected = encoder.sentPayloads
        var askedNs: UInt64 = 0
        var found: [UInt16: [UInt8]] = [:]
        let isWhole = viewer.run(seconds: 20) { viewer in
            publisher.step()
            publisher.answerNacks()
            for (sequence, payload) in viewer.payloads(LoopBed.viewerVideo, repair: LoopBed.viewerRepair) {
                found[sequence &- first] = payload
            }
            if found.count == expected.count { return true }
            let now = tributary_monotonic_ns()
            if now - askedNs > 50_000_000 {
                askedNs = now
                let missing = (0..<UInt16(expected.count)).filter { found[$0] == nil }.map { first &+ $0 }
                viewer.askAgain(missing, of: LoopBed.viewerVideo)
            }
            return false
        }
        #expect(isWhole, "\(found.count) of \(expected.count)")
        #expect(found.sorted { $0.key < $1.key }.map(\.value) == expected)
        #expect(viewer.packets(LoopBed.viewerRepair).isEmpty == !hasRepair)
        Self.checkNumbers(viewer, repeats: !hasRepair)
        await bed.plane.shutdown()
    }

    /// Under one number of one source there was never anything but the same ciphertext; with retransmissions of their own not even that.
    private static func checkNumbers(_ viewer: TestPeer, repeats: Bool) {
        var wire: [[UInt8]: [UInt8]] = [:]
        var repeated = 0
        for packet in viewer.encrypted {
            guard let known = wire.updateValue(packet, forKey: Array(packet[2..<4] + packet[8..<12])) else { continue }
            #expect(known == packet)
            repeated += 1
        }
        #expect(repeats || repeated == 0)
    }

    @Test("a publisher that sends authenticated rubbish: its neighbours' stream goes on", arguments: 0..<3)
    func rubbish(seed: Int) async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        let (viewer, _) = try await bed.viewer()
        var mutator = Mutator(seed: UInt64(seed))
        let hostile = try TestPeer()
        let handle = try await bed.plane.addPublisher(
            PublisherSpec(
                stream: StreamKey(id: 2), session: "h", transport: hostile.spec, tracks: LoopBed.incoming(videoSSRC: nil)))
        try hostile.connect(to: bed.plane, handle)
        let compounds = RTCPTests.seeds
        for round in 0..<600 {
            let seed = RTPVector.all[mutator.below(RTPVector.all.count)].bytes
            hostile.sendRaw(mutator.mutate(seed), sequence: UInt64(round))
            hostile.sendRawReports(mutator.mutate(compounds[mutator.below(compounds.count)]))
            viewer.sendRawReports(mutator.mutate(compounds[mutator.below(compounds.count)]))
            if round % 50 == 0 {
                hostile.step()
                viewer.step()
            }
        }
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        encoder.frame(publisher)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 6 })
        #expect(await bed.plane.snapshot(of: handle) != nil, "nor is it thrown out")
        await bed.plane.shutdown()
    }

    @Test("events come in order; snapshots say what happened")
    func events() async throws {
        let bed = try LoopBed()
        let (publisher, handle) = try await bed.publisher()
        let (viewer, watching) = try await bed.viewer()
        var encoder = Encoder()
        encoder.video(publisher, [0x67, 0x64, 0x00, 0x1F, 1, 2], marker: false)
        encoder.sequence &+= 1
        encoder.frame(publisher, key: true)
        encoder.audio(publisher)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 4 && $0.packets(LoopBed.viewerAudio).count == 1 })
        let numbers = try #require(await bed.plane.snapshot(of: watching))
        #expect(numbers.state == .connected && numbers.packets == 5 && numbers.remoteAddress?.host == "127.0.0.1")
        publisher.close()
        let deadline = tributary_monotonic_ns() + 30_000_000_000
        while await bed.plane.snapshot(of: handle) != nil, tributary_monotonic_ns() < deadline { viewer.step() }
        await bed.plane.shutdown()
        var seen: [String] = []
        for await event in bed.plane.events {
            switch event {
            case .sessionState(_, let session, let state): seen.append("\(session) \(state)")
            case .firstMedia(let stream, let session, let kind): seen.append("\(session) \(stream.id) \(kind)")
            case .h264Profile(_, let session, let level): seen.append("\(session) \(String(level, radix: 16))")
            }
        }
        #expect(
            seen == [
                "p connected", "v connected", "p 1 video", "p 64001f", "p 1 audio",
                "p closed(MediaPlane.CloseReason.closedByPeer)",
                "v closed(MediaPlane.CloseReason.removed)",
            ])
        let last = await bed.plane.snapshot()
        #expect(last.loops.count == 1 && last.sessions.isEmpty)
        #expect(last.loops[0].sent > 0 && last.loops[0].received > 0 && last.loops[0].busyNs > 0)
    }

    @Test("an ICE restart keeps media going, the new credentials are answered")
    func restart() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        let (viewer, handle) = try await bed.viewer()
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 3 })
        let ours = TestPeer.Credentials.random()
        let theirs = TestPeer.Credentials.random()
        try await bed.plane.restartICE(
            handle, localUfrag: ours.ufrag, localPassword: ours.password, remoteUfrag: theirs.ufrag,
            remotePassword: theirs.password)
        encoder.frame(publisher)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 6 })
        await #expect(throws: MediaPlaneError.duplicateUfrag) {
            try await bed.plane.restartICE(
                handle, localUfrag: ours.ufrag, localPassword: "x", remoteUfrag: "y", remotePassword: "z")
        }
        await bed.plane.shutdown()
        await #expect(throws: MediaPlaneError.stopped) { _ = try await bed.viewer() }
    }

    @Test("what may not be is refused by name")
    func refusals() async throws {
        let bed = try LoopBed()
        let peer = try TestPeer()
        let spec = PublisherSpec(stream: LoopBed.stream, session: "p", transport: peer.spec, tracks: LoopBed.incoming())
        _ = try await bed.plane.addPublisher(spec)
        await #expect(throws: MediaPlaneError.duplicateUfrag) { _ = try await bed.plane.addPublisher(spec) }
        let other = try TestPeer()
        await #expect(throws: MediaPlaneError.publisherExists) {
            _ = try await bed.plane.addPublisher(
                PublisherSpec(stream: LoopBed.stream, session: "q", transport: other.spec, tracks: LoopBed.incoming()))
        }
        await #expect(throws: MediaPlaneError.tracks(0)) {
            _ = try await bed.plane.addViewer(
                ViewerSpec(stream: LoopBed.stream, session: "v", transport: other.spec, tracks: []))
        }
        var settings = MediaSettings()
        settings.bindAddress = "127.0.0.1"
        settings.loops = 1
        settings.udpPort = try #require(bed.plane.candidates(loop: 0).first?.port)
        #expect(throws: MediaPlaneError.portInUse(settings.udpPort)) { _ = try MediaPlane(settings) }
        settings.bindAddress = "nowhere"
        #expect(throws: MediaPlaneError.address("nowhere")) { _ = try MediaPlane(settings) }
        await bed.plane.shutdown()
    }
}

@Suite("Send arena: runs of equal sizes (UDP_SEGMENT), one by one where the kernel refuses", .offThePool)
struct SendArenaTests {
    private func receiveAll(_ socket: borrowing UDPSocket) -> [[UInt8]] {
        var found: [[UInt8]] = []
        var buffer = [UInt8](repeating: 0, count: 2048)
        while true {
            let count = recv(socket.descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count <= 0 { return found }
            found.append(Array(buffer[0..<count]))
        }
    }

    @Test("sizes, owners and order survive; a shorter one ends a run", arguments: [true, false])
    func runs(isRefused: Bool) throws {
        let from = try UDPSocket(bindAddress: "127.0.0.1", port: 0, bufferBytes: 1 << 20)
        let to = try UDPSocket(bindAddress: "127.0.0.1", port: 0, bufferBytes: 1 << 20)
        if isRefused {
            // Without checksums the kernel can't cut, and says EINVAL as a device without offload says EIO.
            var on: Int32 = 1
            setsockopt(from.descriptor, SOL_SOCKET, SO_NO_CHECK, &on, 4)
        }
        var arena = SendArena(descriptor: from.descriptor, isDualStack: false, usesSegmentation: true)
        let address = SocketAddress(ipv4: 0x7F00_0001, port: to.port)
        var expected: [[UInt8]] = []
        let sizes = [100, 100, 100, 60, 100, 100, 200, 200, 200, 10, 10]
        for (index, size) in sizes.enumerated() {
            let bytes = [UInt8](repeating: UInt8(index), count: size)
            let place = arena.place()
            bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(start: place, count: size).copyMemory(from: $0) }
            arena.commit(size, to: address, owner: index < 9 ? 1 : UInt64(index))
            expected.append(bytes)
        }
        arena.flush()
        let found = receiveAll(to)
        #expect(found == expected)
        let numbers = (arena.totals.sent, arena.totals.messages, arena.totals.failed)
        #expect(numbers.0 == 11 && numbers.2 == 0)
        #expect(numbers.1 == (isRefused ? 11 : 5))
        // Refused for good after some in a row, and tried again later.
        for _ in 0..<SegmentationTrial.refusalsMax { sendRun(to: address, through: &arena) }
        var usesSegmentation = arena.usesSegmentation
        #expect(usesSegmentation == !isRefused)
        #expect(receiveAll(to).count == 2 * SegmentationTrial.refusalsMax)
        for _ in 0..<SegmentationTrial.restFlushes { sendRun(to: address, through: &arena) }
        usesSegmentation = arena.usesSegmentation
        #expect(usesSegmentation)
    }

    private func sendRun(to address: SocketAddress, through arena: inout SendArena) {
        for _ in 0..<2 {
            _ = arena.place()
            arena.commit(100, to: address, owner: 1)
        }
        arena.flush()
    }

    @Test("a peer that nothing can be sent to doesn't end segmentation for the others")
    func unreachable() throws {
        let from = try UDPSocket(bindAddress: "127.0.0.1", port: 0, bufferBytes: 1 << 20)
        let to = try UDPSocket(bindAddress: "127.0.0.1", port: 0, bufferBytes: 1 << 20)
        var arena = SendArena(descriptor: from.descriptor, isDualStack: false, usesSegmentation: true)
        for _ in 0..<3 * SegmentationTrial.refusalsMax {
            // Port 0 is legal as a source, and sending there is EINVAL, as a refused run is.
            sendRun(to: SocketAddress(ipv4: 0x7F00_0001, port: 0), through: &arena)
        }
        sendRun(to: SocketAddress(ipv4: 0x7F00_0001, port: to.port), through: &arena)
        let (usesSegmentation, failed) = (arena.usesSegmentation, arena.totals.failed)
        #expect(usesSegmentation && failed == UInt64(6 * SegmentationTrial.refusalsMax))
        #expect(receiveAll(to).count == 2)
    }
}
