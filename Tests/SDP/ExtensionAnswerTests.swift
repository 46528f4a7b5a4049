import Testing

@testable import SDP

@Suite("Header extensions: ids, forms and where mixing them is allowed (RFC 8285 section 4 to 6, RFC 9143 section 12)")
struct ExtensionAnswerTests {
    private static let mixed = "a=extmap-allow-mixed"
    private static let mid = "urn:ietf:params:rtp-hdrext:sdes:mid"

    /// Chrome's offer with the attribute nowhere, for the session, or in each section.
    enum Level: String, CaseIterable, Sendable { case none, session, media }

    private static func offer(_ text: String, mixed level: Level, midID: String = "4") throws -> SessionDescription {
        var lines = text.removingLines(mixed).removingLines("a=extmap:14 ").split(separator: "\r\n").map(String.init)
        lines = lines.map { $0.hasPrefix("a=extmap:4 ") && $0.hasSuffix(mid) ? "a=extmap:\(midID) \(mid)" : $0 }
        switch level {
        case .none: break
        case .session: lines.insert(mixed, at: lines.firstIndex { $0.hasPrefix("m=") } ?? lines.count)
        case .media: lines = lines.flatMap { $0.hasPrefix("a=mid:") ? [$0, mixed] : [$0] }
        }
        return try SessionDescription(parsing: lines.joined(separator: "\r\n") + "\r\n")
    }

    @Test("a publisher's answer allows mixing where its offer does", arguments: Level.allCases)
    func publisher(_ level: Level) throws {
        let offer = try Self.offer(OfferCorpus.chrome.text, mixed: level)
        let text = try PublishAnswer(offer: offer).sdp(local: OfferCorpus.local)
        let answer = try SessionDescription(parsing: text)
        #expect(answer.attributes.contains(SDPAttribute("extmap-allow-mixed")) == (level == .session))
        for section in answer.media where section.port != 0 {
            #expect(section.has("extmap-allow-mixed") == (level == .media))
        }
    }

    @Test(
        "ids of 1 to 14 always, up to 255 where forms may be mixed, 15 never",
        arguments: [
            ("1", Level.none, false), ("14", .none, true), ("15", .none, false), ("16", .none, false), ("14", .media, true),
            ("15", .media, false), ("15", .session, false), ("16", .media, true), ("255", .session, true),
        ] as [(String, Level, Bool)])
    func ids(_ id: String, _ level: Level, _ isTaken: Bool) throws {
        // 1 is the audio level's in this offer: two extensions under one id are refused.
        guard id != "1" else {
            #expect(throws: SDPError.self) {
                try PublishAnswer(offer: Self.offer(OfferCorpus.chrome.text, mixed: level, midID: id))
            }
            return
        }
        let publisher = try PublishAnswer(offer: Self.offer(OfferCorpus.chrome.text, mixed: level, midID: id))
        #expect(publisher.tracks.allSatisfy { ($0.extensions.mid != nil) == isTaken })
        let offer = try Self.offer(OfferCorpus.chrome.text.replacingSendonly(), mixed: level, midID: id)
        let viewer = try SubscribeAnswer(
            offer: offer, stream: [SourceTrack(kind: .video, codec: .h264), SourceTrack(kind: .audio, codec: .opus)]
        ) { .random(in: 1 ... .max) }
        #expect(viewer.tracks.allSatisfy { ($0.extensions.mid != nil) == isTaken })
        // What needs the two-byte form is answered only together with the leave to mix.
        let answer = try SessionDescription(parsing: viewer.sdp(local: OfferCorpus.local))
        let isLong = isTaken && Int(id) ?? 0 > 14
        #expect(answer.attributes.contains(SDPAttribute("extmap-allow-mixed")) == (isLong && level == .session))
        for section in answer.media where section.port != 0 {
            #expect(section.has("extmap-allow-mixed") == (isLong && level == .media))
            #expect(section.all("extmap").contains("\(id) \(Self.mid)") == isTaken)
        }
    }

    /// The offer with another id for the mid of its video.
    private static func moving(midOfVideo id: String, in offered: SessionDescription) -> SessionDescription {
        let media = offered.media.map { section in
            guard section.kind == .video else { return section }
            return MediaDescription(
                media: section.media, port: section.port, transportProtocol: section.transportProtocol,
                formats: section.formats, connection: section.connection,
                attributes: section.attributes.map { attribute in
                    guard attribute.name == "extmap", attribute.value?.hasSuffix(mid) == true else { return attribute }
                    return SDPAttribute("extmap", "\(id) \(mid)")
                })
        }
        return SessionDescription(origin: offered.origin, attributes: offered.attributes, media: media)
    }

    @Test(
        "on one transport an id means one extension, and an extension has one id: what does not go with the section before is left out",
        arguments: [("4", true), ("9", false), ("1", false)])
    func conflicts(id: String, isTaken: Bool) throws {
        func check(_ tracks: [NegotiatedTrack], _ sdp: String) throws {
            #expect(tracks.map { $0.extensions.mid } == [4, isTaken ? 4 : nil])
            let video = try #require(try SessionDescription(parsing: sdp).media.first { $0.kind == .video })
            #expect(video.all("extmap").contains { $0.hasSuffix(Self.mid) } == isTaken)
        }
        let offered = try Self.offer(OfferCorpus.chrome.text, mixed: .none)
        let publisher = try PublishAnswer(offer: Self.moving(midOfVideo: id, in: offered))
        try check(publisher.tracks, publisher.sdp(local: OfferCorpus.local))
        let asked = try Self.offer(OfferCorpus.chrome.text.replacingSendonly(), mixed: .none)
        let viewer = try SubscribeAnswer(
            offer: Self.moving(midOfVideo: id, in: asked),
            stream: [SourceTrack(kind: .video, codec: .h264), SourceTrack(kind: .audio, codec: .opus)]
        ) { .random(in: 1 ... .max) }
        try check(viewer.tracks, viewer.sdp(local: OfferCorpus.local))
    }
}
