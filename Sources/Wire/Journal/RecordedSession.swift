import Cluster
import Media
import Store

/// What is known of a session: its journal, read.
package struct RecordedSession: Equatable, Sendable {
    package let id: String
    package let stream: String
    package let node: String
    package let directory: String
    package let startUs: Int64
    package private(set) var periods: [Period] = []
    package private(set) var isEnded = false
    package private(set) var isFailed = false
    package private(set) var isAcked = false
    package private(set) var isForgotten = false
    /// Removal has begun: no manifest names it any more.
    package private(set) var isDeleting = false
    /// Nothing is left but the journal's notice.
    package private(set) var isDeleted = false
    package private(set) var reason: String?
    package private(set) var updatedUs: Int64
    /// The row as it was when the session was closed; nil before, and in old journals.
    package private(set) var closing: Closing?

    package struct Closing: Equatable, Sendable {
        package let endUs: Int64
        package let durationMs: Int64
        package let segments: Int64
    }

    package struct Period: Equatable, Sendable {
        package let number: Int
        package let startUs: Int64
        /// No media lie between it and the Period before, which may be another session's.
        package var continues = false
        package var isEnded = false
        package var tracks: [Track] = []
    }

    package struct Track: Equatable, Sendable {
        package let kind: LaneKind
        package let codecs: String
        package let timescale: Int
        package let width: Int
        package let height: Int
        package let channels: Int
        package let initialization: String
        package let prefix: String
        package var segments: [Segment] = []
        /// Segments that were there once, between those that are, by rising number: their numbers and times stay taken.
        package fileprivate(set) var gone: [Segment] = []
    }

    package struct Segment: Equatable, Sendable {
        package let number: Int
        package let time: Int64
        package let duration: Int64
        package let bytes: Int64
        package let samples: Int
        package let startsWithSync: Bool
    }

    /// Nil when the line does not begin a session.
    package init?(_ line: JournalLine, directory: String) {
        guard line.event == .session, let id = line.id, let stream = line.stream, let startUs = line.startUs,
            JournalBounds.times.contains(startUs), JournalBounds.times.contains(line.at)
        else { return nil }
        self.id = id
        self.stream = stream
        self.directory = directory
        self.startUs = startUs
        node = line.node ?? ""
        updatedUs = line.at
    }

    /// Takes the next line; one that makes no sense here changes nothing.
    package mutating func apply(_ line: JournalLine) {
        guard JournalBounds.times.contains(line.at) else { return }
        updatedUs = max(updatedUs, line.at)
        let index = periods.firstIndex { $0.number == line.period }
        switch line.event {
        case .session: break
        case .period:
            guard let number = line.period, let startUs = line.startUs, index == nil, JournalBounds.numbers.contains(number),
                JournalBounds.times.contains(startUs), periods.count < JournalBounds.periodsMax
            else { return }
            periods.append(Period(number: number, startUs: startUs, continues: line.continues ?? false))
        case .track:
            guard let index, let track = Track(line) else { return }
            periods[index].tracks.append(track)
        case .segment, .lost:
            guard let index, let number = line.number, let kind = line.kind else { return }
            if line.event == .lost {
                guard let track = periods[index].tracks.firstIndex(where: { $0.kind == kind }) else { return }
                periods[index].tracks[track].segments.removeAll { $0.number >= number }
                periods[index].tracks[track].gone.removeAll { $0.number >= number }
            } else if let segment = Segment(line) {
                append(segment, to: kind, inPeriod: index)
            }
        case .gone:
            guard let index, let number = line.number, let kind = line.kind,
                let track = periods[index].tracks.firstIndex(where: { $0.kind == kind })
            else { return }
            periods[index].tracks[track].lose(line.segments ?? 1, from: number)
        case .periodEnd:
            if let index { periods[index].isEnded = true }
        case .end:
            isEnded = true
            isFailed = line.failed ?? false
            reason = line.reason
            closing = Closing(line)
        case .acked: isAcked = true
        case .forgotten: isForgotten = true
        case .deleting: isDeleting = true
        case .deleted:
            isDeleting = true
            isDeleted = true
        }
    }

    /// The same for a line that is most of a journal.
    package mutating func apply(_ line: SegmentLine) {
        guard JournalBounds.times.contains(line.at) else { return }
        updatedUs = max(updatedUs, line.at)
        guard
            let index = periods.last?.number == line.period
                ? periods.count - 1 : periods.firstIndex(where: { $0.number == line.period })
        else { return }
        append(line.segment, to: line.kind, inPeriod: index)
    }

    private mutating func append(_ segment: Segment, to kind: LaneKind, inPeriod index: Int) {
        guard let track = periods[index].tracks.firstIndex(where: { $0.kind == kind }),
            periods[index].tracks[track].canBeFollowed(by: segment)
        else { return }
        periods[index].tracks[track].segments.append(segment)
    }

    /// The line that closes the session.
    package func closingLine(at: Int64, reason: String?, isFailed: Bool = false) -> JournalLine {
        var line = JournalLine(.end, at: at)
        line.reason = reason
        line.failed = isFailed ? true : nil
        line.endUs = endUs
        line.durationMs = durationMs
        line.segments = Int64(segmentCount)
        return line
    }

    /// The line that closes it, for an old journal that has none with a row. It changes nothing else.
    package func closedAgain() -> JournalLine { closingLine(at: updatedUs, reason: reason, isFailed: isFailed) }

    /// The same session with other periods.
    package func with(_ periods: [Period]) -> RecordedSession {
        var copy = self
        copy.periods = periods
        return copy
    }

    /// Of all tracks.
    package var segmentCount: Int { periods.flatMap(\.tracks).reduce(0) { $0 + $1.segments.count } }

    /// Something of it can be played.
    package var hasSegments: Bool { periods.contains { $0.hasSegments } }

    /// There are segments, and this does not know them: it was read from the ends of a journal, or of a journal whose middle is only in
    /// the remote store.
    package var isOutline: Bool { (closing?.segments ?? 0) > 0 && !hasSegments }
}

