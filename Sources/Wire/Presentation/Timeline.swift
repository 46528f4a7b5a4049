import Media

/// What the index has of one recording in the wanted range.
public struct RecordedMaterial: Sendable, Equatable {
    /// The recording.
    public var recording: IndexedRecording
    /// Its periods with the segments that touch the range.
    public var periods: [IndexedPeriod]
    /// Whether more is to come: active, on a node that answers.
    public var isGrowing: Bool

    /// Material as read from the index.
    public init(recording: IndexedRecording, periods: [IndexedPeriod], isGrowing: Bool) {
        self.recording = recording
        self.periods = periods
        self.isGrowing = isGrowing
    }
}

extension RecordedMaterial {
    var hasSegments: Bool { periods.contains { $0.tracks.contains { !$0.segments.isEmpty } } }
}

/// What becomes of time in which nothing was recorded.
public enum GapRule: String, Sendable {
    /// It is left out: periods follow each other at once.
    case collapse
    /// It stays: every period stands where it was on the clock.
    case keep
}

/// One track of one period of a playback.
public struct TimelineTrack: Sendable, Equatable {
    /// Names, codecs, and the segments to play, numbered and timed without a break.
    public var track: IndexedTrack
    /// Media time at the period's start, in the track's timescale.
    public var presentationTimeOffset: Int64
}

/// A stretch of a playback with one set of codecs, from one node.
public struct TimelinePeriod: Sendable, Equatable {
    /// `{node}.{session}.{period}.{first segment}`: unique, and the same each time it is worked out.
    public var id: String
    /// Alias of the node that has the objects.
    public var node: String
    /// Wall clock of its start, Unix microseconds.
    public var wallStartUs: Int64
    /// Its place in the presentation, microseconds.
    public var startUs: Int64
    /// How long it is, microseconds.
    public var durationUs: Int64
    /// Video first.
    public var tracks: [TimelineTrack]

    var wallEndUs: Int64 { wallStartUs + durationUs }

    /// `id` without the segment: what is left of a period has it, too.
    var source: String { String(id.prefix(upTo: id.lastIndex(of: ".") ?? id.endIndex)) }

    /// The same of a period that may have no segment yet.
    static func source(node: String, session: String, ordinal: Int) -> String { "\(node).\(session).\(ordinal)" }
}

/// Recordings of one stream, from all nodes and days, laid out on one line. Pure.
///
/// Where the recordings of two nodes overlap, the one that began first is played to its end and the other from there on: they are
/// never interleaved. A break in a track's numbers or times begins a new period, so that no period has a hole. Media that followed
/// each other without a break do so here, although by the clock a sender's day may be some seconds longer or shorter.
public struct Timeline: Sendable, Equatable {
    /// In order; never empty.
    public var periods: [TimelinePeriod]
    /// Whether the last period grows.
    public var isGrowing: Bool
    /// Newest change of all material, Unix microseconds on its node's clock.
    public var updatedUs: Int64

    /// Lays out material; nil when there is nothing to play in it.
    public init?(_ material: [RecordedMaterial], gaps: GapRule) {
        let stretches = material.flatMap { Self.stretches(of: $0) }.sorted {
            ($0.period.wallStartUs, $0.period.id) < ($1.period.wallStartUs, $1.period.id)
        }
        let placed = Self.decodable(Self.withoutOverlap(stretches)).flatMap { Self.withoutHoles($0) }
        guard let first = placed.first, let last = placed.last else { return nil }
        var periods: [TimelinePeriod] = []
        var endUs: Int64 = 0
        for (index, stretch) in placed.enumerated() {
            var period = stretch.period
            let follows = index > 0 && stretch.follows(placed[index - 1])
            period.startUs = gaps == .keep && !follows ? max(endUs, period.wallStartUs - first.period.wallStartUs) : endUs
            endUs = period.startUs + period.durationUs
            periods.append(period)
        }
        self.periods = periods
        // A session that has only begun has nothing to show yet, but will.
        isGrowing = last.isGrowing || material.contains { $0.isGrowing && !$0.hasSegments }
        updatedUs = material.map(\.recording.updatedUs).max() ?? 0
    }

