import TestThreads
import Testing

@testable import MediaPlane

@Suite("Parameter sets that only the SDP tells of (RFC 6184 §8.2.2, §8.4)", .offThePool, .serialized)
struct ParameterSetTests {
    /// SPS of profile 42c0, level 1e, and a PPS, in a STAP-A.
    private static let sets: [UInt8] = [0x78, 0, 5, 0x67, 0x42, 0xC0, 0x1E, 0xD9, 0, 2, 0x68, 0xCE]

    private static var tracks: [IncomingTrackSpec] {
        var tracks = LoopBed.incoming()
        tracks[1].parameterSets = sets
        return tracks
    }

    @Test("they go before each keyframe, to viewers and readers, with numbers of their own", arguments: [0, 1])
    func inserts(viewerLoop: Int) async throws {
        let bed = try LoopBed(loops: 2)
        let tap = try await bed.plane.tap(stream: LoopBed.stream)
        let (publisher, _) = try await bed.publisher(loop: 0, tracks: Self.tracks)
        let (viewer, _) = try await bed.viewer(loop: viewerLoop)
        var encoder = Encoder()
        encoder.frame(publisher, key: true)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 4 })
        for isKey in [false, true] { encoder.frame(publisher, key: isKey) }
        try #require(viewer.run { $0.packets(LoopBed.viewerVideo).count == 11 })
        let video = viewer.packets(LoopBed.viewerVideo)
        let first = video[0].header
        #expect(video.map(\.header.sequence) == (0..<11).map { first.sequence &+ $0 })
        let sent = encoder.sentPayloads
        #expect(video.map(\.payload) == [Self.sets] + sent[0..<6] + [Self.sets] + sent[6...])
        #expect(video[0].header.timestamp == video[1].header.timestamp && !video[0].header.marker)
        // Lost, they come again.
        let sets = video[7].header.sequence
        viewer.askAgain([sets], of: LoopBed.viewerVideo)
        #expect(viewer.run { $0.encrypted.filter { $0[2] == UInt8(sets >> 8) && $0[3] == UInt8(sets & 0xFF) }.count == 2 })
        var read: [[UInt8]] = []
        tap.drain { event in
            if case .packet(_, _, _, _, _, let payload) = event { read.append(Array(payload)) }
        }
        #expect(read == video.map(\.payload))
        await bed.plane.shutdown()
    }

    @Test("a source that sends its own is left as it is")
    func own() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher(tracks: Self.tracks)
        let (viewer, _) = try await bed.viewer()
        var encoder = Encoder()
        publisher.sendMedia(
            payloadType: 96, sequence: encoder.sequence, timestamp: encoder.timestamp, ssrc: LoopBed.videoSSRC,
            payload: [0x67, 0x4D, 0, 0x1E, 1])
        encoder.sequence &+= 1
        encoder.frame(publisher, key: true)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 4 })
        for isKey in [false, true] { encoder.frame(publisher, key: isKey) }
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 10 })
        #expect(!viewer.packets(LoopBed.viewerVideo).contains { $0.payload == Self.sets })
        await bed.plane.shutdown()
    }

    @Test("sets before pictures that are no keyframes are nothing to begin at; a joiner begins at those of the keyframe")
    func everywhere() async throws {
        let bed = try LoopBed()
        let (publisher, _) = try await bed.publisher()
        let (viewer, _) = try await bed.viewer()
        var encoder = Encoder()
        func sets() {
            let payload: [UInt8] = [0x67, 0x42, 0xC0, 0x1E, UInt8(encoder.sequence & 0xFF)]
            encoder.sentPayloads.append(payload)
            encoder.video(publisher, payload, marker: false)
            encoder.sequence &+= 1
        }
        for isKey in [false, false, true, false] {
            sets()
            encoder.frame(publisher, key: isKey)
        }
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count >= 8 })
        #expect(viewer.packets(LoopBed.viewerVideo).map(\.payload) == Array(encoder.sentPayloads[8...]))
        await bed.plane.shutdown()
    }
}
