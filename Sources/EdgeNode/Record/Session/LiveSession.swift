import Cluster
import HTTP
import Journal
import Media
import Presentation
import Synchronization

/// A session while it is written: the recorder's thread changes it, requests read it.
final class LiveSession: Sendable {
    let id: String
    let stream: String
    let directory: String
    private let segmentSecondsMax: Double
    private let partSecondsMax: Double
    private let room: WaitingRoom?
    private let state: Mutex<State>

    fileprivate struct State {
        var session: RecordedSession
        var tracks: [PartedTrack] = []
        /// Counts from the time the session began, so that no two sessions have one revision.
        var revision: Int64
    }

    /// A track's youngest segments with their parts.
    fileprivate struct PartedTrack {
        var edge: LiveEdge.Track
        let timescale: Int64
        let periodStartUs: Int64
        /// A part came that is longer than parts may be: the rest of this segment has none.
        var unpartedNumber: Int64?
    }

    /// For so long, in microseconds, an index may not have heard of what was finished.
    static let recentUs: Int64 = 60_000_000

    /// - Parameter room: where those wait who want to know of changes.
    init(_ session: RecordedSession, segmentSeconds: Double = 4, room: WaitingRoom? = nil) {
        id = session.id
        stream = session.stream
        directory = session.directory
        var settings = TimelineSettings()
        settings.segmentSeconds = segmentSeconds
        segmentSecondsMax = settings.segmentSecondsMax
        partSecondsMax = settings.partSecondsMax
        self.room = room
        state = Mutex(State(session: session, revision: session.updatedUs))
    }

    var value: RecordedSession { state.withLock { $0.session } }
    var row: RecordingRecord { state.withLock { $0.session.row } }

    func apply(_ line: JournalLine) {
        state.withLock { state in
            state.session.apply(line)
            state.revision += 1
            if line.event == .segment { state.finish(line, keepUs: keepUs) }
        }
        room?.changed(stream)
    }

    /// A whole fragment has been written into the open segment of a track, where others can read it now.
    func add(_ fragment: Fragment, at offset: Int64, to kind: LaneKind, number: Int) {
        let part = LiveEdge.Part(
            duration: fragment.duration, offset: offset, bytes: Int64(fragment.count), isIndependent: fragment.startsWithSync)
        state.withLock { $0.add(part, at: fragment.time, to: kind, number: Int64(number), secondsMax: partSecondsMax) }
        room?.changed(stream)
    }

    /// Parts must be listed until they are three target durations from the end (RFC 8216bis 6.2.2).
    private var keepUs: Int64 { Int64(3e6 * segmentSecondsMax) }

    // MARK: Reading

    /// Where a part lies in its segment; nil when there is no such part, with whether there may be one soon.
    func part(_ number: Int, of name: String) -> (range: Range<Int64>?, mayCome: Bool) {
        state.withLock { state in
            for track in state.tracks where name.hasPrefix(track.edge.segmentPrefix) && name.hasSuffix(".m4s") {
                // A session's id may begin with digits, too.
                let digits = name.dropFirst(track.edge.segmentPrefix.count).dropLast(4)
                guard let wanted = Int64(digits), wanted > 0 else { continue }
                guard let segment = track.edge.segments.first(where: { $0.number == wanted }) else {
                    // The first part of the next segment is asked for before there is one.
                    return (nil, number == 0 && track.edge.segments.last.map { $0.number + 1 == wanted } ?? (wanted == 1))
                }
                guard segment.parts.indices.contains(number) else {
                    return (nil, !segment.isFinished && number == segment.parts.count)
                }
                let part = segment.parts[number]
                return (part.offset..<part.offset + part.bytes, false)
            }
            return (nil, false)
        }
    }

    /// What is being written, and what was finished lately.
    func edge(version: Int64, earlier: [LiveSession]) -> LiveEdge {
        let state = state.withLock { $0 }
        let session = state.session
        return LiveEdge(
            version: version, revision: state.revision, node: session.node, session: id, partSecondsMax: partSecondsMax,
            segmentSecondsMax: segmentSecondsMax, recent: (earlier.map(\.value) + [session]).compactMap(\.recentMaterial),
            period: session.openPeriod.map { open in
                IndexedPeriod(
                    ordinal: open.ordinal, startUs: open.period.startUs,
                    tracks: open.period.tracks.map { $0.indexed(in: directory) })
            },
            tracks: (earlier.flatMap(\.parted) + state.tracks.map { $0.edge.named(in: directory) }))
    }

    /// The same for a coordinator.
    func record(version: Int64, earlier: [LiveSession]) -> LiveEdgeRecord {
        let state = state.withLock { $0 }
        let session = state.session
        let open = session.openPeriod
        let recordings = (earlier.map(\.value) + [session]).map { session in
            let recent = session.recent(sinceUs: session.updatedUs - Self.recentUs)
            return LiveEdgeRecord.Recording(record: session.row, detail: recent.session.detail, firstOrdinal: recent.left)
        }
        return LiveEdgeRecord(
            version: version, revision: state.revision, session: id, partSecondsMax: partSecondsMax,
            segmentSecondsMax: segmentSecondsMax, recordings: recordings, open: open.map { session.detail(ofOpen: $0.period) },
            openOrdinal: open?.ordinal ?? 0,
            tracks: (earlier.flatMap(\.parted) + state.tracks.map { $0.edge.named(in: directory) }).map(LiveEdgeRecord.Track.init)
        )
    }

    private var parted: [LiveEdge.Track] { state.withLock { $0.tracks }.map { $0.edge.named(in: directory) } }
}

