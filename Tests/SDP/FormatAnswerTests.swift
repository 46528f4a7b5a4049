import Testing

@testable import SDP

@Suite("Several formats in one answer (RFC 3264 section 6.1), redundant audio data (RFC 2198 section 5)")
struct FormatAnswerTests {
    private static func recorded(_ name: String) throws -> SessionDescription {
        let offer = try #require(RecordedOffer.all.first { $0.testDescription == name }, "no such offer")
        return try SessionDescription(parsing: offer.bytes)
    }

    private static func subscribe(
        _ offer: SessionDescription, _ stream: [Codec], others: CodecPolicy = .standard, lateVideo: Bool = false
    ) throws -> SubscribeAnswer {
        var next: UInt32 = 1000
        return try SubscribeAnswer(
            offer: offer, stream: stream.map { SourceTrack(kind: $0.kind ?? .video, codec: $0) }, others: others,
            lateVideo: lateVideo
        ) {
            next += 1
            return next
        }
    }

    private static let vp8 = Codec(name: "VP8", clockRate: 90000)

    // MARK: Several formats

    @Test(
        "what the stream has comes first, then what else the viewer takes; the answer keeps the rules and below 8 KiB",
        arguments: RecordedOffer.all.filter { $0.published == nil })
    func listsOthers(_ recorded: RecordedOffer) throws {
        let offer = try SessionDescription(parsing: recorded.bytes)
        let offered = offer.media.flatMap { $0.all("rtpmap") }.joined(separator: "\n")
        let videos = [Codec.h264, Self.vp8].filter { offered.contains(" \($0.name)/") }
        for video in videos {
            let answer = try Self.subscribe(offer, [video, .opus])
            let text = answer.sdp(local: OfferCorpus.local)
            try checkAnswer(text, to: offer, direction: "sendonly", setup: .passive)
            let track = try #require(answer.tracks.first { $0.kind == .video })
            #expect(track.codec.name == video.name)
            let names = Set(([track.codec] + track.alternatives.map(\.codec)).map(\.name))
            #expect(names.isSuperset(of: videos.map(\.name)))
            let section = try #require(try SessionDescription(parsing: text).media.first { $0.kind == .video })
            #expect(section.formats.first == "\(track.payloadType)")
            #expect(Set(section.formats).count == section.formats.count)
            #expect(track.alternatives.count < SDPLimits.formatsAnswered)
            // All of them on the one source, and asked for again in the one way.
            #expect(track.alternatives.allSatisfy { ($0.rtxPayloadType == nil) == (track.rtxPayloadType == nil) })
            for format in track.alternatives {
                #expect(section.all("rtpmap").contains { $0.hasPrefix("\(format.payloadType) \(format.codec.name)/") })
                guard let rtx = format.rtxPayloadType else { continue }
                #expect(section.all("fmtp").contains("\(rtx) apt=\(format.payloadType)"))
            }
        }
    }

    @Test("only codecs that may be published are listed, none without being asked")
    func policy() throws {
        let offer = try Self.recorded("chromium 156 play")
        let none = try Self.subscribe(offer, [.h264, .opus], others: CodecPolicy([]))
        #expect(none.tracks.allSatisfy { $0.alternatives.isEmpty })
        let some = try Self.subscribe(offer, [.h264, .opus], others: CodecPolicy(["H264", "VP8", "opus"]))
        let video = try #require(some.tracks.first { $0.kind == .video })
        #expect(Set(video.alternatives.map(\.codec.name)) == ["H264", "VP8"])
    }

    @Test("sound of another clock rate is no alternative")
    func clockRate() throws {
        let offer = try Self.recorded("chromium 156 play")
        let opus = try #require(try Self.subscribe(offer, [.opus]).tracks.first { $0.kind == .audio })
        #expect(opus.alternatives.allSatisfy { $0.codec.clockRate == 48000 })
        let telephone = Codec(name: "PCMU", clockRate: 8000)
        let pcmu = try #require(try Self.subscribe(offer, [telephone]).tracks.first { $0.kind == .audio })
        #expect(!pcmu.alternatives.isEmpty && pcmu.alternatives.allSatisfy { $0.codec.clockRate == 8000 })
    }

    @Test("no alternative is what only an answer could describe, or what is repaired in another way")
    func untold() throws {
        func sound(_ lines: [String], rtx: String = "") throws -> NegotiatedTrack {
            let text = OfferCorpus.chromePlayer.text.replacing(
                "a=rtpmap:111 opus/48000/2", with: (["a=rtpmap:111 opus/48000/2"] + lines).joined(separator: "\r\n"))
            let numbers = lines.compactMap { $0.hasPrefix("a=rtpmap:") ? $0.dropFirst(9).prefix { $0 != " " } : nil }
            let answer = try Self.subscribe(
                try SessionDescription(
                    parsing: text.replacing("SAVPF 111", with: "SAVPF 111 \(numbers.joined(separator: " "))")),
                [.opus])
            return try #require(answer.tracks.first { $0.kind == .audio })
        }
        let aac = try sound(["a=rtpmap:57 MPEG4-GENERIC/48000/2", "a=fmtp:57 mode=AAC-hbr;sizelength=13"])
        #expect(!aac.alternatives.contains { $0.payloadType == 57 })
        // The second one has redundant audio data, which leaves no repair.
        let red = try sound([
            "a=rtpmap:50 rtx/48000", "a=fmtp:50 apt=111", "a=rtcp-fb:111 nack", "a=rtpmap:51 opus/48000/2", "a=rtcp-fb:51 nack",
            "a=rtcp-fb:51 transport-cc", "a=rtpmap:52 rtx/48000", "a=fmtp:52 apt=51", "a=rtpmap:53 red/48000/2",
            "a=fmtp:53 51/51",
        ])
        #expect(red.rtxPayloadType == 50 && red.redPayloadType == nil)
        #expect(!red.alternatives.contains { $0.payloadType == 51 })
    }

