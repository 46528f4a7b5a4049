import Media

/// An HLS media playlist (RFC 8216bis 4.4.3), laid out but not yet written: what of it is there can be told without writing it.
///
/// Each period begins with a discontinuity, its own map and its wall clock, in every rendition alike. Entries come at the end only, and
/// stay as they are while their recordings are kept. A list that grows is an `EVENT` (4.4.3.5) until one of them is deleted.
public struct MediaPlaylist: Sendable {
    private let addresses: ObjectAddresses
    private let live: LiveEdge?
    private let isGrowing: Bool
    private var sections: [PlaylistSection] = []
    /// `EXT-X-TARGETDURATION`.
    let targetSeconds: Int
    /// How long a reload may wait, in seconds: three target durations, whatever its origin says that the longest segment was.
    public let waitSecondsMax: Double
    /// How many segments and discontinuities players were told of in front of the first section.
    private var gone = (segments: 0, discontinuities: 0)
    /// Media sequence number of the last finished segment; the line's first one is 1.
    public private(set) var lastSequence = 0
    /// How far the other renditions are (`EXT-X-RENDITION-REPORT`, 4.4.5.4), as attributes.
    private var reports: [String] = []
    /// The live edge is older than the line: ask for it anew.
    public private(set) var isEdgeStale = false

    /// Nil when no period has the track, and when the segment is gone that all is counted from.
    /// - Parameters:
    ///   - live: what is being written; nil for a playlist without parts.
    ///   - segmentSecondsMax: the longest segment there can be while it grows, unless `live` knows of longer ones.
    ///   - origin: what its players were told first; nil: all is counted from what is there.
    init?(
        _ timeline: Timeline, _ rendition: Timeline.Rendition, addresses: ObjectAddresses, live: LiveEdge?,
        segmentSecondsMax: Double, origin: PlaylistOrigin?
    ) {
        guard timeline.has(rendition) else { return nil }
        self.addresses = addresses
        isGrowing = timeline.isGrowing
        self.live = timeline.isGrowing ? live : nil
        let bound = max(live?.segmentSecondsMax ?? 0, segmentSecondsMax)
        let knownSeconds = max(1, Int(bound.rounded()), Int(timeline.maxSegmentSeconds.rounded()))
        targetSeconds = max(knownSeconds, origin?.targetSeconds ?? 0)
        waitSecondsMax = Double(3 * knownSeconds)
        let silence = timeline.silence(rendition)
        // Whoever began with a list that grows reads its end, too.
        let keepsNumbers = timeline.isGrowing || origin != nil
        for (index, period) in timeline.periods.enumerated() {
            let isLast = index == timeline.periods.count - 1
            let before = index > 0 ? timeline.periods[index - 1] : nil
            // A list that is whole leaves out what all renditions lack.
            let continued = before.flatMap { before in
                before.isContinued(by: period) && (keepsNumbers || before.hole(before: period, in: period.tracks[0]).isEmpty)
                    ? before : nil
            }
            add(period, rendition, silence, isOpen: isLast && timeline.isGrowing, continuing: continued)
        }
        addOpenPeriod(timeline, rendition)
        if let origin, let first = origin.first(rendition), !number(from: origin, first) { return nil }
        lastSequence = gone.segments + count(before: sections.count)
    }

    /// - Parameter before: the period that this one continues behind a hole; nil when it begins anew.
    private mutating func add(
        _ period: TimelinePeriod, _ rendition: Timeline.Rendition, _ silence: Silence?, isOpen: Bool,
        continuing before: TimelinePeriod?
    ) {
        let own = period.tracks.first { $0.track.kind == rendition.rawValue }
        // Which tracks a period has is certain once it has ended; before, a track may only be late.
        if own == nil, isOpen, live?.lacks(rendition, in: period) != true { return }
        guard let entry = own ?? period.tracks.first else { return }
        let filling: PlaylistSection.Filling = own != nil ? .own : silence.map { .silence($0) } ?? .gap
        var section = PlaylistSection(
            filling: filling, entry: entry, source: period.source, node: period.node,
            wallStartUs: Self.wallStart(of: entry, in: period))
        if own != nil, let live {
            // A period that has ended is the last one only until the next has begun; nothing follows in it.
            section.isOpen = isOpen && live.isWriting(period)
            section.live = live.segments(of: entry.track.segmentPrefix)
            if isOpen, let last = section.segments.last {
                isEdgeStale =
                    section.live.last.map { $0.number < last.number || ($0.number == last.number && !$0.isFinished) } ?? true
            }
        }
        if let before, sections.last?.source == section.source {
            sections[sections.count - 1].append(section, gap: before.hole(before: period, in: entry), longest: targetSeconds)
        } else {
            sections.append(section)
        }
    }

