import Testing

@testable import SDP

@Suite("Data channels in answers (RFC 8841, RFC 9143 section 7.3)")
struct DataChannelTests {
    private func watch(_ offer: String, messageBytes: Int? = 65_536) throws -> SubscribeAnswer {
        try SubscribeAnswer(
            offer: SessionDescription(parsing: offer),
            stream: [SourceTrack(kind: .video, codec: .h264), SourceTrack(kind: .audio, codec: .opus)],
            dataMessageBytes: messageBytes
        ) { .random(in: 1 ... .max) }
    }

    private func section(_ answer: String) throws -> MediaDescription {
        try #require(try SessionDescription(parsing: answer).media.first { $0.kind == .application })
    }

    @Test("a section before the media, and one behind it, is accepted with port, size and a place in the bundle")
    func accepted() throws {
        let player = try watch(OfferCorpus.chromePlayer.text)
        let publisher = try PublishAnswer(offer: SessionDescription(parsing: OfferCorpus.chrome.text), dataMessageBytes: 1000)
        for (text, offer, direction) in [
            (player.sdp(local: OfferCorpus.local), OfferCorpus.chromePlayer, "sendonly"),
            (publisher.sdp(local: OfferCorpus.local), OfferCorpus.chrome, "recvonly"),
        ] {
            #expect(text.contains("a=group:BUNDLE 0 1 2\r\n"))
            let section = try section(text)
            #expect(section.port == 9 && section.formats == ["webrtc-datachannel"])
            #expect(section.first("sctp-port") == "5000")
            #expect(!section.has("rtcp-mux") && !section.has(direction))
            try checkAnswer(text, to: offer.description, direction: direction, setup: .passive)
        }
        #expect(player.remote.dataChannels?.port == 5000 && player.remote.dataChannels?.messageBytes == 65_536)
        #expect(publisher.remote.dataChannels?.messageBytes == 262_144)
        #expect(try section(publisher.sdp(local: OfferCorpus.local)).first("max-message-size") == "1000")
    }

    @Test(
        "what is no SCTP over DTLS as WebRTC has it, or outside of the bundle, is rejected, and the media accepted",
        arguments: [
            ("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "m=application 9 DTLS/SCTP 5000"),
            ("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "m=application 0 UDP/DTLS/SCTP webrtc-datachannel"),
            ("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "m=application 9 UDP/BFCP webrtc-datachannel"),
            ("a=sctp-port:5000", "a=sctp-port:0"), ("a=sctp-port:5000", "a=sctp-port:65536"),
            ("a=sctp-port:5000", "a=max-message-size:x"), ("a=sctp-port:5000", "a=max-message-size:9223372036854775808"),
            ("a=sctp-port:5000", "a=max-message-size:99999999999999999999"), ("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 1 2"),
        ])
    func rejected(line: String, replacement: String) throws {
        let offer = OfferCorpus.chromePlayer.text.replacingLine(line, with: replacement)
        let answer = try watch(offer)
        #expect(answer.tracks.count == 2 && answer.remote.dataChannels == nil)
        let text = answer.sdp(local: OfferCorpus.local)
        #expect(try section(text).port == 0 && text.contains("a=group:BUNDLE 1 2\r\n"))
    }

    @Test("sizes as RFC 8841 section 6.1 means them")
    func sizes() throws {
        func bytes(_ line: String) throws -> Int? {
            try watch(OfferCorpus.chromePlayer.text.replacingLine("a=sctp-port:5000", with: line)).remote.dataChannels?
                .messageBytes
        }
        #expect(try bytes("a=sctp-port:5000") == 65_536)
        #expect(try bytes("a=max-message-size:0") == .max)
        #expect(try bytes("a=max-message-size:16384") == 16_384)
        #expect(try bytes("a=max-message-size:9223372036854775807") == .max)
    }

    @Test("turned off it is rejected")
    func turnedOff() throws {
        let answer = try watch(OfferCorpus.chromePlayer.text, messageBytes: nil)
        #expect(try section(answer.sdp(local: OfferCorpus.local)).port == 0 && answer.remote.dataChannels == nil)
    }
}
