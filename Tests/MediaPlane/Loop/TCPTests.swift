import CLinux
import Glibc
import TestThreads
import Testing

@testable import MediaPlane

@Suite("Peers without UDP come by TCP (RFC 6544 passive candidates)", .offThePool, .serialized)
struct TCPTests {
    /// A plane with TCP, and a client of it.
    private struct Bed {
        let plane: MediaPlane

        init(loops: Int = 1) throws {
            var settings = MediaSettings()
            settings.loops = loops
            settings.bindAddress = "127.0.0.1"
            settings.tcpPort = 0
            plane = try MediaPlane(settings)
        }

        func bridge(_ handle: SessionHandle) throws -> TCPBridge {
            try TCPBridge(serverPort: try #require(plane.tcpCandidates(loop: handle.loop).first?.port))
        }

        func publisher() async throws -> (TestPeer, SessionHandle) {
            let peer = try TestPeer()
            let spec = PublisherSpec(stream: LoopBed.stream, session: "p", transport: peer.spec, tracks: LoopBed.incoming())
            return (peer, try await plane.addPublisher(spec))
        }

        func viewer() async throws -> (TestPeer, SessionHandle) {
            let peer = try TestPeer()
            let spec = ViewerSpec(stream: LoopBed.stream, session: "v", transport: peer.spec, tracks: LoopBed.outgoing)
            return (peer, try await plane.addViewer(spec))
        }

        func connect(_ peer: TestPeer, _ bridge: TCPBridge) throws {
            try peer.connect(port: bridge.port, fingerprint: plane.fingerprint) { bridge.pump() }
        }

        func count(_ reason: String) async -> UInt64 {
            await plane.snapshot().loops.flatMap(\.drops).filter { $0.reason == reason }.map(\.count).reduce(0, +)
        }
    }

    /// Sends key frames until the viewer has one of them.
    private static func keyframes(
        _ publisher: TestPeer, _ encoder: inout Encoder, until viewer: TestPeer, _ meanwhile: () -> Void
    ) -> Bool {
        var payloads: Set<[UInt8]> = []
        var rounds = 0
        return viewer.run { viewer in
            meanwhile()
            publisher.step()
            if rounds % 25 == 0 {
                let first = encoder.sentPayloads.count
                encoder.frame(publisher, key: true, packets: 4)
                payloads.formUnion(encoder.sentPayloads[first...])
            }
            rounds += 1
            return viewer.packets(LoopBed.viewerVideo).last.map { payloads.contains($0.payload) } ?? false
        }
    }

    @Test("media goes in and out by TCP, byte by byte if need be", arguments: [false, true])
    func bothWays(isDripping: Bool) async throws {
        let bed = try Bed()
        let (publisher, publishing) = try await bed.publisher()
        let (viewer, watching) = try await bed.viewer()
        let (inward, outward) = (try bed.bridge(publishing), try bed.bridge(watching))
        inward.isDripping = isDripping
        try bed.connect(publisher, inward)
        try bed.connect(viewer, outward)
        var encoder = Encoder()
        for frame in 0..<10 {
            encoder.frame(publisher, key: frame == 0, packets: 5)
            encoder.audio(publisher)
            inward.pump()
        }
        let expected = encoder.sentPayloads
        let isThere = viewer.run { viewer in
            publisher.step()
            inward.pump()
            outward.pump()
            return viewer.packets(LoopBed.viewerVideo).count == expected.count && viewer.packets(LoopBed.viewerAudio).count == 10
        }
        #expect(isThere && viewer.packets(LoopBed.viewerVideo).map(\.payload) == expected)
        await bed.plane.shutdown()
        outward.pump()
        #expect(viewer.run { _ in !outward.pump() || viewer.state == .closed(.peer) }, "the goodbye comes by TCP, too")
    }

    @Test(
        "who reads too slowly loses video to a key frame, without a gap in its numbers; nobody else loses anything",
        arguments: [false, true])
    func slowReader(connectsAgain: Bool) async throws {
        let bed = try Bed()
        let (publisher, publishing) = try await bed.publisher()
        try publisher.connect(to: bed.plane, publishing)
        let (slow, slowHandle) = try await bed.viewer()
        let bridge = try bed.bridge(slowHandle)
        try bed.connect(slow, bridge)
        let (quick, quickHandle) = try await bed.viewer()
        try quick.connect(to: bed.plane, quickHandle)
        var encoder = Encoder()
        encoder.frame(publisher, key: true, packets: 8)
        #expect(
            slow.run { slow in
                bridge.pump(); return slow.packets(LoopBed.viewerVideo).count == 8
            })