extension RecordedSession {
    /// A node that has not said anything of a recording for so long is not recording it any more: a day and an hour.
    package static let silenceUs: Int64 = 25 * 3_600_000_000

    /// The session as it is shown when its journal was changed last at that time: ended, when that is too long ago.
    package func shown(modifiedUs: Int64, nowUs: Int64) -> RecordedSession {
        modifiedUs < nowUs - Self.silenceUs ? ended : self
    }

    /// The same session when nothing more can be expected of its writer.
    package var ended: RecordedSession {
        guard !isEnded else { return self }
        var ended = self
        ended.apply(JournalLine(.end, at: updatedUs))
        return ended
    }

    /// What takes the place of the journal of a session that is removed: who it was, and until its objects are gone their names.
    package func notice(_ event: JournalLine.Event, clock: UpdateClock) -> [JournalLine] {
        var first = JournalLine(.session, at: clock.next())
        (first.version, first.id, first.stream, first.node, first.startUs) = (1, id, stream, node, startUs)
        var lines = [first]
        if event == .deleting {
            for period in periods {
                var line = JournalLine(.period, at: clock.next())
                (line.period, line.startUs) = (period.number, period.startUs)
                lines.append(line)
                lines += period.tracks.map { $0.line(ofPeriod: period.number, at: clock.next()) }
            }
        }
        lines.append(JournalLine(event, at: clock.next()))
        return lines
    }
}

/// What numbers in a journal may be, so that no sum or product of them overflows: a file may have been damaged, or made by someone.
private enum JournalBounds {
    /// Unix microseconds, to the year 2540.
    static let times: ClosedRange<Int64> = 0...18_000_000_000_000_000
    static let numbers = 1...1_000_000_000
    static let timescales = 1000...1_000_000
    /// Ten years at the finest timescale.
    static let ticks: ClosedRange<Int64> = 0...320_000_000_000_000
    static let periodSecondsMax: Int64 = 320_000_000
    static let periodsMax = 10_000
    static let bytes: ClosedRange<Int64> = 0...1_000_000_000_000
}

