import Testing

@testable import SDP

@Suite("Between nodes: offers that take a stream as it is, answers that are judged")
struct RelayOfferTests {
    private static let sources: [Codec] =
        ["42e01f", "42001f", "4d0028", "640c1f", "640032"].map {
            Codec(name: "H264", clockRate: 90000, fmtp: "packetization-mode=1;profile-level-id=\($0)")
        } + [
            Codec(name: "H264", clockRate: 90000, fmtp: "packetization-mode=0;profile-level-id=42e01f"),
            Codec(name: "H265", clockRate: 90000, fmtp: "profile-id=1"), Codec(name: "H265", clockRate: 90000),
            Codec(name: "VP8", clockRate: 90000), Codec(name: "VP9", clockRate: 90000, fmtp: "profile-id=2"),
            Codec(name: "AV1", clockRate: 90000), Codec(name: "AV1", clockRate: 90000, fmtp: "profile=1"),
            .opus, Codec(name: "PCMU", clockRate: 8000), Codec(name: "PCMA", clockRate: 8000),
            Codec(name: "G722", clockRate: 8000),
            Codec(
                name: "multiopus", clockRate: 48000, channels: 6,
                fmtp: "channel_mapping=0,4,1,2,3,5;coupled_streams=2;num_streams=4"),
            Codec(name: "MPEG4-GENERIC", clockRate: 44100, channels: 2, fmtp: "config=1210;mode=AAC-hbr;sizelength=13"),
        ]

    @Test("whatever a stream has, it can be pulled as it is", arguments: sources)
    func pull(codec: Codec) throws {
        let kind = try #require(codec.kind)
        let offer = SubscribeOffer.relay()
        let text = offer.sdp(local: OfferCorpus.local)
        let answer = try SubscribeAnswer(
            offer: SessionDescription(parsing: text), stream: [SourceTrack(kind: kind, codec: codec)], randomSSRC: { 77 })
        let session = try offer.accept(answer: SessionDescription(parsing: answer.sdp(local: OfferCorpus.local)))
        let track = try #require(session.tracks.first)
        #expect(session.tracks.count == 1 && track.codec.name == codec.name && track.ssrc == 77)
        #expect(track.codec.distance(toSource: codec) != nil)
        for key in ["config", "channel_mapping"] { #expect(track.codec.parameter(key) == codec.parameter(key)) }
        #expect(track.extensions.mid == 1)
        #expect(track.extensions.audioLevel == (kind == .audio ? 3 : nil))
        #expect(track.extensions.videoOrientation == (kind == .video ? 4 : nil))
        #expect(session.ourSetup == .active && session.remote.isICELite)
    }

    @Test("payload types differ, and each video codec has one for retransmissions")
    func payloadTypes() throws {
        let description = try SessionDescription(parsing: SubscribeOffer.relay().sdp(local: OfferCorpus.local))
        let formats = description.media.flatMap(\.formats)
        #expect(Set(formats).count == formats.count)
        #expect(description.media[0].formats.count == 24)
        let answer = try PublishAnswer(offer: SessionDescription(parsing: Self.asPublisher(description)), supported: .all)
        #expect(answer.tracks.first?.rtxPayloadType == 112)
        #expect(SubscribeOffer.relay(CodecPolicy(["opus"])).sdp(local: OfferCorpus.local).contains("m=video") == false)
    }

    private static func asPublisher(_ description: SessionDescription) -> String {
        description.serialized().replacing("a=recvonly", with: "a=sendonly")
    }

    @Test("a pushed stream is offered as it is, without a transport sequence number", arguments: sources)
    func push(codec: Codec) throws {
        let kind = try #require(codec.kind)
        let offer = PublishOffer.relay([SourceTrack(kind: kind, codec: codec)]) { 5 }
        let text = offer.sdp(local: OfferCorpus.local)
        #expect(!text.contains("transport-wide-cc") && !text.contains("transport-cc"))
        let answer = try PublishAnswer(offer: SessionDescription(parsing: text), supported: .all)
        let session = try offer.accept(answer: SessionDescription(parsing: answer.sdp(local: OfferCorpus.local)))
        #expect(session.tracks.map(\.codec) == [codec])
        #expect(answer.tracks.first?.codec.distance(toSource: codec) == 0)
        let (sent, received) = (try #require(session.tracks.first), try #require(answer.tracks.first))
        #expect(sent.rtxPayloadType == (kind == .video ? 112 : nil) && received.rtxPayloadType == sent.rtxPayloadType)
        #expect(sent.rtxSSRC == (kind == .video ? 6 : nil) && received.rtxSSRC == sent.rtxSSRC && received.ssrc == 5)
        // Where the other side takes no retransmissions of their own, there are none.
        let plain = answer.sdp(local: OfferCorpus.local).split(separator: "\r\n").filter {
            !$0.contains("rtx/") && !$0.contains("apt=")
        }
        let without = try offer.accept(answer: SessionDescription(parsing: plain.joined(separator: "\r\n") + "\r\n"))
        #expect(without.tracks.first?.rtxPayloadType == nil && without.tracks.first?.rtxSSRC == nil)
    }

    private static func answered() throws -> (SubscribeOffer, String) {
        let offer = SubscribeOffer.relay()
        var ssrc: UInt32 = 70
        let answer = try SubscribeAnswer(
            offer: SessionDescription(parsing: offer.sdp(local: OfferCorpus.local)),
            stream: [SourceTrack(kind: .video, codec: .h264), SourceTrack(kind: .audio, codec: .opus)],
            randomSSRC: {
                ssrc += 1
                return ssrc
            })
        return (offer, answer.sdp(local: OfferCorpus.local))
    }

    @Test(
        "an answer that does not fit the offer is not taken",
        arguments: [
            ("a=mid:0", "a=mid:7"), ("a=mid:0", "a=mid:1"), ("m=video 9", "m=audio 9"), ("UDP/TLS/RTP/SAVPF 96", "RTP/AVP 96"),
            ("a=rtcp-mux", "a=x"), ("a=rtpmap:96 H264", "a=rtpmap:96 VP8"), ("SAVPF 96", "SAVPF 35"),
            ("a=group:BUNDLE 0 1", "a=group:BUNDLE 0"), ("a=sendonly", "a=recvonly"), ("sha-256", "md5"),
            ("a=fingerprint:", "a=x:"), ("a=ice-pwd:", "a=x:"), ("a=ice-ufrag:", "a=ice-ufrag:!"),
        ])
    func hostile(line: String, other: String) throws {
        let (offer, good) = try Self.answered()
        #expect(try offer.accept(answer: SessionDescription(parsing: good)).tracks.count == 2)
        let bad = good.replacing(line, with: other)
        #expect(bad != good)
        #expect(throws: SDPError.self) { try offer.accept(answer: SessionDescription(parsing: bad)) }
    }

    @Test("one SSRC for two tracks is not taken")
    func sharedSource() throws {
        let (offer, good) = try Self.answered()
        let sources = good.split(separator: "\r\n").filter { $0.hasPrefix("a=ssrc:") }.map { $0.prefix { $0 != " " } }
        let (picture, sound) = (try #require(sources.first), try #require(sources.last))
        #expect(Set(sources).count == 3, "picture, its retransmissions, sound")
        let bad = good.replacing(sound, with: picture)
        #expect(throws: SDPError.self) { try offer.accept(answer: SessionDescription(parsing: bad)) }
    }
}
