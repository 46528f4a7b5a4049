import Testing

@testable import SDP

@Suite("WHEP answers (draft-ietf-wish-whep section 4, RFC 6184 section 8.2.2)")
struct SubscribeAnswerTests {
    private static let stream = [
        SourceTrack(kind: .video, codec: .h264), SourceTrack(kind: .audio, codec: .opus),
    ]

    /// Chrome's offer in the corpus has retransmissions for it.
    private static let baseline = SourceTrack(
        kind: .video, codec: Codec(name: "H264", clockRate: 90000, fmtp: "packetization-mode=1;profile-level-id=42001f"))

    private static func counter() -> () -> UInt32 {
        var next: UInt32 = 1000
        return {
            next += 1
            return next
        }
    }

    private func answer(
        _ text: String, _ stream: [SourceTrack] = stream, reports: PathReportPolicy = .layers
    ) throws -> SubscribeAnswer {
        try SubscribeAnswer(
            offer: SessionDescription(parsing: text), stream: stream, reports: reports, randomSSRC: Self.counter())
    }

    @Test("every player's offer gets an answer that keeps the rules", arguments: OfferCorpus.players)
    func corpus(_ sample: ClientOfferSample) throws {
        let offer = try sample.description
        let answer = try answer(sample.text)
        #expect(answer.tracks.count == 2)
        #expect(Set(answer.tracks.map(\.cname)).count == 1)
        #expect(Set(answer.tracks.compactMap(\.ssrc)).count == 2)
        #expect(answer.tracks.allSatisfy { $0.extensions.transportCC == nil && !$0.feedback.transportCC })
        let text = answer.sdp(local: OfferCorpus.local)
        try checkAnswer(text, to: offer, direction: "sendonly", setup: answer.ourSetup)
        let sections = try SessionDescription(parsing: text).media.filter { $0.port != 0 }
        let streamIDs = sections.compactMap { $0.first("msid")?.split(separator: " ").first }
        #expect(Set(streamIDs).count == 1 && streamIDs.count == 2)
        for (section, track) in zip(sections, answer.tracks) {
            let ssrc = try #require(track.ssrc)
            #expect(section.all("ssrc").first == "\(ssrc) cname:\(track.cname)")
            #expect(section.all("ssrc").allSatisfy { $0.contains(":") })
            try Self.checkRetransmission(section, track)
        }
    }

    /// Declared are the media's SSRC and that of its retransmissions, in this order and no other (RFC 4588 section 8.8, RFC 5576).
    private static func checkRetransmission(_ section: MediaDescription, _ track: NegotiatedTrack) throws {
        let declared = section.all("ssrc").map { $0.prefix { $0 != " " } }.reduce(into: [Substring]()) {
            if !$0.contains($1) { $0.append($1) }
        }
        #expect(declared == [track.ssrc, track.rtxSSRC].compactMap { $0.map { "\($0)" } })
        #expect((track.rtxSSRC == nil) == (track.rtxPayloadType == nil))
        let formats = [track.payloadType, track.rtxPayloadType, track.redPayloadType]
        #expect(section.formats == formats.compactMap { $0.map { "\($0)" } })
        guard let rtx = track.rtxPayloadType, let ssrc = track.ssrc, let rtxSSRC = track.rtxSSRC else {
            #expect(section.all("ssrc-group").isEmpty && !section.all("rtpmap").contains { $0.contains("rtx/") })
            return
        }
        #expect(section.all("ssrc-group") == ["FID \(ssrc) \(rtxSSRC)"])
        #expect(section.all("rtpmap").contains("\(rtx) rtx/90000"))
        #expect(section.all("fmtp").contains("\(rtx) apt=\(track.payloadType)"))
    }

    @Test(
        "retransmissions are answered when they are offered for the payload type taken, and can be asked for",
        arguments: [
            ("a=mid:1", "a=mid:1", UInt8?(104)), ("a=fmtp:104 apt=103", "a=fmtp:104 apt=107", nil),
            ("a=fmtp:104 apt=103", nil, nil), ("a=rtpmap:104 rtx/90000", nil, nil), ("a=rtcp-fb:103 nack", nil, nil),
        ] as [(String, String?, UInt8?)])
    func retransmission(_ line: String, _ other: String?, _ expected: UInt8?) throws {
        let offer = OfferCorpus.chromePlayer.text.replacingLine(line, with: other)
        let track = try #require(try answer(offer, [Self.baseline]).tracks.first)
        #expect(track.payloadType == 103 && track.rtxPayloadType == expected)
        #expect((track.rtxSSRC == nil) == (expected == nil))
    }

    struct Reports: Sendable, CustomTestStringConvertible {
        let testDescription: String
        var hasLayers = true
        var policy = PathReportPolicy.layers
        /// Lines of Chrome's offer that aren't there.
        var without: [String] = []
        /// Of video and of audio.
        var transportCC = [false, false]
        var estimates = [false, false]
    }

    private static let transportCC = "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