    /// Length of all of it, microseconds.
    public var durationUs: Int64 { periods.last.map { $0.startUs + $0.durationUs } ?? 0 }

    /// The longest segment in seconds.
    public var maxSegmentSeconds: Double {
        periods.flatMap(\.tracks).map { track in
            Double(track.track.segments.longest) / Double(track.track.timescale)
        }.max() ?? 0
    }

    // MARK: from recordings to stretches

    private struct Stretch {
        var period: TimelinePeriod
        var isGrowing: Bool
        /// Its first medium came right after the last one of the period before it on its node.
        var continues = false

        func follows(_ other: Stretch) -> Bool {
            continues && period.node == other.period.node
                && abs(period.wallStartUs - other.period.wallEndUs) < Timeline.driftUsMax
        }
    }

    /// How far a period may begin from where the one before it ended although no media lie between: recorders begin one when a sender's
    /// clock has drifted a third of a second away from theirs, and take up to two seconds more for a network that got slower or faster.
    private static let driftUsMax: Int64 = 3_000_000

    /// Overlap that two clocks may have without meaning anything.
    private static let overlapSlackUs: Int64 = 100_000
    /// A lesser rest of one track beyond the other's end is cut, for the other would have a hole there.
    private static let tailUs: Int64 = 500_000

    private static func stretches(of material: RecordedMaterial) -> [Stretch] {
        var stretches: [Stretch] = []
        for period in material.periods {
            let tracks = period.tracks.filter { !$0.segments.isEmpty }.sorted { rank($0) < rank($1) }
            guard let lead = tracks.first else { continue }
            let runs = lead.segments.unbroken
            for (index, run) in runs.enumerated() {
                // At the growing end a track that is ahead of the other is not cut: the other will come as far.
                let isOpen = material.isGrowing && period == material.periods.last && index == runs.count - 1
                let others = tracks.dropFirst().compactMap { overlapping($0, with: run, of: lead, isOpen: isOpen) }
                let tracks = [with(lead, run)] + others
                if let made = make(tracks, period, material.recording) {
                    let isWhole = run.first?.time == lead.timeAtStart
                    stretches.append(
                        Stretch(period: made, isGrowing: false, continues: period.continues && isWhole))
                }
            }
        }
        if material.isGrowing, !stretches.isEmpty { stretches[stretches.count - 1].isGrowing = true }
        return stretches
    }

    private static func rank(_ track: IndexedTrack) -> Int { track.kind == "video" ? 0 : 1 }

    private static func with(_ track: IndexedTrack, _ segments: SegmentRuns) -> IndexedTrack {
        var track = track
        track.segments = segments
        return track
    }

    /// The part of a track that goes with a run of the lead track; it may have holes of its own. What mostly lies in a hole of the lead goes
    /// with neither side: tracks are cut together, but not to the microsecond.
    private static func overlapping(
        _ track: IndexedTrack, with run: SegmentRuns, of lead: IndexedTrack, isOpen: Bool
    ) -> IndexedTrack? {
        guard let leadSpan = span(run, lead) else { return nil }
        let segments = track.segments
        let isFirst = run.first == lead.segments.first
        let isLast = run.last == lead.segments.last
        let first = segments.partitioningIndex {
            offsetUs($0.time + (isFirst ? $0.duration : $0.duration / 2), track) > leadSpan.start
        }
        let end =
            isOpen
            ? segments.endIndex
            : segments.partitioningIndex { offsetUs($0.time + (isLast ? 0 : $0.duration / 2), track) >= leadSpan.end }
        let part = segments.part(first..<max(first, end))
        return part.isEmpty ? nil : with(track, part)
    }