    /// A period in which this track has no finished segment yet: its parts are there already.
    private mutating func addOpenPeriod(_ timeline: Timeline, _ rendition: Timeline.Rendition) {
        guard let live, isGrowing, let period = live.period, let last = timeline.periods.last,
            let track = period.tracks.first(where: { $0.kind == rendition.rawValue }),
            !timeline.periods.contains(where: { $0.tracks.contains { $0.track.segmentPrefix == track.segmentPrefix } }),
            period.startUs >= last.wallStartUs || live.isWriting(last)
        else { return }
        let parts = live.segments(of: track.segmentPrefix)
        guard parts.first.map({ !$0.isFinished && !$0.parts.isEmpty }) ?? false else { return }
        var empty = track
        empty.segments = []
        var section = PlaylistSection(
            filling: .own, entry: TimelineTrack(track: empty, presentationTimeOffset: track.timeAtStart),
            source: TimelinePeriod.source(node: live.node, session: live.session, ordinal: period.ordinal),
            node: live.node, wallStartUs: period.startUs)
        (section.live, section.isOpen) = (parts, true)
        sections.append(section)
    }

    // MARK: Origin

    /// Gives every segment the number that players were told. What stands in front of the origin is told of as long as it is what it was;
    /// after that the list begins at the origin, for which of the others are gone nobody knows. False when the origin itself is gone.
    private mutating func number(from origin: PlaylistOrigin, _ first: PlaylistOrigin.First) -> Bool {
        if agrees(with: origin, first) { return true }
        guard let place = place(of: origin, first) else { return false }
        sections.removeFirst(place)
        sections[0].begin(at: first.number)
        // It may begin later than it did, where what came before is needed for decoding.
        let lost = max(0, (sections[0].segments.first?.number ?? 0) - first.number)
        gone = (first.sequence - 1 + Int(lost), origin.discontinuity)
        return true
    }

    /// Whether the origin has the number here that it says.
    func agrees(with origin: PlaylistOrigin, _ first: PlaylistOrigin.First) -> Bool {
        place(of: origin, first).map {
            gone.discontinuities + $0 == origin.discontinuity && self.first(at: $0) == first
        } ?? false
    }

    private func place(of origin: PlaylistOrigin, _ first: PlaylistOrigin.First) -> Int? {
        // Of a period there may be several sections, where a track ended before the other.
        sections.firstIndex { $0.source == origin.source && ($0.segments.last?.number ?? 0) >= first.number }
    }

    /// Segments that are listed in front of a section.
    private func count(before place: Int) -> Int { sections[..<place].reduce(0) { $0 + $1.count } }

    /// What players were told of in front is not there any more.
    private var isShortened: Bool { gone.discontinuities > 0 || gone.segments > 0 }

    /// How many discontinuities players were told of in front of the first section.
    var discontinuitiesGone: Int { gone.discontinuities }

    /// The last section from whose beginning on there is so much media; the first that has any where there is less. Nil where is none.
    func lastPlace(before seconds: Double) -> Int? {
        var left = seconds
        for place in sections.indices.reversed() {
            left -= sections[place].seconds
            if left <= 0, !sections[place].segments.isEmpty { return place }
        }
        return sections.firstIndex { !$0.segments.isEmpty }
    }

    /// Of which period a section is.
    func source(at place: Int) -> String? { sections.indices.contains(place) ? sections[place].source : nil }

    /// The first segment of a section, as an origin names it.
    func first(at place: Int) -> PlaylistOrigin.First? {
        guard sections.indices.contains(place), let first = sections[place].segments.first else { return nil }
        return PlaylistOrigin.First(sequence: gone.segments + count(before: place) + 1, number: first.number)
    }

    // MARK: Position

    /// The segment that is being written, with its parts so far; nil when it is not known.
    private var open: (section: PlaylistSection, segment: LiveEdge.Segment?, number: Int64)? {
        guard let section = sections.last, section.isOpen else { return nil }
        let next = (section.segments.last?.number ?? 0) + 1
        let newest = section.live.last
        if let newest, !newest.isFinished { return newest.number == next ? (section, newest, next) : nil }
        return section.segments.isEmpty ? nil : (section, nil, next)
    }

    /// How many parts of the segment behind the last finished one are there.
    public var openParts: Int { open?.segment?.parts.count ?? 0 }

