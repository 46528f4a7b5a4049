import Testing

@testable import SDP

@Suite("Client side: our offer, the server's answer (RFC 9725 section 4.2)")
struct ClientOfferTests {
    private func counter() -> () -> UInt32 {
        var next: UInt32 = 77
        return {
            next += 1
            return next
        }
    }

    @Test("our publish offer meets our publish answer")
    func publish() throws {
        let offer = PublishOffer(codecs: [.opus, .h264], randomSSRC: counter())
        let answer = try PublishAnswer(offer: SessionDescription(parsing: offer.sdp(local: OfferCorpus.local)))
        #expect(answer.ourSetup == .passive)
        #expect(answer.tracks.map(\.ssrc) == offer.tracks.map(\.ssrc))
        let session = try offer.accept(answer: SessionDescription(parsing: answer.sdp(local: OfferCorpus.local)))
        #expect(session.ourSetup == .active)
        #expect(session.remote.isICELite)
        #expect(session.remote.candidates.map(\.address) == ["192.0.2.10", "198.51.100.7", "2001:db8::5"])
        #expect(session.remote.ice == OfferCorpus.local.ice)
        #expect(session.tracks.map(\.payloadType) == answer.tracks.map(\.payloadType))
        #expect(session.tracks.allSatisfy { $0.extensions.mid == 1 && $0.extensions.transportCC == 2 })
    }

    @Test("our subscribe offer meets our subscribe answer")
    func subscribe() throws {
        let offer = SubscribeOffer(codecs: [.h264, Codec(name: "VP8", clockRate: 90000), .opus])
        let stream = [
            SourceTrack(kind: .audio, codec: .opus), SourceTrack(kind: .video, codec: Codec(name: "VP8", clockRate: 90000)),
        ]
        let answer = try SubscribeAnswer(
            offer: SessionDescription(parsing: offer.sdp(local: OfferCorpus.local)), stream: stream, randomSSRC: counter())
        let session = try offer.accept(answer: SessionDescription(parsing: answer.sdp(local: OfferCorpus.local)))
        #expect(session.tracks.map(\.codec.name) == ["VP8", "opus"])
        #expect(session.tracks.map(\.ssrc) == answer.tracks.map(\.ssrc))
        #expect(session.tracks.map(\.cname) == answer.tracks.map(\.cname))
    }

    @Test("an answer that rejects everything, has other sections or another codec is not taken")
    func refused() throws {
        let offer = PublishOffer(codecs: [.h264], randomSSRC: counter())
        let good = try PublishAnswer(offer: SessionDescription(parsing: offer.sdp(local: OfferCorpus.local)))
            .sdp(local: OfferCorpus.local)
        let line = "m=video 9 UDP/TLS/RTP/SAVPF 96"
        let bad = [
            good.replacingLine(line, with: "m=video 0 UDP/TLS/RTP/SAVPF 96"), good + line + "\r\n",
            good.replacingLine("a=rtpmap:96 H264/90000", with: "a=rtpmap:96 VP8/90000"),
            good.replacingLine("a=recvonly", with: "a=inactive"),
        ]
        for text in bad {
            #expect(throws: SDPError.self) { try offer.accept(answer: SessionDescription(parsing: text)) }
        }
    }
}