    /// Start and end relative to the period's start, microseconds.
    private static func span(_ segments: SegmentRuns, _ track: IndexedTrack) -> (start: Int64, end: Int64)? {
        guard let first = segments.first, let last = segments.last else { return nil }
        return (offsetUs(first.time, track), offsetUs(last.time + last.duration, track))
    }

    private static func offsetUs(_ time: Int64, _ track: IndexedTrack) -> Int64 {
        scaled(time - track.timeAtStart, from: track.timescale, to: 1_000_000)
    }

    private static func make(
        _ tracks: [IndexedTrack], _ period: IndexedPeriod, _ recording: IndexedRecording
    ) -> TimelinePeriod? {
        guard let lead = tracks.first, let first = lead.segments.first, let leadSpan = span(lead.segments, lead) else {
            return nil
        }
        let longest = tracks.compactMap { span($0.segments, $0)?.end }.max() ?? leadSpan.end
        let end = longest - leadSpan.end > tailUs ? longest : leadSpan.end
        let startTicks = first.time - lead.timeAtStart
        let source = TimelinePeriod.source(node: recording.node, session: recording.session, ordinal: period.ordinal)
        return TimelinePeriod(
            id: "\(source).\(first.number)", node: recording.node,
            wallStartUs: period.startUs + leadSpan.start, startUs: 0, durationUs: end - leadSpan.start,
            tracks: tracks.map { track in
                TimelineTrack(
                    track: track,
                    presentationTimeOffset: track.timeAtStart
                        + scaled(startTicks, from: lead.timescale, to: track.timescale))
            })
    }

    /// `ticks · to / from`, rounded; exact in the integer part for every value the index holds.
    static func scaled(_ ticks: Int64, from: Int64, to: Int64) -> Int64 {
        let whole = (ticks / from).multipliedReportingOverflow(by: to)
        let rest = Double(ticks % from) * Double(to) / Double(from)
        return whole.overflow ? 0 : whole.partialValue &+ Int64(rest.rounded())
    }

    // MARK: overlap

    private static func withoutOverlap(_ stretches: [Stretch]) -> [Stretch] {
        var placed: [Stretch] = []
        for stretch in stretches {
            // What one node recorded cannot overlap, whatever its clock says: a new period is placed on the wall clock anew.
            guard let last = placed.last, last.period.node != stretch.period.node,
                stretch.period.wallStartUs < last.period.wallEndUs - overlapSlackUs
            else {
                placed.append(stretch)
                continue
            }
            if let rest = trimmed(stretch.period, fromUs: last.period.wallEndUs - overlapSlackUs) {
                placed.append(Stretch(period: rest, isGrowing: stretch.isGrowing))
            }
        }
        return placed
    }

    // MARK: places to begin

    /// Leaves out what cannot be decoded because what it refers to is not played before it. Where nothing of a period can be it stays, for
    /// the sound, unless that may come yet.
    private static func decodable(_ stretches: [Stretch]) -> [Stretch] {
        guard stretches.contains(where: { $0.period.tracks.first?.track.segments.first?.startsWithSync == false }) else {
            return stretches
        }
        var kept: [Stretch] = []
        for var stretch in stretches {
            let isFollowing = kept.last.map { stretch.follows($0) } ?? false
            if !isFollowing, let segments = stretch.period.tracks.first?.track.segments, segments.first?.startsWithSync == false {
                if segments.firstSync(from: 0) == nil, stretch.isGrowing { continue }
                stretch.period = trimmed(stretch.period, fromUs: stretch.period.wallStartUs) ?? stretch.period
            }
            kept.append(stretch)
        }
        return kept
    }

