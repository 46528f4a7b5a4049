import Testing

@testable import SDP

@Suite("WHIP answers (RFC 9725 section 4.2, 4.4)")
struct PublishAnswerTests {
    private func answer(_ text: String, _ policy: CodecPolicy = .h264AndOpus) throws -> PublishAnswer {
        try PublishAnswer(offer: SessionDescription(parsing: text), supported: policy)
    }

    @Test("every client's offer gets an answer that keeps the rules", arguments: OfferCorpus.publishers)
    func corpus(_ sample: ClientOfferSample) throws {
        let offer = try sample.description
        let answer = try PublishAnswer(offer: offer)
        #expect(answer.tracks.map(\.payloadType) == sample.published)
        #expect(answer.ourSetup == sample.publishedSetup)
        #expect(answer.remote.fingerprints.first?.algorithm == "sha-256")
        try checkAnswer(answer.sdp(local: OfferCorpus.local), to: offer, direction: "recvonly", setup: sample.publishedSetup)
    }

    @Test("Chrome's tracks carry ids, SSRCs, retransmission and feedback")
    func chrome() throws {
        let tracks = try answer(OfferCorpus.chrome.text).tracks
        #expect(tracks.count == 2)
        let (audio, video) = (tracks[0], tracks[1])
        #expect(audio.codec == Codec(name: "opus", clockRate: 48000, channels: 2, fmtp: "minptime=10;useinbandfec=1"))
        #expect(audio.extensions.audioLevel == 1 && audio.extensions.transportCC == 3 && audio.extensions.mid == 4)
        #expect(audio.extensions.absSendTime == nil)
        #expect(audio.feedback == FeedbackMessages(transportCC: true))
        #expect(audio.ssrc == 3_735_928_559 && audio.cname == "e9BfyyxyWXT3LTg5")
        #expect(video.rtxPayloadType == 104 && video.ssrc == 1_111_111_111 && video.rtxSSRC == 2_222_222_222)
        #expect(video.extensions.videoOrientation == 13 && video.extensions.rid == nil)
        #expect(video.feedback == FeedbackMessages(nack: true, pli: true, fir: true, transportCC: true))
    }

    @Test("without the transport-cc extension there is no transport-cc feedback, and the other way round")
    func transportCCTogether() throws {
        let noExtension = OfferCorpus.chrome.text.removingLines("a=extmap:3 ")
        let noFeedback = OfferCorpus.chrome.text.removingLines("a=rtcp-fb:103 transport-cc")
        for text in [noExtension, noFeedback] {
            let video = try #require(try answer(text).tracks.last)
            #expect(video.extensions.transportCC == nil && !video.feedback.transportCC)
        }
    }

    @Test("REMB is agreed on with senders that offer it and no transport-cc, and with nobody else")
    func estimate() throws {
        let obs = try answer(OfferCorpus.obs.text)
        #expect(obs.tracks.last?.feedback == FeedbackMessages(nack: true, pli: true, remb: true))
        #expect(obs.sdp(local: OfferCorpus.local).contains("a=rtcp-fb:96 goog-remb\r\n"))
        let chrome = try answer(OfferCorpus.chrome.text)
        #expect(!chrome.tracks.contains { $0.feedback.remb } && chrome.tracks.allSatisfy { $0.feedback.transportCC })
        #expect(!chrome.sdp(local: OfferCorpus.local).contains("goog-remb"))
    }

    @Test("ffmpeg's slips are understood: colon-less feedback, seven profile digits, a missing bundle member")
    func ffmpeg() throws {
        let result = try answer(OfferCorpus.ffmpeg.text)
        #expect(result.tracks.first?.feedback == FeedbackMessages(nack: true))
        let text = result.sdp(local: OfferCorpus.local)
        #expect(text.contains("a=group:BUNDLE 1\r\n"))
        #expect(text.contains("a=fmtp:106 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=422001f\r\n"))
        #expect(text.contains("a=setup:active\r\n"))
    }

    @Test("sender-only parameters are kept for the recorder and left out of the answer")
    func parameterSets() throws {
        let result = try answer(OfferCorpus.gstreamer.text)
        #expect(result.tracks.first?.codec.parameter("sprop-parameter-sets") == "Z0LAH9oBQBboQA==,aM4yyA==")
        #expect(!result.sdp(local: OfferCorpus.local).contains("sprop-parameter-sets"))
        #expect(result.tracks.first?.feedback == FeedbackMessages(nack: true, pli: true, fir: true, transportCC: true))
        #expect(result.tracks.first?.ssrc == nil)
    }