    @Test(
        "a viewer reports on its path where that matters and nothing has to be sent twice as it was",
        arguments: [
            Reports(testDescription: "one layer", hasLayers: false),
            Reports(testDescription: "never", policy: .never),
            Reports(testDescription: "always", hasLayers: false, policy: .always, transportCC: [true, true]),
            Reports(testDescription: "layers", transportCC: [true, true]),
            Reports(testDescription: "no retransmissions", without: ["a=rtpmap:104 rtx/90000"]),
            Reports(testDescription: "no loss reports", without: ["a=rtcp-fb:103 nack"]),
            Reports(testDescription: "no arrivals", without: ["a=rtcp-fb:103 transport-cc"], estimates: [true, false]),
            Reports(testDescription: "no numbers", without: [transportCC], estimates: [true, false]),
            Reports(
                testDescription: "neither", without: ["a=rtcp-fb:103 transport-cc", "a=rtcp-fb:103 goog-remb"]),
            Reports(
                testDescription: "sound without", without: ["a=rtcp-fb:111 transport-cc"], transportCC: [true, false]),
        ])
    func pathReports(_ sample: Reports) throws {
        let offer = sample.without.reduce(OfferCorpus.chromePlayer.text) { $0.replacingLine($1, with: nil) }
        let video = SourceTrack(kind: .video, codec: Self.baseline.codec, hasLayers: sample.hasLayers)
        let answer = try answer(offer, [video, SourceTrack(kind: .audio, codec: .opus)], reports: sample.policy)
        let tracks = answer.tracks.sorted { $0.kind == .video && $1.kind == .audio }
        #expect(tracks.map(\.feedback.transportCC) == sample.transportCC)
        #expect(tracks.map { $0.extensions.transportCC != nil } == sample.transportCC)
        #expect(tracks.map(\.feedback.remb) == sample.estimates)
        #expect(tracks.map { $0.extensions.absSendTime != nil } == sample.estimates)
        let text = answer.sdp(local: OfferCorpus.local)
        #expect(text.contains("a=rtcp-fb:103 transport-cc\r\n") == sample.transportCC[0])
        #expect(text.contains("a=rtcp-fb:103 goog-remb\r\n") == sample.estimates[0])
    }

    @Test("a data channel before the media is rejected and the bundle leaves it out")
    func dataChannel() throws {
        let text = try answer(OfferCorpus.chromePlayer.text).sdp(local: OfferCorpus.local)
        #expect(text.contains("a=group:BUNDLE 1 2\r\n"))
        #expect(text.contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"))
    }

