import Foundation
import FoundationXML
import Testing

@testable import Media

@Suite("MPD (ISO/IEC 23009-1)")
struct MPDTests {
    private func track(_ entries: [(Int64, Int64)]) -> MPD.Track {
        MPD.Track(
            media: .audio(sampleRate: 48_000, channels: 2), codecs: "opus", bandwidth: 64_000, timescale: 48_000,
            initialization: "audio_init.m4s", template: "audio_seg_$Number%04d$.m4s",
            timeline: MPD.SegmentTimeline(
                entries.enumerated().map { MPD.SegmentTimeline.Run(number: Int64($0 + 1), time: $1.0, duration: $1.1) }))
    }

    private func presentation(_ kind: MPD.Kind, _ tracks: [MPD.Track], durationUs: Int64? = 12_000_000) -> MPD {
        MPD(
            kind: kind, maxSegmentSeconds: 4,
            clock: MPD.Clock(scheme: "urn:mpeg:dash:utc:http-head:2014", value: "manifest.mpd?a=1&b=\"2\""),
            periods: [MPD.Period(id: "1", startUs: 0, durationUs: durationUs, wallClockUs: 1_795_190_400_500_000, tracks: tracks)]
        )
    }

    private static func attribute(_ name: String, of element: XMLElement) -> String? {
        element.attributes?.first { $0.name == name }?.stringValue
    }

    @Test(
        "equal neighbours share one S, and t is only said where time does not continue",
        arguments: [
            ([(0, 10), (10, 10), (20, 10), (30, 9)], ["t=\"0\" d=\"10\" r=\"2\"", "d=\"9\""]),
            ([(5, 10), (20, 10)], ["t=\"5\" d=\"10\"", "t=\"20\" d=\"10\""]),
            ([(0, 1)], ["t=\"0\" d=\"1\""]),
            ([], []),
        ] as [([(Int64, Int64)], [String])])
    func timeline(entries: [(Int64, Int64)], expected: [String]) {
        let lines = presentation(.static, [track(entries)]).xml.split(separator: "\n").filter { $0.contains("<S ") }
        #expect(lines.map { $0.trimmingCharacters(in: .whitespaces) } == expected.map { "<S \($0)/>" })
    }

    @Test(
        "loudspeakers by the number of their arrangement (ISO/IEC 23091-3 table 1)",
        arguments: [
            ("opus", 2, 2), ("opus", 3, 3), ("opus", 4, 10), ("opus", 6, 6), ("opus", 7, 11), ("opus", 8, 12),
            ("mp4a.40.2", 4, 4),
            ("mp4a.40.5", 6, 6), ("mp4a.40.2", 8, 7),
        ])
    func channels(codecs: String, channels: Int, expected: Int) {
        var sound = track([(0, 10)])
        sound.codecs = codecs
        sound.media = .audio(sampleRate: 48_000, channels: channels)
        #expect(presentation(.static, [sound]).xml.contains("channel_configuration:2011\" value=\"\(expected)\""))
    }

    @Test("a finished presentation says its length and nothing of the present")
    func finished() throws {
        let document = try XMLDocument(xmlString: presentation(.static, [track([(0, 576_000)])]).xml)
        let root = try #require(document.rootElement())
        func attribute(_ name: String) -> String? { Self.attribute(name, of: root) }
        #expect(attribute("type") == "static")
        #expect(attribute("mediaPresentationDuration") == "PT12S")
        #expect(attribute("minBufferTime") != nil && attribute("profiles") != nil)
        #expect(attribute("minimumUpdatePeriod") == nil && attribute("availabilityStartTime") == nil)
        #expect(root.elements(forName: "UTCTiming").isEmpty)
        let period = try #require(root.elements(forName: "Period").first)
        #expect(Self.attribute("start", of: period) == "PT0S")
        #expect(Self.attribute("duration", of: period) == "PT12S")
    }

    @Test("a growing presentation says when it began, when it was written and which clock to use")
    func growing() throws {
        let kind = MPD.Kind.dynamic(
            availabilityStartUs: 1_795_190_400_500_000, publishUs: 1_795_190_404_000_001, updateSeconds: 4)
        let document = try XMLDocument(xmlString: presentation(kind, [track([(0, 192_000)])], durationUs: nil).xml)
        let root = try #require(document.rootElement())
        func attribute(_ name: String) -> String? { Self.attribute(name, of: root) }
        #expect(attribute("type") == "dynamic")
        #expect(attribute("availabilityStartTime") == "2026-11-20T16:00:00.5Z")
        #expect(attribute("publishTime") == "2026-11-20T16:00:04.000001Z")
        #expect(attribute("minimumUpdatePeriod") == "PT4S")
        #expect(attribute("mediaPresentationDuration") == nil)
        let clock = try #require(root.elements(forName: "UTCTiming").first)
        #expect(Self.attribute("value", of: clock) == "manifest.mpd?a=1&b=\"2\"")
    }

    @Test(
        "dates are the Gregorian calendar's",
        arguments: [
            (0, "1970-01-01T00:00:00Z"), (951_782_400, "2000-02-29T00:00:00Z"), (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"), (-1, "1969-12-31T23:59:59Z"), (1_798_761_599, "2026-12-31T23:59:59Z"),
        ] as [(Int64, String)])
    func dates(seconds: Int64, text: String) {
        #expect(ISO8601.dateTime(microseconds: seconds * 1_000_000) == text)
    }

    @Test("durations are seconds with the fraction they need")
    func durations() {
        #expect(ISO8601.duration(microseconds: 0) == "PT0S")
        #expect(ISO8601.duration(microseconds: 1_500_000) == "PT1.5S")
        #expect(ISO8601.duration(microseconds: 1) == "PT0.000001S")
        #expect(ISO8601.duration(seconds: .infinity) == "PT0S")
    }
}
