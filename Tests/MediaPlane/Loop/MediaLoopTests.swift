import CLinux
import TestThreads
import Testing

@testable import MediaPlane

/// A plane on loopback with one publisher of H.264 and Opus, and viewers.
struct LoopBed {
    static let stream = StreamKey(id: 1)
    static let videoSSRC: UInt32 = 0x1111_0000
    static let audioSSRC: UInt32 = 0x2222_0000
    static let viewerVideo: UInt32 = 0xAAAA_0001
    static let viewerAudio: UInt32 = 0xAAAA_0002
    static let viewerRepair: UInt32 = 0xAAAA_0003

    let plane: MediaPlane

    init(loops: Int = 1, segmentation: Bool = true, bitrateMax: UInt64 = 20_000_000) throws {
        var settings = MediaSettings()
        settings.loops = loops
        settings.bindAddress = "127.0.0.1"
        settings.usesSegmentation = segmentation
        settings.publisherBitrateMax = bitrateMax
        plane = try MediaPlane(settings)
    }

    static var extensions: ExtensionIDs {
        var ids = ExtensionIDs()
        ids.mid = 4
        ids.transportCC = 3
        ids.audioLevel = 1
        return ids
    }

    static func incoming(videoSSRC: UInt32? = videoSSRC, twcc: Bool = true) -> [IncomingTrackSpec] {
        let video = FeedbackFlags(nack: true, pli: true, transportCC: twcc, remb: true)
        return [
            IncomingTrackSpec(
                kind: .audio, codec: .opus, clockRate: 48000, channels: 2, payloadType: 111, ssrc: nil, mid: "0",
                extensions: extensions, feedback: FeedbackFlags(nack: false, pli: false, transportCC: twcc)),
            IncomingTrackSpec(
                kind: .video, codec: .h264, clockRate: 90000, payloadType: 96, rtxPayloadType: 97, ssrc: videoSSRC,
                rtxSSRC: videoSSRC.map { $0 + 1 }, mid: "1", extensions: extensions, feedback: video),
        ]
    }

    static var outgoing: [OutgoingTrackSpec] { outgoing(hasRepair: false) }

    /// - Parameter hasRepair: whether the viewer takes retransmissions of video as RTX.
    static func outgoing(hasRepair: Bool) -> [OutgoingTrackSpec] {
        var ids = ExtensionIDs()
        ids.mid = 9
        ids.audioLevel = 10
        return [
            OutgoingTrackSpec(
                kind: .video, codec: .h264, payloadType: 102, ssrc: viewerVideo, rtxPayloadType: hasRepair ? 112 : nil,
                rtxSSRC: hasRepair ? viewerRepair : nil, clockRate: 90000, cname: "c", mid: "v", extensions: ids),
            OutgoingTrackSpec(
                kind: .audio, codec: .opus, payloadType: 103, ssrc: viewerAudio, clockRate: 48000, cname: "c", mid: "a",
                extensions: ids),
        ]
    }

    func publisher(loop: Int? = nil, tracks: [IncomingTrackSpec] = incoming()) async throws -> (TestPeer, SessionHandle) {
        let peer = try TestPeer()
        let handle = try await plane.addPublisher(
            PublisherSpec(stream: Self.stream, session: "p", transport: peer.spec, tracks: tracks, loop: loop))
        try peer.connect(to: plane, handle)
        return (peer, handle)
    }

    func viewer(loop: Int? = nil, tracks: [OutgoingTrackSpec] = outgoing) async throws -> (TestPeer, SessionHandle) {
        let peer = try TestPeer()
        let handle = try await plane.addViewer(
            ViewerSpec(stream: Self.stream, session: "v", transport: peer.spec, tracks: tracks, loop: loop))
        try peer.connect(to: plane, handle)
        return (peer, handle)
    }
}