    /// What is left of a period when only lead segments that begin at or after an instant are kept, from the first that can be decoded on.
    private static func trimmed(_ period: TimelinePeriod, fromUs: Int64) -> TimelinePeriod? {
        guard let lead = period.tracks.first else { return nil }
        let segments = lead.track.segments
        let reached = segments.partitioningIndex { period.wallStartUs + offsetUs($0.time, lead) >= fromUs }
        guard reached < segments.count else { return nil }
        let first = segments[segments.firstSync(from: reached) ?? reached]
        let left = period.tracks.map { $0.track.segments.touching(instant(first.time, of: lead, in: $0), .max) }
        guard var rest = part(of: period, left) else { return nil }
        rest.durationUs = period.wallEndUs - rest.wallStartUs
        return rest.durationUs > 0 ? rest : nil
    }

    /// A period with some segments of each of its tracks, from the lead's first one to its last; nil without any of the lead's.
    private static func part(of period: TimelinePeriod, _ segments: [SegmentRuns]) -> TimelinePeriod? {
        guard let lead = period.tracks.first, let own = segments.first, let first = own.first, let last = own.last else {
            return nil
        }
        var part = period
        part.id = "\(period.source).\(first.number)"
        part.wallStartUs = period.wallStartUs + offsetUs(first.time, lead)
        part.durationUs = offsetUs(last.time + last.duration, lead) - offsetUs(first.time, lead)
        part.tracks = zip(period.tracks, segments).compactMap { entry, segments in
            segments.isEmpty
                ? nil
                : TimelineTrack(
                    track: with(entry.track, segments), presentationTimeOffset: instant(first.time, of: lead, in: entry))
        }
        return part
    }

    /// Microseconds from the period's start.
    private static func offsetUs(_ time: Int64, _ entry: TimelineTrack) -> Int64 {
        scaled(time - entry.presentationTimeOffset, from: entry.track.timescale, to: 1_000_000)
    }

    /// The instant of the lead's `time` in another track of its period.
    static func instant(_ time: Int64, of lead: TimelineTrack, in entry: TimelineTrack) -> Int64 {
        entry.presentationTimeOffset
            + scaled(time - lead.presentationTimeOffset, from: lead.track.timescale, to: entry.track.timescale)
    }

    // MARK: holes beside the lead

    /// Begins a period wherever a track beside the lead goes on behind a hole. What the lead has beside that hole stays with what came
    /// before, as if the other track had ended there.
    private static func withoutHoles(_ stretch: Stretch) -> [Stretch] {
        let period = stretch.period
        let cutsUs = Set(period.tracks.dropFirst().flatMap { resumptionsUs($0) }).sorted()
        guard !cutsUs.isEmpty else { return [stretch] }
        let pieces = period.tracks.map { split($0, atUs: cutsUs) }
        var parts = (0...cutsUs.count).compactMap { place in part(of: period, pieces.map { $0[place] }) }
        // Where the lead reaches the end the last part does, too, with what the other has beyond it.
        if let last = parts.indices.last, pieces.first?.last?.isEmpty == false {
            parts[last].durationUs = period.wallEndUs - parts[last].wallStartUs
        }
        return parts.enumerated().map { index, part in
            Stretch(
                period: part, isGrowing: stretch.isGrowing && index == parts.count - 1,
                continues: index > 0 || stretch.continues)
        }
    }

    /// Where a track goes on behind a hole, microseconds from its period's start.
    private static func resumptionsUs(_ entry: TimelineTrack) -> [Int64] {
        let segments = entry.track.segments
        return segments.timeline.breaks.dropFirst().map { offsetUs(segments[$0].time, entry) }
    }

    /// A track's segments before, between and behind some instants, by where their middle lies.
    private static func split(_ entry: TimelineTrack, atUs cutsUs: [Int64]) -> [SegmentRuns] {
        let segments = entry.track.segments
        let places = cutsUs.map { cutUs in
            segments.partitioningIndex { offsetUs($0.time + $0.duration / 2, entry) >= cutUs }
        }
        return zip([0] + places, places + [segments.count]).map { segments.part($0..<$1) }
    }
}