    @Test("a source finds the closest format of an answer")
    func closest() throws {
        let offer = try Self.recorded("chromium 156 play")
        let video = try #require(try Self.subscribe(offer, [.h264, .opus]).tracks.first { $0.kind == .video })
        #expect(video.format(for: .h264)?.payloadType == video.payloadType)
        #expect(video.format(for: Self.vp8)?.codec.name == "VP8")
        #expect(video.format(for: Codec(name: "MPEG4-GENERIC", clockRate: 48000, channels: 2)) == nil)
        // One in use stays while it plays the source.
        let baseline = try #require(
            video.format(for: Codec(name: "H264", clockRate: 90000, fmtp: "packetization-mode=1;profile-level-id=42001f")))
        #expect(baseline.payloadType != video.payloadType)
        #expect(video.format(for: .h264, keeping: baseline.payloadType) == baseline)
        #expect(video.format(for: Self.vp8, keeping: baseline.payloadType)?.codec.name == "VP8")
    }

    @Test("video that the stream has not yet is accepted with all that the viewer takes; sound alone stays as it is")
    func videoLater() throws {
        let offer = try Self.recorded("chromium 156 play")
        let answer = try Self.subscribe(offer, [.opus], lateVideo: true)
        let text = answer.sdp(local: OfferCorpus.local)
        try checkAnswer(text, to: offer, direction: "sendonly", setup: .passive)
        let video = try #require(answer.tracks.first { $0.kind == .video })
        #expect(video.ssrc != nil && Set(video.alternatives.map(\.codec.name)).isSuperset(of: ["H264", "VP9", "AV1"]))
        let relay = try Self.subscribe(offer, [.opus], others: CodecPolicy([]), lateVideo: true)
        let alone = try Self.subscribe(offer, [.opus])
        #expect(relay.tracks.map(\.kind) == [.audio] && alone.tracks.map(\.kind) == [.audio])
        // Nothing that is there now is asked for.
        let videoOnly = SessionDescription(
            origin: offer.origin, attributes: offer.attributes, media: offer.media.filter { $0.kind == .video })
        #expect(throws: SDPError.self) { try Self.subscribe(videoOnly, [.opus], lateVideo: true) }
    }

    // MARK: Redundant audio data

    /// Chromium's offer with `red` before `opus`, as `setCodecPreferences` puts it.
    private static func preferring(_ formats: String) throws -> SessionDescription {
        let text = OfferCorpus.chrome.text
        let line = try #require(text.split(separator: "\r\n").first { $0.hasPrefix("m=audio") })
        let start = line.split(separator: " ").prefix(3).joined(separator: " ")
        return try SessionDescription(parsing: text.replacingLine(String(line), with: "\(start) \(formats)"))
    }

    @Test(
        "a publisher is answered with it where it stands before Opus, else not",
        arguments: [("63 111", ["63", "111"], UInt8?(63)), ("111 63", ["111"], nil), ("111", ["111"], nil)]
            as [(String, [String], UInt8?)])
    func publisherOrder(_ formats: String, _ answered: [String], _ red: UInt8?) throws {
        let offer = try Self.preferring(formats)
        let answer = try PublishAnswer(offer: offer)
        let track = try #require(answer.tracks.first { $0.kind == .audio })
        #expect(track.codec.name == "opus" && track.payloadType == 111 && track.redPayloadType == red)
        let text = answer.sdp(local: OfferCorpus.local)
        try checkAnswer(text, to: offer, direction: "recvonly", setup: .passive)
        let section = try #require(try SessionDescription(parsing: text).media.first { $0.kind == .audio })
        #expect(section.formats == answered)
        #expect(section.all("rtpmap").contains("63 red/48000/2") == (red != nil))
        #expect(section.all("fmtp").contains("63 111/111") == (red != nil))
    }

    @Test(
        "blocks of several codecs, of one that isn't offered, or of none agree to nothing",
        arguments: ["63 111/0", "63 112/112", "63 111", "63 /", "63 111/111/111/111/111/111/111/111/111/111", "63 63/63"])
    func strangeBlocks(_ parameters: String) throws {
        let text = OfferCorpus.chrome.text.replacingLine("a=fmtp:63 111/111", with: "a=fmtp:\(parameters)")
        let moved = text.replacingOccurrence(of: " 111 63", with: " 63 111")
        let track = try #require(try PublishAnswer(offer: SessionDescription(parsing: moved)).tracks.first { $0.kind == .audio })
        #expect(track.payloadType == 111 && track.redPayloadType == nil)
    }

    @Test("a viewer that offers it gets it, whatever the order, and no retransmissions of sound beside it")
    func viewer() throws {
        let offer = try Self.recorded("chromium 156 play")
        let answer = try Self.subscribe(offer, [.h264, .opus])
        let sound = try #require(answer.tracks.first { $0.kind == .audio })
        #expect(sound.redPayloadType != nil && sound.rtxPayloadType == nil)
        let firefox = try Self.subscribe(try Self.recorded("firefox 153 play"), [Self.vp8, .opus])
        #expect(firefox.tracks.allSatisfy { $0.redPayloadType == nil })
    }

    @Test("other nodes are offered none")
    func relays() throws {
        #expect(!SubscribeOffer.relay().sdp(local: OfferCorpus.local).lowercased().contains(" red/"))
    }
}

extension String {
    fileprivate func replacingOccurrence(of text: String, with other: String) -> String {
        split(separator: text, maxSplits: 1, omittingEmptySubsequences: false).joined(separator: other)
    }
}
