import Testing

@testable import SDP

/// What a receiver offers, what the stream is, and how far apart they are.
struct ProfileCase: CustomTestStringConvertible, Sendable {
    let codec: String
    let offered: String
    let source: String
    /// Nil when the stream must not be sent so.
    let distance: Int?

    var testDescription: String { "\(codec) \(offered.isEmpty ? "-" : offered) for \(source.isEmpty ? "-" : source)" }

    init(_ codec: String, _ offered: String, _ source: String, _ distance: Int?) {
        (self.codec, self.offered, self.source, self.distance) = (codec, offered, source, distance)
    }

    static let all = [
        // VP9: the same profile only (RFC 9628 section 6.1).
        ProfileCase("VP9", "", "", 0),
        ProfileCase("VP9", "profile-id=0", "", 0),
        ProfileCase("VP9", "", "profile-id=0", 0),
        ProfileCase("VP9", "profile-id=2", "profile-id=2", 0),
        ProfileCase("VP9", "profile-id=2", "", nil),
        ProfileCase("VP9", "", "profile-id=2", nil),
        ProfileCase("VP9", "profile-id=1", "profile-id=3", nil),
        // VP8 has none.
        ProfileCase("VP8", "max-fs=1", "", 0),
        // AV1: a higher profile plays the lower ones, the high tier the main one; a level never excludes.
        ProfileCase("AV1", "", "", 0),
        ProfileCase("AV1", "level-idx=5;profile=0;tier=0", "", 0),
        ProfileCase("AV1", "profile=1", "profile=0", 4),
        ProfileCase("AV1", "profile=2", "profile=0", 8),
        ProfileCase("AV1", "profile=0", "profile=1", nil),
        ProfileCase("AV1", "profile=1", "profile=2", nil),
        ProfileCase("AV1", "tier=1", "", 2),
        ProfileCase("AV1", "tier=1", "tier=1", 0),
        ProfileCase("AV1", "tier=0", "tier=1", nil),
        ProfileCase("AV1", "", "tier=1", 0),
        ProfileCase("AV1", "level-idx=5;profile=0;tier=0", "level-idx=8", 1),
        ProfileCase("AV1", "level-idx=8", "level-idx=5", 0),
        ProfileCase("AV1", "profile=1;tier=1;level-idx=5", "profile=0;tier=0;level-idx=8", 7),
        ProfileCase("AV1", "profile=3", "profile=0", nil),
        ProfileCase("AV1", "profile=x", "", nil),
        ProfileCase("AV1", "tier=2", "", nil),
        ProfileCase("AV1", "level-idx=999999999999", "", nil),
        // H.265: Main 10 plays Main, tiers as in AV1.
        ProfileCase("H265", "", "", 0),
        ProfileCase("H265", "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST", "", 0),
        ProfileCase("H265", "profile-id=2", "profile-id=1", 4),
        ProfileCase("H265", "profile-id=1", "profile-id=2", nil),
        ProfileCase("H265", "profile-id=1", "profile-id=3", 4),
        ProfileCase("H265", "profile-id=2", "profile-id=3", 8),
        ProfileCase("H265", "profile-id=4", "profile-id=4", 0),
        ProfileCase("H265", "profile-id=4", "profile-id=1", nil),
        ProfileCase("H265", "tier-flag=0", "tier-flag=1", nil),
        ProfileCase("H265", "tier-flag=1", "tier-flag=1", 0),
        ProfileCase("H265", "tier-flag=1", "tier-flag=0", 2),
        ProfileCase("H265", "", "tier-flag=1", 0),
        ProfileCase("H265", "level-id=93", "level-id=120", 1),
        ProfileCase("H265", "level-id=180", "level-id=93", 0),
        ProfileCase("H265", "tier-flag=-1", "", nil),
        // H.264: profile and packetization mode (RFC 6184 section 8.2.2).
        ProfileCase("H264", "packetization-mode=1;profile-level-id=42e01f", "packetization-mode=1;profile-level-id=42e034", 0),
        ProfileCase("H264", "packetization-mode=1;profile-level-id=42001f", "packetization-mode=1;profile-level-id=42e01f", 1),
        // Who names Baseline alone plays Main and High nevertheless, but is the last choice, and has not more bits or colour.
        ProfileCase("H264", "packetization-mode=1;profile-level-id=42e01f", "packetization-mode=1;profile-level-id=64001f", 25),
        ProfileCase("H264", "packetization-mode=1;profile-level-id=42e01f", "packetization-mode=0;profile-level-id=64001f", 33),
        ProfileCase("H264", "packetization-mode=1;profile-level-id=42001f", "packetization-mode=1;profile-level-id=4d001f", 25),
        ProfileCase("H264", "packetization-mode=1;profile-level-id=42e01f", "packetization-mode=1;profile-level-id=6e001f", nil),
        ProfileCase("H264", "packetization-mode=0;profile-level-id=42e01f", "packetization-mode=1;profile-level-id=64001f", nil),
        ProfileCase("H264", "packetization-mode=0;profile-level-id=42e01f", "packetization-mode=1;profile-level-id=42e01f", nil),
        // High 4:4:4 Predictive plays what is below it, and nothing below it plays it.
        ProfileCase("H264", "packetization-mode=1;profile-level-id=f4001f", "packetization-mode=1;profile-level-id=64001f", 4),
        ProfileCase("H264", "packetization-mode=1;profile-level-id=f4001f", "packetization-mode=1;profile-level-id=640c1f", 4),
        ProfileCase("H264", "packetization-mode=1;profile-level-id=f4001f", "packetization-mode=1;profile-level-id=42e01f", 7),
        ProfileCase("H264", "packetization-mode=1;profile-level-id=f4001f", "packetization-mode=0;profile-level-id=42e01f", 15),
        ProfileCase("H264", "packetization-mode=1;profile-level-id=f4001f", "packetization-mode=1;profile-level-id=6e001f", 2),
        ProfileCase("H264", "packetization-mode=1;profile-level-id=7a001f", "packetization-mode=1;profile-level-id=6e001f", 1),
        ProfileCase("H264", "packetization-mode=1;profile-level-id=64001f", "packetization-mode=1;profile-level-id=f4001f", nil),
        ProfileCase("H264", "packetization-mode=1;profile-level-id=6e001f", "packetization-mode=1;profile-level-id=7a001f", nil),
        ProfileCase("H264", "packetization-mode=1;profile-level-id=6e001f", "packetization-mode=1;profile-level-id=64001f", 2),
    ]
}