        bridge.isReadingPaused = true
        var sent = 8
        for _ in 0..<120 {
            encoder.frame(publisher, packets: 8, size: 1000)
            sent += 8
            #expect(quick.run { $0.packets(LoopBed.viewerVideo).count == sent }, "the other viewer has everything")
        }
        // What was on its way when a connection ended is lost, and pictures come by the next one all the same.
        if connectsAgain { bridge.connectAgain() }
        bridge.isReadingPaused = false
        let resumption = Self.keyframes(publisher, &encoder, until: slow) {
            bridge.pump()
            quick.step()
        }
        #expect(resumption)
        let video = slow.packets(LoopBed.viewerVideo)
        #expect(video.count < encoder.sentPayloads.count, "what found no room was left out")
        // Where it left off and went on: consecutive numbers, and the first payload behind is that of a key frame's first packet.
        let numbers = video.map(\.header.sequence)
        #expect(connectsAgain || zip(numbers, numbers.dropFirst()).allSatisfy { $1 == $0 &+ 1 })
        let places = video.compactMap { packet in encoder.sentPayloads.firstIndex(of: packet.payload) }
        let jump = try #require(zip(places, places.dropFirst()).first { $1 != $0 + 1 })
        #expect(encoder.sentPayloads[jump.1][1] == 0x85)
        await bed.plane.shutdown()
    }

    @Test("a connection that breaks is replaced by another, with the same session and the same keys")
    func reconnects() async throws {
        let bed = try Bed()
        let (publisher, publishing) = try await bed.publisher()
        try publisher.connect(to: bed.plane, publishing)
        let (viewer, watching) = try await bed.viewer()
        let bridge = try bed.bridge(watching)
        try bed.connect(viewer, bridge)
        bridge.connectAgain()
        var encoder = Encoder()
        let goesOn = Self.keyframes(publisher, &encoder, until: viewer) { bridge.pump() }
        #expect(goesOn && viewer.isConnected)
        await bed.plane.shutdown()
    }

    @Test(
        "who sends what is no packet for a session of ours is hung up on",
        arguments: [
            [0xFF, 0xFF] + [UInt8](repeating: 1, count: 100), [0, 4, 1, 2, 3, 4], Array("GET / HTTP/1.1\r\n\r\n".utf8),
            [0, 20, 0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42] + [UInt8](repeating: 7, count: 12),
        ] as [[UInt8]])
    func strangers(bytes: [UInt8]) async throws {
        let bed = try Bed()
        let bridge = try TCPBridge(serverPort: try #require(bed.plane.tcpCandidates(loop: 0).first?.port))
        bridge.write(bytes)
        let deadline = tributary_monotonic_ns() + 20_000_000_000
        while bridge.pump(), tributary_monotonic_ns() < deadline { usleep(1000) }
        #expect(!bridge.pump())
        await bed.plane.shutdown()
    }
}

@Suite("TCP connections of a loop: how many, and how long without a session", .offThePool, .serialized)
struct TCPTableTests {
    @Test("one host has its share, all together theirs; a number is free again when its connection is gone")
    func bounds() throws {
        var table = TCPTable()
        let peer = SocketAddress(ipv4: 0x0A00_0001, port: 1000)
        var opened: [UnsafeMutablePointer<TCPConnection>] = []
        for _ in 0...MediaLimits.tcpConnectionsPerHost {
            if let connection = table.open(dup(0), from: peer, now: 0) { opened.append(connection) }
        }
        #expect(opened.count == MediaLimits.tcpConnectionsPerHost)
        let accepted = table.open(dup(0), from: SocketAddress(ipv4: 0x0A00_0002, port: 1000), now: 0)
        let other = try #require(accepted)
        opened.append(other)
        #expect(Set(opened.map { $0.pointee.address.stream }).count == opened.count)
        let found = (table.find(other.pointee.address), table.find(peer))
        #expect(found.0 == other && found.1 == nil)
        for connection in opened {
            table.remove(connection)
            connection.deinitialize(count: 1)
            connection.deallocate()
        }
        let rest = (table.count, table.all.count, table.find(peer.by(1)))
        #expect(rest.0 == 0 && rest.1 == 0 && rest.2 == nil)
    }

