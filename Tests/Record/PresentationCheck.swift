import Foundation
import FoundationXML

/// Holds each version of a manifest against itself and the one before (ISO/IEC 23009-1 5.3, 5.4; DASH-IF timing model).
struct PresentationCheck {
    /// The rules that were broken, each with what broke it.
    private(set) var broken: [String] = []
    private(set) var versions = 0
    private var before: Presentation?

    /// What of a manifest must stay.
    private struct Presentation {
        var availabilityStart = ""
        var published = ""
        var isStatic = false
        var periods: [Period] = []
    }

    private struct Period {
        var id = ""
        var start = 0.0
        var duration: Double?
        var tracks: [Track] = []

        var end: Double { tracks.map(\.end).max() ?? 0 }
    }

    private struct Track: Equatable {
        /// Everything but the segments.
        var constants: [String] = []
        var names: [String] = []
        var timescale = 1.0
        var offset: Int64 = 0
        var segments: [Segment] = []

        var end: Double { Double((segments.last.map { $0.time + $0.duration } ?? offset) - offset) / timescale }
    }

    private struct Segment: Equatable {
        let number: Int
        let time: Int64
        let duration: Int64
    }

    /// Where the last version leads its players to.
    private(set) var location: String?

    /// Takes the next version.
    mutating func take(_ xml: String) throws {
        versions += 1
        guard let root = try XMLDocument(xmlString: xml).rootElement() else {
            broken.append("no root")
            return
        }
        let now = presentation(root)
        location = root.elements(forName: "Location").first?.stringValue
        rule((location == nil) == now.isStatic, "Location of a presentation that grows, and only of it")
        checkAttributes(root, now)
        checkPeriods(root, now)
        if let before, !before.isStatic { checkUpdate(from: before, to: now) }
        before = now
    }

    private mutating func rule(_ holds: Bool, _ text: @autoclosure () -> String) {
        if !holds { broken.append("version \(versions): \(text())") }
    }

    // MARK: Reading

    private func text(_ name: String, _ element: XMLElement) -> String {
        element.attributes?.first { $0.name == name }?.stringValue ?? ""
    }
    private func integer(_ name: String, _ element: XMLElement) -> Int64 { Int64(text(name, element)) ?? -1 }
    private func seconds(_ text: String) -> Double? { Double(text.dropFirst(2).dropLast()) }

    private func presentation(_ root: XMLElement) -> Presentation {
        Presentation(
            availabilityStart: text("availabilityStartTime", root), published: text("publishTime", root),
            isStatic: text("type", root) == "static", periods: root.elements(forName: "Period").map(period))
    }

    private func period(_ element: XMLElement) -> Period {
        Period(
            id: text("id", element), start: seconds(text("start", element)) ?? -1, duration: seconds(text("duration", element)),
            tracks: element.elements(forName: "AdaptationSet").map(track))
    }

    private func track(_ set: XMLElement) -> Track {
        guard let representation = set.elements(forName: "Representation").first,
            let template = representation.elements(forName: "SegmentTemplate").first,
            let timeline = template.elements(forName: "SegmentTimeline").first
        else { return Track() }
        var track = Track()
        track.constants =
            ["id", "mimeType", "segmentAlignment"].map { text($0, set) }
            + ["id", "codecs", "width", "height", "audioSamplingRate"].map { text($0, representation) }
            + ["timescale", "presentationTimeOffset", "startNumber"].map { text($0, template) }
        track.names = ["initialization", "media"].map { text($0, template) }
        track.timescale = Double(integer("timescale", template))
        track.offset = integer("presentationTimeOffset", template)
        var number = Int(integer("startNumber", template))
        var time = track.offset
        for entry in timeline.elements(forName: "S") {
            if !text("t", entry).isEmpty { time = integer("t", entry) }
            for _ in 0...max(0, integer("r", entry)) {
                track.segments.append(Segment(number: number, time: time, duration: integer("d", entry)))
                time += integer("d", entry)
                number += 1
            }
        }
        return track
    }

    // MARK: Rules