@Suite("Which profile, tier and level a receiver plays (RFC 7798 section 7.1, RFC 9628 section 6, AV1 RTP section 7.2)")
struct ProfileTests {
    @Test("one table of cases", arguments: ProfileCase.all)
    func distance(_ sample: ProfileCase) {
        func codec(_ fmtp: String) -> Codec { Codec(name: sample.codec, clockRate: 90000, fmtp: fmtp) }
        #expect(codec(sample.offered).distance(toSource: codec(sample.source)) == sample.distance)
    }

    private static func offer(_ codecs: [Codec]) throws -> SessionDescription {
        try SessionDescription(parsing: SubscribeOffer(codecs: codecs).sdp(local: OfferCorpus.local))
    }

    @Test("the closest of several uses is taken, and one that names no tier is told the stream's")
    func answers() throws {
        func h265(_ fmtp: String) -> Codec { Codec(name: "H265", clockRate: 90000, fmtp: fmtp) }
        let offer = try Self.offer([h265("profile-id=2"), h265("profile-id=1;tier-flag=0"), h265("profile-id=1")])
        func taken(_ source: String) throws -> SubscribeAnswer {
            try SubscribeAnswer(offer: offer, stream: [SourceTrack(kind: .video, codec: h265(source))]) { 77 }
        }
        #expect(try taken("profile-id=2").tracks.first?.payloadType == 96)
        #expect(try taken("profile-id=1").tracks.first?.payloadType == 97)
        let high = try taken("profile-id=1;tier-flag=1")
        #expect(high.tracks.first?.payloadType == 98)
        #expect(high.sdp(local: OfferCorpus.local).contains("a=fmtp:98 profile-id=1;tier-flag=1\r\n"))
        #expect(!(try taken("profile-id=1")).sdp(local: OfferCorpus.local).contains("tier-flag=1"))
    }

    @Test(
        "H.265 with decoding order numbers or in several streams is refused with the reason, or passed over for another codec",
        arguments: [
            ("sprop-max-don-diff=1", "sprop-max-don-diff"), ("profile-id=1;sprop-max-don-diff=32767", "sprop-max-don-diff"),
            ("sprop-max-don-diff=x", "sprop-max-don-diff"), ("sprop-max-don-diff=99999999999999999999", "sprop-max-don-diff"),
            ("sprop-depack-buf-nalus=4", "sprop-depack-buf-nalus"), ("tx-mode=MRMT", "tx-mode"),
            ("sprop-max-don-diff=0;sprop-depack-buf-nalus=0;tx-mode=SRST", nil), ("", nil),
        ] as [(String, String?)])
    func decodingOrder(_ fmtp: String, _ named: String?) throws {
        func offer(_ codecs: [Codec]) throws -> SessionDescription {
            try SessionDescription(
                parsing: PublishOffer(codecs: codecs) { .random(in: 1 ... .max) }.sdp(local: OfferCorpus.local))
        }
        let h265 = Codec(name: "H265", clockRate: 90000, fmtp: fmtp)
        do {
            let answer = try PublishAnswer(offer: offer([h265]), supported: .standard)
            #expect(named == nil && answer.tracks.first?.codec.name == "H265")
        } catch let error as SDPError {
            guard case .unacceptable(let reason) = error else { throw error }
            #expect(named.map { reason.contains($0) } == true, "\(reason)")
        }
    }
}