    /// Tells players how far another rendition is, so that they can switch to it without asking (4.4.5.4).
    /// - Parameter address: of that rendition's playlist.
    mutating func report(_ other: MediaPlaylist, at address: String) {
        guard live != nil, other.openParts > 0 || other.lastSequence > 0 else { return }
        let (sequence, parts) =
            other.openParts > 0 ? (other.lastSequence + 1, other.openParts) : (other.lastSequence, other.partsOfLast ?? 0)
        reports.append("URI=\"\(address)\",LAST-MSN=\(sequence)" + (parts > 0 ? ",LAST-PART=\(parts - 1)" : ""))
    }

    /// Whether a reload that asks for this segment, or this part of it, has something new to get (RFC 8216bis 6.2.5.2).
    public func has(sequence: Int, part: Int?) -> Bool {
        guard isGrowing, live != nil, sequence > lastSequence else {
            guard let part, sequence == lastSequence, let count = partsOfLast, part >= count else { return true }
            // A part behind the last one of its segment is the first of the next.
            return !isGrowing || openParts > 0
        }
        return sequence == lastSequence + 1 && part.map { $0 < openParts } ?? false
    }

    private var partsOfLast: Int? {
        guard let section = sections.last, let number = section.segments.last?.number else { return nil }
        return section.live.first { $0.number == number }?.parts.count
    }

    /// How far a reload may ask ahead; beyond is a client's mistake.
    public func isAbsurd(sequence: Int, part: Int?) -> Bool {
        guard isGrowing, let live else { return false }
        if sequence > lastSequence + 2 { return true }
        guard sequence == lastSequence + 1, let part else { return false }
        let ahead = live.partSecondsMax < 1 ? Int((3 / max(0.01, live.partSecondsMax)).rounded(.up)) : 3
        // A segment that ends meanwhile has fewer parts than its forerunners; only what none can have is absurd.
        let most = Int((Double(targetSeconds) / max(0.01, live.partSecondsMax * 0.8)).rounded(.up))
        return part >= max(openParts + ahead, most)
    }

    // MARK: Text

    /// The playlist as it is served.
    /// - Parameter isDelta: the client has a recent one: what is old is left out (`EXT-X-SKIP`, 4.4.5.2).
    public func text(isDelta: Bool = false) -> String {
        let skipped = isDelta && live != nil ? skippable : 0
        var out = head
        if skipped > 0 { out += "#EXT-X-SKIP:SKIPPED-SEGMENTS=\(skipped)\n" }
        var toSkip = skipped
        for (index, section) in sections.enumerated() {
            let first = min(toSkip, section.count)
            toSkip -= first
            if first == section.count, !section.segments.isEmpty, index < sections.count - 1 { continue }
            if first == 0 {
                if index > 0 { out += "#EXT-X-DISCONTINUITY\n" }
                out += opening(section, isFirst: index == 0)
            }
            write(section, from: first, into: &out)
        }
        guard isGrowing else { return out + "#EXT-X-ENDLIST\n" }
        writeOpen(into: &out)
        for report in reports { out += "#EXT-X-RENDITION-REPORT:\(report)\n" }
        return out
    }

    private var head: String {
        var out = "#EXTM3U\n#EXT-X-VERSION:\(live == nil ? 7 : 9)\n#EXT-X-TARGETDURATION:\(targetSeconds)\n"
        if let live {
            let hold = Self.decimal(3 * live.partSecondsMax)
            out += "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=\(6 * targetSeconds).0,"
            out += "PART-HOLD-BACK=\(hold),HOLD-BACK=\(3 * targetSeconds).0\n"
            out += "#EXT-X-PART-INF:PART-TARGET=\(Self.decimal(live.partSecondsMax))\n"
        }
        out += "#EXT-X-MEDIA-SEQUENCE:\(gone.segments + 1)\n#EXT-X-DISCONTINUITY-SEQUENCE:\(gone.discontinuities)\n"
        if sections.allSatisfy(\.isIndependent) { out += "#EXT-X-INDEPENDENT-SEGMENTS\n" }
        guard isGrowing else { return out + "#EXT-X-PLAYLIST-TYPE:VOD\n" }
        // Players rewind an event to its beginning (FFmpeg nothing else that grows); it promises that nothing goes, which was broken then.
        return isShortened ? out : out + "#EXT-X-PLAYLIST-TYPE:EVENT\n"
    }

    /// Segments that end more than six target durations before the end.
    private var skippable: Int {
        var seconds = Double(6 * targetSeconds)
        var kept = 0
        for section in sections.reversed() {
            kept += section.count(inLast: seconds)
            seconds -= section.seconds
            if seconds <= 0 { return lastSequence - gone.segments - kept }
        }
        return 0
    }