    private mutating func checkAttributes(_ root: XMLElement, _ now: Presentation) {
        rule(!text("profiles", root).isEmpty && seconds(text("minBufferTime", root)) ?? 0 > 0, "profiles and minBufferTime")
        let longest = now.periods.flatMap(\.tracks).flatMap { track in
            track.segments.map { Double($0.duration) / track.timescale }
        }
        rule((seconds(text("maxSegmentDuration", root)) ?? 0) >= (longest.max() ?? 0) - 0.000_001, "maxSegmentDuration")
        if now.isStatic {
            for name in ["minimumUpdatePeriod", "availabilityStartTime", "publishTime"] {
                rule(text(name, root).isEmpty, "\(name) in a static presentation")
            }
            let end = now.periods.last.map { $0.start + ($0.duration ?? -1) } ?? -1
            rule(abs((seconds(text("mediaPresentationDuration", root)) ?? -1) - end) < 0.000_01, "mediaPresentationDuration")
        } else {
            for name in ["minimumUpdatePeriod", "availabilityStartTime", "publishTime"] {
                rule(!text(name, root).isEmpty, "no \(name) in a dynamic presentation")
            }
            rule(!root.elements(forName: "UTCTiming").isEmpty, "no UTCTiming")
        }
    }

    private mutating func checkPeriods(_ root: XMLElement, _ now: Presentation) {
        rule(!now.periods.isEmpty && Set(now.periods.map(\.id)).count == now.periods.count, "ids of Periods")
        rule(now.periods.first?.start == 0, "the first Period starts at 0")
        var names: Set<String> = []
        for (index, period) in now.periods.enumerated() {
            let isOpen = !now.isStatic && index == now.periods.count - 1
            rule(isOpen || period.duration != nil, "Period \(index) without a duration")
            if let duration = period.duration {
                rule(abs(duration - period.end) < 0.000_002, "Period \(index) lasts \(duration), its media \(period.end)")
            }
            if index > 0 {
                let end = now.periods[index - 1].start + (now.periods[index - 1].duration ?? 0)
                let distance = period.start - end
                rule(distance > -0.000_002, "Period \(index) starts \(distance) s off")
            }
            rule(!period.tracks.isEmpty, "Period \(index) without tracks")
            rule(Set(period.tracks.map { $0.constants.prefix(2).last }).count == period.tracks.count, "one set of a kind")
            rule(Set(period.tracks.map { Double($0.offset) / $0.timescale }).count == 1, "presentationTimeOffset of both tracks")
            for track in period.tracks {
                rule(track.names.allSatisfy { names.insert($0).inserted }, "a name is used twice: \(track.names)")
                checkTimeline(track, period: index)
            }
        }
    }

    private mutating func checkTimeline(_ track: Track, period: Int) {
        rule(!track.segments.isEmpty && track.segments.first?.time == track.offset, "Period \(period) begins elsewhere")
        for (left, right) in zip(track.segments, track.segments.dropFirst()) {
            rule(right.time == left.time + left.duration, "hole or overlap at \(right.time) of Period \(period)")
        }
        rule(track.segments.allSatisfy { $0.duration > 0 }, "a segment without length in Period \(period)")
    }

    private mutating func checkUpdate(from old: Presentation, to now: Presentation) {
        if !now.isStatic {
            rule(now.availabilityStart == old.availabilityStart, "availabilityStartTime changed")
            rule(now.published > old.published, "publishTime \(now.published) after \(old.published)")
        }
        rule(now.periods.count >= old.periods.count, "a Period is gone")
        for (index, (earlier, later)) in zip(old.periods, now.periods).enumerated() {
            rule(later.id == earlier.id, "Period \(index) is another")
            rule(abs(later.start - earlier.start) < 0.000_001, "Period \(index) moved")
            rule(later.tracks.map(\.constants) == earlier.tracks.map(\.constants), "tracks of Period \(index) changed")
            rule(later.tracks.map(\.names) == earlier.tracks.map(\.names), "names of Period \(index) changed")
            for (earlierTrack, laterTrack) in zip(earlier.tracks, later.tracks) {
                rule(
                    Array(laterTrack.segments.prefix(earlierTrack.segments.count)) == earlierTrack.segments,
                    "Period \(index): segments changed")
                let mayGrow = index == old.periods.count - 1 && earlier.duration == nil
                rule(mayGrow || laterTrack.segments.count == earlierTrack.segments.count, "Period \(index) grew after its end")
            }
        }
    }
}