    @Test("an offer without BUNDLE and one section works")
    func noBundle() throws {
        let text = OfferCorpus.ffmpeg.text.removingLines("a=group")
        let offer = try SessionDescription(parsing: text)
        try checkAnswer(answer(text).sdp(local: OfferCorpus.local), to: offer, direction: "recvonly", setup: .active)
    }

    @Test("other codecs of the table are taken when the policy has them")
    func policy() throws {
        #expect(try answer(OfferCorpus.chrome.text, .all).tracks.map(\.codec.name) == ["opus", "VP8"])
        #expect(try answer(OfferCorpus.chrome.text, CodecPolicy(["AV1", "PCMA"])).tracks.map(\.payloadType) == [8, 45])
        #expect(try answer(OfferCorpus.chrome.text, CodecPolicy(["VP9", "G722"])).tracks.map(\.payloadType) == [9, 98])
        let statics = OfferCorpus.chrome.text.removingLines("a=rtpmap:0 ").removingLines("a=rtpmap:8 ")
        #expect(try answer(statics, CodecPolicy(["H264", "PCMU"])).tracks.first?.codec.name == "PCMU")
    }

    @Test("the sender's order decides among all that is forwarded", arguments: ["H264", "VP8", "VP9", "AV1"])
    func preference(name: String) throws {
        let offer = OfferCorpus.chrome.text
        #expect(try answer(offer, .standard).tracks.map(\.codec.name) == ["opus", "VP8"])
        let line = try #require(offer.split(separator: "\r\n").first { $0.hasPrefix("m=video") })
        let codec = try #require(try answer(offer, CodecPolicy([name, "opus"])).tracks.first { $0.kind == .video }?.payloadType)
        let types = line.split(separator: " ").dropFirst(3).map(String.init)
        let preferred = ["\(codec)"] + types.filter { $0 != "\(codec)" }
        let reordered = offer.replacingLine(
            String(line), with: (line.split(separator: " ").prefix(3).map(String.init) + preferred).joined(separator: " "))
        #expect(try answer(reordered, .standard).tracks.map(\.codec.name) == ["opus", name])
    }

    @Test(
        "what makes an offer unacceptable",
        arguments: [
            ("recvonly", OfferCorpus.chrome.text.replacingSendonly()),
            ("inactive", OfferCorpus.obs.text.replacingLine("a=sendonly", with: "a=inactive")),
            (
                "no common video codec",
                OfferCorpus.obs.text.replacingLine("a=rtpmap:96 H264/90000", with: "a=rtpmap:96 VP8/90000")
            ),
            (
                "no common audio codec",
                OfferCorpus.obs.text.replacingLine("a=rtpmap:111 opus/48000/2", with: "a=rtpmap:111 L16/8000")
            ),
            (
                "opus with one channel",
                OfferCorpus.obs.text.replacingLine("a=rtpmap:111 opus/48000/2", with: "a=rtpmap:111 opus/48000")
            ),
            ("holdconn", OfferCorpus.obs.text.replacingLine("a=setup:actpass", with: "a=setup:holdconn")),
            ("no rtcp-mux", OfferCorpus.obs.text.removingLines("a=rtcp-mux")),
            ("two streams", OfferCorpus.obs.text.replacingLine("a=msid:r4Xm r4Xm-video", with: "a=msid:other r4Xm-video")),
            (
                "plain RTP",
                OfferCorpus.ffmpeg.text.replacingLine("m=video 9 UDP/TLS/RTP/SAVPF 106", with: "m=video 9 RTP/AVP 106")
            ),
            (
                "only sha-1",
                OfferCorpus.obs.text.replacingLine(
                    "a=fingerprint:sha-256 \(OfferCorpus.fingerprint)",
                    with: "a=fingerprint:sha-1 \(OfferCorpus.fingerprint.prefix(59))")
            ),
            (
                "one SSRC for both",
                OfferCorpus.obs.text
                    .replacingLine("a=ssrc:1730131414 cname:r4Xm", with: "a=ssrc:1730131413 cname:r4Xm")
                    .replacingLine("a=ssrc:1730131414 msid:r4Xm r4Xm-video", with: nil)
            ),
            ("SSRC 0", OfferCorpus.ffmpeg.text.replacingLine("a=ssrc:2573908461 cname:FFmpeg", with: "a=ssrc:0 cname:FFmpeg")),
            (
                "retransmissions on the source itself",
                OfferCorpus.pion.text.replacingLine(
                    "a=ssrc-group:FID 2921548107 1193046471", with: "a=ssrc-group:FID 2921548107 2921548107")
            ),
            (
                "retransmissions on source 0",
                OfferCorpus.pion.text.replacingLine(
                    "a=ssrc-group:FID 2921548107 1193046471", with: "a=ssrc-group:FID 2921548107 0")
            ),
            (
                "sound on the source of video's retransmissions",
                OfferCorpus.pion.text
                    .replacingLine("a=ssrc:718046209 cname:pion", with: "a=ssrc:1193046471 cname:pion")
                    .replacingLine("a=ssrc:718046209 msid:pion audio", with: nil)
            ),
            (
                "H264 among 64...95",
                OfferCorpus.ffmpeg.text
                    .replacingLine("m=video 9 UDP/TLS/RTP/SAVPF 106", with: "m=video 9 UDP/TLS/RTP/SAVPF 72")
                    .replacingLine("a=rtpmap:106 H264/90000", with: "a=rtpmap:72 H264/90000")
            ),
            (
                "only a data channel",
                OfferCorpus.chromePlayer.text.components(before: "m=video")
            ),
        ])
    func unacceptable(_ name: String, _ text: String) throws {
        let offer = try SessionDescription(parsing: text)
        do {
            _ = try PublishAnswer(offer: offer)
            Issue.record("accepted: \(name)")
        } catch {
            guard case .unacceptable = error else {
                Issue.record("\(name): \(error)")
                return
            }
        }
    }