/// Makes the packets of a simple encoder.
struct Encoder {
    var videoSSRC = LoopBed.videoSSRC
    var sequence: UInt16 = 1000
    var timestamp: UInt32 = 90_000
    var audioSequence: UInt16 = 500
    var transportSequence: UInt16 = 0
    var sentPayloads: [[UInt8]] = []

    /// One frame of `packets` packets, all but the last `size` bytes long.
    mutating func frame(_ peer: TestPeer, key: Bool = false, packets: Int = 3, size: Int = 1000, skip: Set<Int> = []) {
        for index in 0..<packets {
            let start: UInt8 = index == 0 ? 0x80 : 0
            var payload: [UInt8] = [
                0x7C, start | (key ? 5 : 1), UInt8(truncatingIfNeeded: sequence >> 8), UInt8(sequence & 0xFF),
            ]
            payload += [UInt8](repeating: UInt8(truncatingIfNeeded: Int(timestamp) + index), count: size - 4)
            sentPayloads.append(payload)
            if !skip.contains(index) { video(peer, payload, marker: index == packets - 1) }
            sequence &+= 1
        }
        timestamp &+= 3000
    }

    mutating func video(_ peer: TestPeer, _ payload: [UInt8], marker: Bool) {
        peer.sendMedia(
            payloadType: 96, sequence: sequence, timestamp: timestamp, ssrc: videoSSRC, marker: marker,
            extensions: [(3, [UInt8(transportSequence >> 8), UInt8(transportSequence & 0xFF)]), (4, [0x31])], payload: payload)
        transportSequence &+= 1
    }

    mutating func audio(_ peer: TestPeer) {
        peer.sendMedia(
            payloadType: 111, sequence: audioSequence, timestamp: UInt32(audioSequence) &* 960, ssrc: LoopBed.audioSSRC,
            extensions: [(1, [0x85]), (4, [0x30])], payload: [UInt8](repeating: UInt8(audioSequence & 0xFF), count: 80))
        audioSequence &+= 1
    }
}

@Suite("Media loop: publish to view on loopback (RFC 3550, RFC 4585, RFC 8285)", .offThePool, .serialized)
struct MediaLoopTests {
    @Test("payloads reach a viewer unchanged, renumbered and in order", arguments: [1, 2], [true, false])
    func forwards(loops: Int, segmentation: Bool) async throws {
        let bed = try LoopBed(loops: loops, segmentation: segmentation)
        let (publisher, _) = try await bed.publisher(loop: 0)
        let (viewer, _) = try await bed.viewer(loop: loops - 1)
        #expect(publisher.run { $0.feedbackCount(.pictureLoss) > 0 }, "a joiner must make us ask for a keyframe")
        var encoder = Encoder()
        encoder.frame(publisher, key: true, packets: 8)
        for _ in 0..<5 {
            encoder.frame(publisher)
            encoder.audio(publisher)
        }
        let expected = encoder.sentPayloads
        #expect(
            viewer.run { $0.packets(LoopBed.viewerVideo).count == expected.count && $0.packets(LoopBed.viewerAudio).count == 5 })
        let video = viewer.packets(LoopBed.viewerVideo)
        #expect(video.map(\.payload) == expected)
        let first = try #require(video.first).header
        #expect(first.sequence < 32768)
        for (index, packet) in video.enumerated() {
            #expect(packet.header.sequence == first.sequence &+ UInt16(index))
            #expect(packet.header.payloadType == 102)
        }
        #expect(Set(video.map(\.header.timestamp)).count == 6)
        #expect(try #require(video.last).header.timestamp &- first.timestamp == 5 * 3000)
        #expect(video.filter(\.header.marker).count == 6)
        let audio = try #require(viewer.packets(LoopBed.viewerAudio).first)
        #expect(audio.header.payloadType == 103)
        await bed.plane.shutdown()
        #expect(viewer.run { $0.state == .closed(.peer) }, "shutdown says close_notify")
    }
}