    private func opening(_ section: PlaylistSection, isFirst: Bool) -> String {
        var out = ""
        func map(_ section: PlaylistSection) -> String {
            "#EXT-X-MAP:URI=\"\(addresses.address(section.entry.track.initialization, node: section.node))\"\n"
        }
        switch section.filling {
        case .own: out = map(section)
        case .silence(let silence):
            out = "#EXT-X-MAP:URI=\"\(addresses.beside("silence_init.mp4", silence.query))\"\n"
        case .gap:
            // A playlist must say at once what it will hold; another track's map would change the codec.
            let own = sections.first { if case .own = $0.filling { true } else { false } }
            if isFirst, let own { out = map(own) }
        }
        let wall = ISO8601.dateTime(microseconds: section.wallStartUs / 1_000 * 1_000)
        return out + "#EXT-X-PROGRAM-DATE-TIME:\(wall)\n"
    }

    private func write(_ section: PlaylistSection, from first: Int, into out: inout String) {
        let track = section.entry.track
        let parted = Dictionary(section.live.map { ($0.number, $0) }) { _, last in last }
        section.forEach(dropping: first) { segment, filling in
            if case .own = filling, let parts = parted[segment.number] { write(parts, section, into: &out) }
            out += "#EXTINF:\(Self.seconds(segment.duration, track.timescale)),\n"
            switch filling {
            case .own: out += addresses.address(track.object(number: segment.number), node: section.node) + "\n"
            case .silence(let silence):
                let start = Timeline.scaled(segment.time, from: track.timescale, to: silence.timescale)
                let end = Timeline.scaled(segment.time + segment.duration, from: track.timescale, to: silence.timescale)
                out += addresses.beside("silence.m4s", "\(silence.query)&t=\(start)&d=\(end - start)") + "\n"
            case .gap:
                // What is lost still takes its time, and so does a period without this track.
                out += "#EXT-X-GAP\n" + addresses.address(track.object(number: segment.number), node: section.node) + "\n"
            }
        }
    }

    private func write(_ segment: LiveEdge.Segment, _ section: PlaylistSection, into out: inout String) {
        let track = section.entry.track
        let key = track.object(number: segment.number)
        for (index, part) in segment.parts.enumerated() {
            let address = addresses.address(key, node: section.node, part: index)
            out += "#EXT-X-PART:DURATION=\(Self.seconds(part.duration, track.timescale)),URI=\"\(address)\""
            out += part.isIndependent ? ",INDEPENDENT=YES\n" : "\n"
        }
    }

    private func writeOpen(into out: inout String) {
        guard let open, !isEdgeStale else { return }
        if let segment = open.segment { write(segment, open.section, into: &out) }
        let key = open.section.entry.track.object(number: open.number)
        let address = addresses.address(key, node: open.section.node, part: open.segment?.parts.count ?? 0)
        out += "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"\(address)\"\n"
    }

    private static func wallStart(of entry: TimelineTrack, in period: TimelinePeriod) -> Int64 {
        guard let first = entry.track.segments.first else { return period.wallStartUs }
        let ticks = Double(first.time - entry.presentationTimeOffset)
        return max(0, period.wallStartUs + Int64(ticks / Double(entry.track.timescale) * 1e6))
    }

    /// A decimal number with six places, as `EXTINF` wants it.
    private static func seconds(_ ticks: Int64, _ timescale: Int64) -> String {
        let micros = Int64((Double(ticks) / Double(timescale) * 1e6).rounded())
        let rest = String(micros % 1_000_000)
        return "\(micros / 1_000_000)." + String(repeating: "0", count: 6 - rest.utf8.count) + rest
    }

    private static func decimal(_ seconds: Double) -> String { Self.seconds(Int64((seconds * 1e6).rounded(.up)), 1_000_000) }
}

extension LiveEdge {
    /// A period has no such track and gets none: it has ended, or something of it is finished, and then its tracks are fixed.
    fileprivate func lacks(_ rendition: Timeline.Rendition, in period: TimelinePeriod) -> Bool {
        guard let open = self.period else { return true }
        return isWriting(period)
            ? !open.tracks.contains { $0.kind == rendition.rawValue } : open.startUs >= period.wallStartUs
    }

    /// A period of the line is the one being written.
    func isWriting(_ period: TimelinePeriod) -> Bool {
        guard let open = self.period else { return false }
        return open.tracks.contains { track in period.tracks.contains { $0.track.segmentPrefix == track.segmentPrefix } }
    }
}