    @Test("a connection without a session is closed after ten seconds, one with a session stays")
    func patience() async throws {
        let loop = try SteppedLoop(segmentation: true, tcp: true)
        defer { loop.stop() }
        let viewer = try TestPeer()
        let spec = ViewerSpec(stream: LoopBed.stream, session: "v", transport: viewer.spec, tracks: LoopBed.outgoing)
        try await loop.announce(viewer, .viewer(spec), isPublisher: false)
        let port = try #require(loop.core.listener?.port)
        let (used, idle) = (try TCPBridge(serverPort: port), try TCPBridge(serverPort: port))
        try viewer.connect(port: used.port, fingerprint: loop.fingerprint) {
            loop.stepOthers()
            used.pump()
        }
        #expect(loop.core.streams.pointee.count == 2)
        let now = tributary_monotonic_ns()
        loop.core.sweepConnections(now + MediaLimits.tcpPatienceNs / 2)
        #expect(loop.core.streams.pointee.count == 2)
        loop.core.sweepConnections(now + MediaLimits.tcpPatienceNs * 2)
        loop.step()
        #expect(loop.core.streams.pointee.count == 1)
        #expect(used.pump() && !idle.pump())
    }
}

@Suite("Packets framed in a byte stream (RFC 4571)")
struct FramingTests {
    private static func frames(_ reader: inout FrameReader) -> (frames: [[UInt8]], isBroken: Bool) {
        var found: [[UInt8]] = []
        while true {
            switch reader.next() {
            case .frame(let frame): found.append(Array(frame))
            case .incomplete: return (found, false)
            case .broken: return (found, true)
            }
        }
    }

    private static func feed(_ reader: inout FrameReader, _ bytes: some Collection<UInt8>) {
        let room = reader.room()
        room.copyBytes(from: bytes)
        reader.commit(bytes.count)
    }

    @Test("packets come out as they went in, however the stream is cut", arguments: [1, 2, 3, 7, 1000, 16_000])
    func pieces(size: Int) {
        var mutator = Mutator(seed: UInt64(size))
        let packets = (0..<200).map { mutator.bytes(1 + ($0 * 37) % 2048) }
        var stream: [UInt8] = []
        for packet in packets { stream += [UInt8(packet.count >> 8), UInt8(packet.count & 0xFF)] + packet + [0, 0] }
        var reader = FrameReader()
        var found: [[UInt8]] = []
        var offset = 0
        while offset < stream.count {
            let room = reader.room().count
            let count = min(size, stream.count - offset, room)
            Self.feed(&reader, stream[offset..<(offset + count)])
            offset += count
            found += Self.frames(&reader).frames
        }
        #expect(found == packets)
    }

    @Test("a length beyond any packet ends the stream, and nothing is kept of it")
    func tooLong() {
        var reader = FrameReader()
        Self.feed(&reader, [0, 1, 9, 0x08, 0x01])
        let (frames, isBroken) = Self.frames(&reader)
        #expect(frames == [[9]] && isBroken)
    }

    @Test("20,000 random pieces: there is always room to read on, or the stream is broken")
    func random() {
        var mutator = Mutator(seed: 77)
        var reader = FrameReader()
        for _ in 0..<20_000 {
            let room = reader.room().count
            guard room > 0 else {
                Issue.record("no room to read on")
                return
            }
            let isWild = mutator.below(3) == 0
            let piece: [UInt8] = mutator.bytes(min(room, mutator.below(400))).map { isWild ? $0 : $0 & 7 }
            Self.feed(&reader, piece)
            if Self.frames(&reader).isBroken { reader = FrameReader() }
        }
    }

    @Test("the queue agrees with a list, writes go out whole and in order, and its bound holds")
    func queue() {
        var mutator = Mutator(seed: 5)
        var queue = FrameQueue(capacity: 5000)
        var model: [UInt8] = []
        for _ in 0..<20_000 {
            if mutator.below(2) == 0 {
                let packet = mutator.bytes(1 + mutator.below(1500))
                let fits = model.count + 2 + packet.count <= 5000
                let isTaken = packet.withUnsafeBytes { queue.append($0) }
                #expect(isTaken == fits)
                if fits { model += [UInt8(packet.count >> 8), UInt8(packet.count & 0xFF)] + packet }
            } else {
                let written = mutator.below(queue.count + 1)
                let head = Array(queue.bytes.prefix(written))
                #expect(head == Array(model.prefix(written)))
                queue.consume(written)
                model.removeFirst(written)
            }
            let state = (queue.count, queue.isLow, queue.isHigh)
            #expect(state == (model.count, model.count <= 1250, model.count > 2500))
        }
    }
}