extension LiveSession.State {
    fileprivate mutating func place(_ kind: LaneKind) -> Int? {
        guard let period = session.periods.last, let track = period.tracks.last(where: { $0.kind == kind }) else { return nil }
        if let known = tracks.firstIndex(where: { $0.edge.segmentPrefix == track.prefix }) { return known }
        tracks.append(
            LiveSession.PartedTrack(
                edge: LiveEdge.Track(segmentPrefix: track.prefix, segments: []), timescale: Int64(track.timescale),
                periodStartUs: period.startUs))
        return tracks.count - 1
    }

    fileprivate mutating func add(_ part: LiveEdge.Part, at time: Int64, to kind: LaneKind, number: Int64, secondsMax: Double) {
        guard let place = place(kind) else { return }
        if tracks[place].edge.segments.last?.number != number {
            tracks[place].edge.segments.append(LiveEdge.Segment(number: number, time: time, parts: [], isFinished: false))
        }
        // With rounding, which must not cost a segment its parts.
        if Double(part.duration) > secondsMax * Double(tracks[place].timescale) + 1 { tracks[place].unpartedNumber = number }
        guard tracks[place].unpartedNumber != number else { return }
        tracks[place].edge.segments[tracks[place].edge.segments.count - 1].parts.append(part)
    }

    fileprivate mutating func finish(_ line: JournalLine, keepUs: Int64) {
        guard let kind = line.kind, let number = line.number, let place = place(kind) else { return }
        if let segment = tracks[place].edge.segments.lastIndex(where: { $0.number == Int64(number) }) {
            tracks[place].edge.segments[segment].isFinished = true
        }
        let timescale = tracks[place].timescale
        let edgeUs = tracks[place].periodStartUs + ((line.time ?? 0) + (line.duration ?? 0)) * 1_000_000 / max(1, timescale)
        for index in tracks.indices {
            let track = tracks[index]
            tracks[index].edge.segments.removeAll { segment in
                let end = segment.time + segment.parts.reduce(0) { $0 + $1.duration }
                return segment.isFinished && track.periodStartUs + end * 1_000_000 / track.timescale < edgeUs - keepUs
            }
        }
        let current = Set((session.periods.last?.tracks ?? []).map(\.prefix))
        tracks.removeAll { $0.edge.segments.isEmpty && !current.contains($0.edge.segmentPrefix) }
    }
}

extension LiveEdge.Track {
    fileprivate func named(in directory: String) -> LiveEdge.Track {
        LiveEdge.Track(segmentPrefix: directory + "/" + segmentPrefix, segments: segments)
    }
}

extension LiveEdgeRecord.Track {
    fileprivate init(_ track: LiveEdge.Track) {
        self.init(
            prefix: track.segmentPrefix,
            segments: track.segments.map { segment in
                LiveEdgeRecord.Segment(
                    number: segment.number, t: segment.time, finished: segment.isFinished,
                    parts: segment.parts.map(\.duration),
                    independent: segment.parts.indices.filter { segment.parts[$0].isIndependent })
            })
    }
}

extension RecordedSession {
    /// The period that is being written, its tracks without segments, and its place among those that have some.
    fileprivate var openPeriod: (period: Period, ordinal: Int)? {
        guard !isEnded, var open = periods.last, !open.isEnded, !open.tracks.isEmpty else { return nil }
        for index in open.tracks.indices { open.tracks[index].segments = [] }
        return (open, periods.dropLast().count { $0.hasSegments })
    }

    /// Only what reaches past an instant, at least the last segment of a track, and how many periods were left out in front.
    fileprivate func recent(sinceUs: Int64) -> (session: RecordedSession, left: Int) {
        var kept: [Period] = []
        let filled = periods.filter(\.hasSegments)
        for period in filled.reversed() {
            if !kept.isEmpty, period.startUs + period.durationUs < sinceUs { break }
            var short = period
            for index in short.tracks.indices {
                let track = short.tracks[index]
                let first = track.segments.lastIndex { period.startUs + track.us($0.time + $0.duration) < sinceUs } ?? -1
                short.tracks[index].segments = Array(track.segments.suffix(max(1, track.segments.count - 1 - first)))
            }
            kept.append(short)
        }
        return (with(kept.reversed()), filled.count - kept.count)
    }

    fileprivate var recentMaterial: RecordedMaterial? {
        let recent = recent(sinceUs: updatedUs - LiveSession.recentUs)
        guard let recording = IndexedRecording(row, node: node) else { return nil }
        let periods = recent.session.indexed.map { period in
            var period = period
            period.ordinal += recent.left
            return period
        }
        return RecordedMaterial(recording: recording, periods: periods, isGrowing: !isEnded)
    }

    /// Everything about a period that is being written but its segments.
    fileprivate func detail(ofOpen period: Period) -> RecordingDetail {
        let tracks = period.tracks.map(\.properties)
        let members = period.tracks.enumerated().map { index, track in
            RecordingPeriodTrack(
                track: index, initObject: directory + "/" + track.initialization,
                segmentPrefix: directory + "/" + track.prefix, mediaTimeOffset: 0, segments: [])
        }
        return RecordingDetail(
            id: id, stream: stream, nodeAlias: node, status: status, mpdPath: mpdPath, recordDir: directory,
            updatedAt: updatedUs, tracks: tracks,
            periods: [RecordingPeriod(id: "\(id)-\(period.number)", startUs: period.startUs, durationMs: 0, tracks: members)])
    }
}