    @Test(
        "what makes an offer malformed",
        arguments: [
            OfferCorpus.obs.text.removingLines("a=ice-ufrag"),
            OfferCorpus.obs.text.removingLines("a=ice-pwd"),
            OfferCorpus.obs.text.replacingLine("a=ice-ufrag:nsuL", with: "a=ice-ufrag:n:L"),
            OfferCorpus.obs.text.replacingLine("a=ice-pwd:nMCJOtJTyHQZUTDlZ0aHQx", with: "a=ice-pwd:short"),
            OfferCorpus.obs.text.removingLines("a=fingerprint"),
            OfferCorpus.obs.text.replacingLine("a=mid:1", with: "a=mid:0"),
            OfferCorpus.obs.text.replacingLine("a=mid:1", with: "a=mid:" + String(repeating: "x", count: 65)),
            OfferCorpus.chrome.text.replacingLine(
                "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", with: "a=extmap:4 urn:x"),
            OfferCorpus.chrome.text.replacingLine("a=rtpmap:97 rtx/90000", with: "a=rtpmap:96 rtx/90000"),
            OfferCorpus.obs.text.replacingLine("m=video 9 UDP/TLS/RTP/SAVPF 96", with: "m=video 9 UDP/TLS/RTP/SAVPF 96 96"),
            OfferCorpus.obs.text.components(before: "m=audio"),
        ])
    func malformed(_ text: String) throws {
        let offer = try SessionDescription(parsing: text)
        do {
            _ = try PublishAnswer(offer: offer)
            Issue.record("accepted")
        } catch {
            guard case .malformed = error else {
                Issue.record("\(error)")
                return
            }
        }
    }

    @Test("a section the client disabled is rejected, not refused")
    func disabledSection() throws {
        let text = OfferCorpus.obs.text.replacingLine("m=audio 9 UDP/TLS/RTP/SAVPF 111", with: "m=audio 0 UDP/TLS/RTP/SAVPF 111")
        let result = try answer(text)
        #expect(result.tracks.map(\.kind) == [.video])
        try checkAnswer(
            result.sdp(local: OfferCorpus.local), to: SessionDescription(parsing: text), direction: "recvonly", setup: .passive)
    }

    @Test("retransmission loops are not followed")
    func rtxLoop() throws {
        let text = OfferCorpus.chrome.text.replacingLine("a=fmtp:104 apt=103", with: "a=fmtp:104 apt=104")
        #expect(try answer(text).tracks.last?.rtxPayloadType == nil)
    }
}

extension String {
    /// What stands before the first occurrence of `marker` at a line start.
    func components(before marker: String) -> String {
        split(separator: "\r\n").prefix { !$0.hasPrefix(marker) }.joined(separator: "\r\n") + "\r\n"
    }
}
