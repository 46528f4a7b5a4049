import Foundation
import Testing

@testable import SDP

/// An offer as a real client sent it; `make interop` records them. The file's name tells the client, its version, what it does and, of
/// a publisher, the codecs. libdatachannel's are of a program that sets it up as OBS Studio 32 does.
struct RecordedOffer: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let bytes: [UInt8]
    /// Codec names in lower case; nil when it plays.
    let published: [String]?
    let isLayered: Bool

    static let all: [RecordedOffer] = {
        guard let folder = Bundle.module.resourceURL?.appendingPathComponent("Offers"),
            let files = try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        else { return [] }
        return files.sorted { $0.path < $1.path }.compactMap { file in
            let words = file.deletingPathExtension().lastPathComponent.split(separator: "-").map(String.init)
            guard words.count >= 3, let data = try? Data(contentsOf: file) else { return nil }
            return RecordedOffer(
                testDescription: words.joined(separator: " "), bytes: Array(data),
                published: words[2] == "publish" ? words[3...].filter { $0 != "layers" } : nil,
                isLayered: words.contains("layers"))
        }
    }()
}

@Suite("Offers of real clients (RFC 9725 section 4.2, draft-ietf-wish-whep section 4)")
struct RecordedOfferTests {
    @Test("there are some of each client")
    func clients() {
        let names = Set(RecordedOffer.all.compactMap { $0.testDescription.split(separator: " ").first.map(String.init) })
        #expect(names == ["aiortc", "chromium", "ffmpeg", "firefox", "gstreamer", "libdatachannel"])
    }

    @Test(
        "publishers get their codecs and an answer that keeps the rules",
        arguments: RecordedOffer.all.filter { $0.published != nil })
    func publish(_ recorded: RecordedOffer) throws {
        let offer = try SessionDescription(parsing: recorded.bytes)
        let answer = try PublishAnswer(offer: offer, supported: .standard, dataMessageBytes: 65_536)
        #expect(Set(answer.tracks.map { $0.codec.name.lowercased() }) == Set(recorded.published ?? []))
        #expect(answer.tracks.contains { $0.layers.count == 3 } == recorded.isLayered)
        #expect((answer.remote.dataChannels != nil) == offer.media.contains { $0.kind == .application })
        let setup: SetupRole = recorded.testDescription.hasPrefix("ffmpeg") ? .active : .passive
        try checkAnswer(answer.sdp(local: OfferCorpus.local), to: offer, direction: "recvonly", setup: setup)
    }

    @Test("players get each stream that they can decode", arguments: RecordedOffer.all.filter { $0.published == nil })
    func play(_ recorded: RecordedOffer) throws {
        let offer = try SessionDescription(parsing: recorded.bytes)
        let names = offer.media.flatMap { $0.all("rtpmap") }.joined(separator: "\n").lowercased()
        let h264 = Codec(name: "H264", clockRate: 90000, fmtp: "packetization-mode=1;profile-level-id=42e01f")
        for video in [
            h264, Codec(name: "VP8", clockRate: 90000), Codec(name: "VP9", clockRate: 90000),
            Codec(name: "AV1", clockRate: 90000),
        ] {
            for sound in [Codec.opus, Codec(name: "PCMU", clockRate: 8000), Codec(name: "G722", clockRate: 8000)] {
                let stream = [SourceTrack(kind: .video, codec: video), SourceTrack(kind: .audio, codec: sound)]
                guard names.contains(" \(video.name.lowercased())/") else {
                    #expect(throws: SDPError.self) {
                        try SubscribeAnswer(offer: offer, stream: stream, dataMessageBytes: 65_536) { .random(in: 1 ... .max) }
                    }
                    continue
                }
                let answer = try SubscribeAnswer(offer: offer, stream: stream, dataMessageBytes: 65_536) {
                    .random(in: 1 ... .max)
                }
                #expect(Set(answer.tracks.map(\.codec.name)) == [video.name, sound.name])
                try checkAnswer(answer.sdp(local: OfferCorpus.local), to: offer, direction: "sendonly", setup: .passive)
            }
        }
    }
}