extension RecordedSession.Track {
    fileprivate init?(_ line: JournalLine) {
        guard let kind = line.kind, let codecs = line.codecs, let timescale = line.timescale,
            JournalBounds.timescales.contains(timescale),
            let initialization = line.initialization, let prefix = line.prefix, Self.isName(initialization), Self.isName(prefix)
        else { return nil }
        self.kind = kind
        self.codecs = codecs
        self.timescale = timescale
        width = line.width ?? 0
        height = line.height ?? 0
        channels = line.channels ?? 0
        self.initialization = initialization
        self.prefix = prefix
    }

    /// Whether it names something in the session's own directory.
    private static func isName(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 200 && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x2F && $0 != 0x5C }
    }

    /// The line that announces it.
    fileprivate func line(ofPeriod period: Int, at: Int64) -> JournalLine {
        var line = JournalLine(.track, at: at)
        (line.period, line.kind, line.codecs, line.timescale) = (period, kind, codecs, timescale)
        (line.width, line.height, line.channels) = (width, height, channels)
        (line.initialization, line.prefix) = (initialization, prefix)
        return line
    }

    /// Numbers and times go on where they were.
    fileprivate func canBeFollowed(by segment: RecordedSession.Segment) -> Bool {
        guard (segment.time + segment.duration) / Int64(timescale) <= JournalBounds.periodSecondsMax else { return false }
        guard let last = latest else { return true }
        return segment.number == last.number + 1 && segment.time == last.time + last.duration
    }

    /// Makes a hole of so many segments from a number on.
    fileprivate mutating func lose(_ count: Int64, from number: Int) {
        let counts = 1...Int64(JournalBounds.numbers.upperBound)
        guard JournalBounds.numbers.contains(number), counts.contains(count) else { return }
        let first = segments.partitioningIndex { $0.number >= number }
        let end = segments.partitioningIndex { $0.number >= number + Int(count) }
        let isBehind = (gone.last?.number ?? 0) < number
        gone += segments[first..<end]
        if !isBehind { gone.sort { $0.number < $1.number } }
        segments.removeSubrange(first..<end)
    }

    /// The one that came last, be it gone.
    package var latest: RecordedSession.Segment? {
        guard let last = gone.last else { return segments.last }
        return segments.last.map { $0.number > last.number ? $0 : last } ?? last
    }

    /// Where in `segments` the one of this number is; nil when there is none.
    package func place(ofSegment number: Int) -> Int? {
        let place = segments.partitioningIndex { $0.number >= number }
        return place < segments.count && segments[place].number == number ? place : nil
    }

    /// What its objects are.
    package var container: SegmentContainer { SegmentContainer(codecs: codecs) }

    /// The name of a segment, in the session's directory.
    package func objectName(_ number: Int) -> String {
        let digits = String(number)
        return prefix + String(repeating: "0", count: max(0, 4 - digits.count)) + digits + ".\(container.suffix)"
    }

    /// Where the last segment ends, in microseconds of the Period.
    package var endUs: Int64 {
        guard let last = segments.last else { return 0 }
        let end = last.time + last.duration
        // Rounded up: no sample may lie past the end of its Period.
        return end / Int64(timescale) * 1_000_000
            + (end % Int64(timescale) * 1_000_000 + Int64(timescale) - 1) / Int64(timescale)
    }

    /// Bits a second of the segment that has most; very short ones at the end of a Period say nothing.
    package var bandwidth: Int {
        var longest: Int64 = 0
        for segment in segments { longest = max(longest, segment.duration) }
        var peak: Int64 = 1
        for segment in segments where segment.duration * 2 >= longest && segment.duration > 0 {
            let bits = segment.bytes * 8 * Int64(timescale)
            peak = max(peak, (bits + segment.duration - 1) / segment.duration)
        }
        return Int(peak)
    }

    /// Pictures a second: what most segments have, because losses and corrections make some differ. Nil when unknown.
    package var frameRate: String? {
        guard kind == .video else { return nil }
        var counts: [Int64: Int] = [:]
        var run: (rate: Int64, count: Int) = (0, 0)
        for segment in segments where segment.duration > 0 {
            let rate = (Int64(segment.samples) * Int64(timescale) + segment.duration / 2) / segment.duration
            if rate != run.rate {
                if run.count > 0 { counts[run.rate, default: 0] += run.count }
                run = (rate, 0)
            }
            run.count += 1
        }
        if run.count > 0 { counts[run.rate, default: 0] += run.count }
        let most = counts.max { ($0.value, $0.key) < ($1.value, $1.key) }?.key
        return most.flatMap { $0 > 0 ? String($0) : nil }
    }
}