    @Test(
        "AAC goes to who names its clock and channels and no other configuration",
        arguments: [
            ("48000/2", "mode=AAC-hbr", true), ("48000/2", "", true), ("48000/2", "mode=aac-hbr; config=1190", true),
            ("48000/2", "config=1210", false), ("44100/2", "", false), ("48000", "", false), ("48000/6", "", false),
            ("4800/2", "", false), ("48000/9", "", false), ("48000/2", "mode=CELP-cbr", false),
        ])
    func aac(rate: String, parameters: String, isTaken: Bool) throws {
        let source = Codec(
            name: "MPEG4-GENERIC", clockRate: 48000, channels: 2,
            fmtp: "streamtype=5;mode=AAC-hbr;config=1190;sizeLength=13;indexLength=3;indexDeltaLength=3")
        let offer = OfferCorpus.chromePlayer.text.replacingLine(
            "a=rtpmap:111 opus/48000/2", with: "a=rtpmap:111 mpeg4-generic/\(rate)"
        )
        .replacing("a=fmtp:111 minptime=10;useinbandfec=1", with: parameters.isEmpty ? "a=ptime:20" : "a=fmtp:111 \(parameters)")
        let stream = [SourceTrack(kind: .audio, codec: source)]
        guard isTaken else {
            #expect(throws: SDPError.self) { try answer(offer, stream) }
            return
        }
        let text = try answer(offer, stream).sdp(local: OfferCorpus.local)
        #expect(text.contains("a=rtpmap:111 MPEG4-GENERIC/48000/2\r\n"))
        #expect(
            text.contains(
                "a=fmtp:111 streamtype=5;mode=AAC-hbr;config=1190;sizelength=13;indexlength=3;indexdeltalength=3\r\n"))
    }

    @Test(
        "the viewer's payload type with the stream's profile is taken",
        arguments: [
            ("42e01f", "1", UInt8(109)), ("42001f", "1", 103), ("4d0028", "1", 39), ("640c1f", "1", 100), ("64001F", "1", 100),
            ("42c020", "1", 109), ("422001f", "1", 103), ("42001f", "0", 107), ("42e01f", "0", 107),
        ])
    func profiles(_ profile: String, _ mode: String, _ expected: UInt8) throws {
        let codec = Codec(name: "H264", clockRate: 90000, fmtp: "packetization-mode=\(mode);profile-level-id=\(profile)")
        let tracks = try answer(OfferCorpus.chromePlayer.text, [SourceTrack(kind: .video, codec: codec)]).tracks
        #expect(tracks.map(\.payloadType) == [expected])
    }

    @Test("a viewer with High only plays a Baseline stream; one with mode 0 only does not play mode 1")
    func superset() throws {
        let only = OfferCorpus.chromePlayer.text
            .replacingLine("m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 107 109 39 100", with: "m=video 9 UDP/TLS/RTP/SAVPF 96 100")
        #expect(try answer(only).tracks.map(\.payloadType) == [100, 111])
        let modeZero = OfferCorpus.chromePlayer.text
            .replacingLine("m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 107 109 39 100", with: "m=video 9 UDP/TLS/RTP/SAVPF 96 107")
        let obstacle = try #require(throws: SDPError.self) { try answer(modeZero) }
        // Who reads it learns what the stream is.
        let stream = "no common video codec: the stream is H264 (\(Self.stream[0].codec.fmtp)), and the offer has other profiles"
        #expect("\(obstacle)".contains(stream))
    }

    @Test("a viewer who names no H.264 parameters gets what there is and is told; one who names the stream's goes before")
    func unnamed() throws {
        let offer = OfferCorpus.chromePlayer.text
            .replacingLine("m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 107 109 39 100", with: "m=video 9 UDP/TLS/RTP/SAVPF 96 100")
        let none = offer.removingLines("a=fmtp:100 ")
        let source = Codec(name: "H264", clockRate: 90000, fmtp: "packetization-mode=1;profile-level-id=640028")
        let result = try answer(none, [SourceTrack(kind: .video, codec: source)])
        #expect(result.tracks.map(\.payloadType) == [100])
        #expect(
            result.sdp(local: OfferCorpus.local).contains("a=fmtp:100 packetization-mode=1;profile-level-id=640028\r\n"))
        let both = OfferCorpus.chromePlayer.text.removingLines("a=fmtp:103 ")
        #expect(try answer(both).tracks.first?.payloadType != 103)
    }

    @Test("a stream without audio leaves the audio section rejected")
    func videoOnly() throws {
        let result = try answer(OfferCorpus.chromePlayer.text, [SourceTrack(kind: .video, codec: .h264)])
        #expect(result.tracks.map(\.kind) == [.video])
        #expect(result.sdp(local: OfferCorpus.local).contains("m=audio 0 "))
    }

    private static func without(_ kind: String, _ stream: String) -> String {
        "no common \(kind) codec: the stream is \(stream), and the offer has none; the publisher can send another codec"
    }

    @Test("sound that the viewer cannot play leaves the picture, and alone is an error")
    func silent() throws {
        let aac = SourceTrack(
            kind: .audio, codec: Codec(name: "MPEG4-GENERIC", clockRate: 48000, channels: 2, fmtp: "config=1190"))
        #expect(try answer(OfferCorpus.chromePlayer.text, [Self.stream[0], aac]).tracks.map(\.kind) == [.video])
        #expect(throws: SDPError.unacceptable(Self.without("audio", "MPEG4-GENERIC (config=1190)"))) {
            try answer(OfferCorpus.chromePlayer.text, [aac])
        }
    }

    @Test("video that the viewer cannot play is an error, not a black picture")
    func black() throws {
        let vp9 = Codec(name: "VP9", clockRate: 90000)
        #expect(throws: SDPError.unacceptable(Self.without("video", "VP9"))) {
            try answer(OfferCorpus.chromePlayer.text, [SourceTrack(kind: .video, codec: vp9), Self.stream[1]])
        }
    }

    @Test("sections that only send, and streams with nothing wanted, are unacceptable")
    func nothing() throws {
        #expect(throws: SDPError.unacceptable("a section that does not receive")) { try answer(OfferCorpus.chrome.text) }
        #expect(throws: SDPError.unacceptable("nothing of the stream is asked for")) {
            try answer(OfferCorpus.ffmpeg.text.replacingSendonly(), [Self.stream[1]])
        }
    }

    @Test(
        "Opus answers ask the player for stereo unless the publisher is mono",
        arguments: [("", true), ("stereo=1", true), ("sprop-stereo=0", false)])
    func stereo(_ fmtp: String, _ isStereo: Bool) throws {
        let opus = Codec(name: "opus", clockRate: 48000, channels: 2, fmtp: fmtp)
        let text = try answer(OfferCorpus.chromePlayer.text, [SourceTrack(kind: .audio, codec: opus)]).sdp(
            local: OfferCorpus.local)
        #expect(text.contains("a=fmtp:111 minptime=10;useinbandfec=1\(isStereo ? ";stereo=1;sprop-stereo=1" : "")\r\n"))
    }

    @Test("a generator that repeats itself still yields distinct SSRCs, none of them 0")
    func uniqueSources() throws {
        let result = try SubscribeAnswer(
            offer: SessionDescription(parsing: OfferCorpus.chromePlayer.text), stream: [Self.baseline, Self.stream[1]],
            randomSSRC: { 0 })
        #expect(result.tracks.flatMap { [$0.ssrc, $0.rtxSSRC] } == [1, 2, 3, nil])
    }
}
