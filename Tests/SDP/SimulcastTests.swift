import Testing

@testable import SDP

@Suite("Simulcast in WHIP offers and answers (RFC 8853, RFC 8851, RFC 9725 section 4.8)")
struct SimulcastTests {
    struct Case: CustomTestStringConvertible {
        let what: String
        let lines: [String]
        let layers: [String]
        var testDescription: String { what }
    }

    private static let three = ["a=rid:q send", "a=rid:h send", "a=rid:f send"]

    static let cases = [
        Case(what: "Chrome", lines: three + ["a=simulcast:send q;h;f"], layers: ["q", "h", "f"]),
        Case(what: "the sender's order is kept", lines: three + ["a=simulcast:send f;q;h"], layers: ["f", "q", "h"]),
        Case(what: "initially paused", lines: three + ["a=simulcast:send ~q;h;~f"], layers: ["q", "h", "f"]),
        Case(what: "one of each list of alternatives", lines: three + ["a=simulcast:send q,h;f"], layers: ["q", "f"]),
        Case(what: "an alternative that isn't used yet", lines: three + ["a=simulcast:send q;q,h"], layers: ["q", "h"]),
        Case(what: "before the list", lines: ["a=simulcast:send q;h;f"] + three, layers: ["q", "h", "f"]),
        Case(what: "receiving too", lines: three + ["a=rid:x recv", "a=simulcast:recv x send q;h"], layers: ["q", "h"]),
        Case(what: "an undescribed layer", lines: three + ["a=simulcast:send q;y;f"], layers: ["q", "f"]),
        Case(
            what: "for this payload type",
            lines: ["a=rid:q send pt=96,97", "a=rid:h send pt=97;max-width=640", "a=rid:f send max-width=1280"]
                + ["a=simulcast:send q;h;f"],
            layers: ["q", "f"]),
        Case(
            what: "more than there is room for", lines: (1...6).map { "a=rid:\($0) send" } + ["a=simulcast:send 1;2;3;4;5;6"],
            layers: ["1", "2", "3", "4"]),
        Case(what: "descriptions alone", lines: three, layers: []),
        Case(what: "only receiving", lines: ["a=rid:q recv", "a=simulcast:recv q"], layers: []),
        Case(what: "nonsense", lines: three + ["a=simulcast:send", "a=simulcast:;;,~", "a=rid:", "a=rid:x"], layers: []),
        Case(what: "illegal names", lines: ["a=rid:q;h send", "a=rid:ü send", "a=simulcast:send q;h;ü"], layers: []),
    ]

    private func offer(_ lines: [String]) -> String {
        OfferCorpus.obs.text.replacingLine(
            "a=msid:r4Xm r4Xm-video", with: (lines + ["a=msid:r4Xm r4Xm-video"]).joined(separator: "\r\n"))
    }

    @Test("all layers that can be used are taken", arguments: cases)
    func layers(_ sample: Case) throws {
        let offer = try SessionDescription(parsing: offer(sample.lines))
        let answer = try PublishAnswer(offer: offer)
        let video = try #require(answer.tracks.last)
        #expect(video.layers == sample.layers && answer.tracks.first?.layers == [])
        let text = answer.sdp(local: OfferCorpus.local)
        try checkAnswer(text, to: offer, direction: "recvonly", setup: .passive)
        let section = try #require(SessionDescription(parsing: text).media.last)
        #expect(section.first("simulcast") == (sample.layers.isEmpty ? nil : "recv " + sample.layers.joined(separator: ";")))
        #expect((video.extensions.rid == 2) == !sample.layers.isEmpty)
    }

    @Test("layers that nothing tells apart are not taken")
    func withoutExtension() throws {
        let text = offer(Self.cases[0].lines).removingLines("a=extmap:2 ")
        let answer = try PublishAnswer(offer: SessionDescription(parsing: text))
        #expect(answer.tracks.last?.layers == [] && !answer.sdp(local: OfferCorpus.local).contains("a=simulcast"))
    }

    @Test("retransmissions are told apart where the sender names them")
    func repairs() throws {
        let text = OfferCorpus.chrome.text.replacingLine(
            "a=msid:6c0c bbbb", with: (Self.cases[0].lines + ["a=msid:6c0c bbbb"]).joined(separator: "\r\n")
        ).removingLines("a=ssrc")
        let video = try #require(try PublishAnswer(offer: SessionDescription(parsing: text)).tracks.last)
        #expect(video.ssrc == nil && video.extensions.rid == 10 && video.extensions.repairedRID == 11)
    }
}
