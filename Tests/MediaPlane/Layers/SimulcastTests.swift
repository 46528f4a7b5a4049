import CLinux
import TestThreads
import Testing

@testable import MediaPlane

@Suite("Simulcast: one track of a viewer follows one of several layers (RFC 8853, RFC 8852)", .offThePool, .serialized)
struct SimulcastTests {
    /// Sends pictures until the viewer has some of a layer.
    private func until(
        _ rid: String, _ viewer: TestPeer, _ publisher: TestPeer, _ encoder: inout LayeredEncoder, keys: Bool = true,
        leaving rids: [String] = ["q", "h", "f"], seconds: Double = 20
    ) -> Bool {
        var asked = Self.requests(publisher)
        let deadline = tributary_monotonic_ns() + UInt64(seconds * 1e9)
        while tributary_monotonic_ns() < deadline {
            publisher.run(seconds: 0.033) { _ in false }
            // An encoder answers each request with a keyframe of that layer.
            let now = Self.requests(publisher)
            let wanted = Set(encoder.layers.filter { now[$0.ssrc, default: 0] > asked[$0.ssrc, default: 0] }.map(\.rid))
            asked = now
            encoder.picture(publisher, rids, keyOf: keys ? wanted : [])
            viewer.step()
            if viewer.packets(LoopBed.viewerVideo).last?.rid(encoder.codec) == rid { return true }
        }
        return false
    }

    /// Picture loss indications by the SSRC they are about.
    private static func requests(_ publisher: TestPeer) -> [UInt32: Int] {
        var found: [UInt32: Int] = [:]
        publisher.forEachReport { part, bytes in
            if let feedback = FeedbackHeader(part, in: bytes), feedback.kind == .pictureLoss {
                found[feedback.media, default: 0] += 1
            }
        }
        return found
    }