extension RecordedSession.Segment {
    fileprivate init?(_ line: JournalLine) {
        guard let number = line.number, let time = line.time, let duration = line.duration, let bytes = line.bytes else {
            return nil
        }
        self.init(
            checking: number, time: time, duration: duration, bytes: bytes, samples: line.samples,
            startsWithSync: line.sync ?? true
        )
    }

    /// Nil when a number cannot be meant.
    package init?(checking number: Int, time: Int64, duration: Int64, bytes: Int64, samples: Int?, startsWithSync: Bool) {
        guard JournalBounds.numbers.contains(number), JournalBounds.ticks.contains(time), duration > 0,
            JournalBounds.ticks.contains(duration), JournalBounds.bytes.contains(bytes),
            JournalBounds.numbers.contains(samples ?? 1)
        else { return nil }
        self.number = number
        self.time = time
        self.duration = duration
        self.bytes = bytes
        self.samples = samples ?? 0
        self.startsWithSync = startsWithSync
    }
}

extension RecordedSession.Closing {
    fileprivate init?(_ line: JournalLine) {
        guard let endUs = line.endUs, JournalBounds.times.contains(endUs), let durationMs = line.durationMs,
            JournalBounds.ticks.contains(durationMs), let segments = line.segments, JournalBounds.bytes.contains(segments)
        else { return nil }
        self.endUs = endUs
        self.durationMs = durationMs
        self.segments = segments
    }
}

extension RecordedSession.Period {
    package var hasSegments: Bool { tracks.contains { !$0.segments.isEmpty } }

    /// Until the end of the track that is longest.
    package var durationUs: Int64 { tracks.map(\.endUs).max() ?? 0 }
}

// MARK: What others see

extension RecordedSession {
    package var mpdPath: String { directory + "/" + DayManifest.name }

    /// The time of day of the last sample's end.
    package var endUs: Int64 {
        periods.last { $0.hasSegments }.map { $0.startUs + $0.durationUs } ?? closing?.endUs ?? startUs
    }

    private var durationMs: Int64 {
        if isOutline, let closing { return closing.durationMs }
        return periods.map(\.durationUs).reduce(0, +) / 1000
    }

    package var status: RecordingStatus {
        if isDeleting { return .deleted }
        if !isEnded { return .active }
        if isAcked { return .acked }
        return isFailed || !(hasSegments || isOutline) ? .failed : .completed
    }

    /// The row of `GET /api/recordings`.
    package var row: RecordingRecord {
        RecordingRecord(
            id: id, stream: stream, record: id, startTs: startUs, endTs: isEnded ? endUs : nil,
            durationMs: durationMs, mpdPath: mpdPath, recordDir: directory, status: status,
            nodeAlias: node, updatedAt: updatedUs)
    }
}

extension RecordedSession.Track {
    package var properties: RecordingTrack {
        let isVideo = kind == .video
        return RecordingTrack(
            kind: kind.rawValue, codecs: codecs, mimeType: container.mediaType(isVideo: isVideo), timescale: timescale,
            width: isVideo ? width : nil, height: isVideo ? height : nil, frameRate: frameRate,
            sampleRate: isVideo ? nil : timescale, channels: isVideo ? nil : channels, bandwidth: bandwidth)
    }
}