    /// Numbers without hole or repetition; timestamps that never go back, and run with the picture's clock to a tenth of a second.
    private func checkContinuous(_ viewer: TestPeer, _ encoder: LayeredEncoder) throws {
        let packets = viewer.packets(LoopBed.viewerVideo)
        let first = try #require(packets.first).header
        for (index, packet) in packets.enumerated() {
            #expect(packet.header.sequence == first.sequence &+ UInt16(index), "number \(index)")
        }
        var start: (clock: UInt32, timestamp: UInt32)?
        for (before, packet) in zip(packets, packets.dropFirst()) {
            let step = packet.header.timestamp &- before.header.timestamp
            #expect(step < 0x8000_0000, "back by \(0 &- step)")
            let rid = packet.rid(encoder.codec)
            if rid != before.rid(encoder.codec) { #expect(step > 0, "a picture of another layer under the same timestamp") }
            guard encoder.codec == .h264, let sent = encoder.sent[rid]?.first(where: { $0.payload == packet.payload }) else {
                continue
            }
            let origin = start ?? (sent.clock, packet.header.timestamp)
            start = origin
            let drift =
                Int64(Int32(bitPattern: packet.header.timestamp &- origin.timestamp)) - Int64(sent.clock) + Int64(origin.clock)
            #expect(abs(drift) < 9000, "\(rid) is off by \(drift)")
        }
    }

    @Test("a chosen layer is asked for by itself, comes from its keyframe on, and numbers and time go on", arguments: [0, 1])
    func pins(viewerLoop: Int) async throws {
        let bed = try LoopBed(loops: 2)
        var encoder = LayeredEncoder()
        let (publisher, _) = try await bed.layeredPublisher(encoder, loop: 0)
        let (viewer, handle) = try await bed.layeredViewer(loop: viewerLoop)
        encoder.picture(publisher, keyOf: ["q", "h", "f"])
        encoder.report(publisher)
        for rid in ["h", "q", "f", "q"] {
            try await bed.plane.choose(.pinned(rid: rid), for: handle)
            let before = Self.requests(publisher)
            #expect(until(rid, viewer, publisher, &encoder), "\(rid)")
            let after = Self.requests(publisher)
            for layer in encoder.layers where layer.rid != rid {
                #expect(after[layer.ssrc, default: 0] - before[layer.ssrc, default: 0] <= 1, "\(layer.rid) is not in use")
            }
            encoder.report(publisher)
        }
        try checkContinuous(viewer, encoder)
        let layers = try #require(await bed.plane.layers(of: handle))
        #expect(layers.choice == .pinned(rid: "q") && layers.current == "q")
        #expect(layers.layers.map(\.rid) == ["q", "h", "f"] && layers.layers.allSatisfy { $0.isActive && $0.bitrate > 0 })
        await bed.plane.shutdown()
    }

    @Test("without a choice it is the best layer that comes; one that falls silent gives way to the next lower")
    func followsWhatComes() async throws {
        let bed = try LoopBed()
        var encoder = LayeredEncoder()
        let (publisher, _) = try await bed.layeredPublisher(encoder)
        let (viewer, handle) = try await bed.layeredViewer()
        encoder.picture(publisher, ["q"], keyOf: ["q"])
        #expect(until("f", viewer, publisher, &encoder), "up to the best")
        let silentSince = tributary_monotonic_ns()
        #expect(until("h", viewer, publisher, &encoder, leaving: ["q", "h"]), "down when it is left out")
        #expect(tributary_monotonic_ns() - silentSince > 1_000_000_000, "not at the first gap")
        #expect(await bed.plane.layers(of: handle)?.layers.last?.isActive == false)
        try checkContinuous(viewer, encoder)
        await bed.plane.shutdown()
    }

    @Test("VP8's picture numbers go on over a switch, also for what is sent again (RFC 7741 §4.2)")
    func vp8() async throws {
        let bed = try LoopBed()
        var encoder = LayeredEncoder(codec: .vp8)
        let (publisher, _) = try await bed.layeredPublisher(encoder)
        let (viewer, handle) = try await bed.layeredViewer(.vp8)
        encoder.picture(publisher, keyOf: ["q", "h", "f"])
        for rid in ["q", "f", "h", "q"] {
            try await bed.plane.choose(.pinned(rid: rid), for: handle)
            #expect(until(rid, viewer, publisher, &encoder))
        }
        try checkContinuous(viewer, encoder)
        let packets = viewer.packets(LoopBed.viewerVideo)
        var pictures: [(id: UInt16, base: UInt8)] = []
        var last: UInt32?
        for packet in packets {
            let numbers = try #require(PictureNumbers.read(.vp8, packet.payload))
            if packet.header.timestamp != last { pictures.append((numbers.pictureID, numbers.baseLayerIndex)) }
            last = packet.header.timestamp
            #expect(pictures.last?.id == numbers.pictureID)
        }
        for (before, next) in zip(pictures, pictures.dropFirst()) {
            #expect(next.id == (before.id &+ 1) & 0x7FFF && next.base == before.base &+ 1)
        }
        let switched = try #require(packets.lastIndex { $0.rid(.vp8) == "h" })
        let wanted = packets[switched].header.sequence
        let sent = try #require(viewer.encrypted.first { $0[2] == UInt8(wanted >> 8) && $0[3] == UInt8(wanted & 0xFF) })
        viewer.sendReports { writer in
            [wanted].withUnsafeBufferPointer { _ = writer.nack(sender: 1, media: LoopBed.viewerVideo, sequences: $0) }
        }
        let count = viewer.encrypted.count
        // Other packets may still be on their way.
        let isBack = viewer.run { $0.encrypted.dropFirst(count).contains(sent) }
        #expect(isBack, "a packet of a layer that was left is sent again as it was")
        await bed.plane.shutdown()
    }

    @Test("AV1's dependency descriptors come under the viewer's id, and frame numbers go on over a switch (AV1 RTP A.8)")
    func dependencyDescriptors() async throws {
        let bed = try LoopBed(loops: 2)
        var encoder = LayeredEncoder(codec: .av1)
        let (publisher, _) = try await bed.layeredPublisher(encoder, loop: 0)
        let (viewer, handle) = try await bed.layeredViewer(.av1, loop: 1)
        encoder.picture(publisher, keyOf: ["q", "h", "f"])
        for rid in ["q", "f", "h"] {
            try await bed.plane.choose(.pinned(rid: rid), for: handle)
            #expect(until(rid, viewer, publisher, &encoder))
        }
        try checkContinuous(viewer, encoder)
        var frames: [UInt16] = []
        var last: UInt32?
        for bytes in viewer.media {
            let header = try RTPHeader(parsing: bytes.span)
            let element = try #require(HeaderExtensionElement.all(bytes).first)
            let value = Array(bytes[element.offset..<(element.offset + element.count)])
            #expect(element.id == LayeredEncoder.viewerDescriptor && value.count == 5 && Array(value[3...]) == [0xEE, 0xFF])
            if header.timestamp != last { frames.append(UInt16(value[1]) << 8 | UInt16(value[2])) }
            last = header.timestamp
        }
        #expect(frames.count > 3 && zip(frames, frames.dropFirst()).allSatisfy { $1 == $0 &+ 1 }, "\(frames)")
        await bed.plane.shutdown()
    }

    @Test("once latched a layer needs no names; retransmissions find theirs by repaired-rid (RFC 8852 §4.2)")
    func latches() async throws {
        let bed = try LoopBed()
        var encoder = LayeredEncoder()
        let (publisher, _) = try await bed.layeredPublisher(encoder)
        let (viewer, handle) = try await bed.layeredViewer()
        try await bed.plane.choose(.pinned(rid: "h"), for: handle)
        encoder.picture(publisher, keyOf: ["q", "h", "f"])
        #expect(until("h", viewer, publisher, &encoder))
        let lost = encoder.layers[1].sequence
        publisher.losesOutgoing = { $0 == lost }
        encoder.picture(publisher, named: false)
        encoder.picture(publisher, named: false)
        #expect(publisher.run { $0.nackedSequences.contains(lost) })
        let original = try #require(encoder.sent["h"]?.suffix(4).first).payload
        publisher.sendMedia(
            payloadType: 97, sequence: 1, timestamp: encoder.layers[1].timestampBase &+ encoder.clock &- 6000, ssrc: 0x2001,
            extensions: [(LayeredEncoder.mid, [0x31]), (LayeredEncoder.repairedRid, [0x68])],
            payload: [UInt8(lost >> 8), UInt8(lost & 0xFF)] + original)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).contains { $0.payload == original } })
        await bed.plane.shutdown()
    }

    @Test("readers are given one layer, and told of a new source when it is another")
    func tap() async throws {
        let bed = try LoopBed()
        let tap = try await bed.plane.tap(stream: LoopBed.stream)
        var encoder = LayeredEncoder()
        let (publisher, _) = try await bed.layeredPublisher(encoder)
        var sources: [String] = []
        var strays = 0
        func drain() {
            tap.drain { event in
                switch event {
                case .source(_, let tracks): sources += tracks.map(\.rid)
                case .packet(_, _, _, _, _, let payload):
                    if String(decoding: [payload[2]], as: UTF8.self) != sources.last { strays += 1 }
                default: break
                }
            }
        }
        encoder.picture(publisher, ["q", "h", "f"], keyOf: ["q"])
        let deadline = tributary_monotonic_ns() + 20_000_000_000
        while tributary_monotonic_ns() < deadline, sources.last != "h" {
            publisher.run(seconds: 0.033) { _ in false }
            encoder.picture(publisher, ["h"], keyOf: ["h"])
            drain()
        }
        #expect(sources == ["q", "h"] && strays == 0, "\(sources), \(strays) packets of others")
        await bed.plane.shutdown()
    }
}
