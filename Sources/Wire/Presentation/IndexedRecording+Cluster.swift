import Cluster
import Media

extension IndexedRecording {
    /// A node's row as the index keeps it; nil when its numbers or names can't be meant.
    /// - Parameter node: the alias the row was read from, which stands whatever the row says of itself.
    public init?(_ record: RecordingRecord, node: String) {
        guard Bounds.instantUs.contains(record.startTs), Bounds.instantUs.contains(record.endTs ?? 0),
            Bounds.instantUs.contains(record.updatedAt), (0...Bounds.durationMsMax).contains(record.durationMs ?? 0),
            (1...Bounds.idBytesMax).contains(record.id.utf8.count), record.mpdPath.utf8.count <= Bounds.keyBytesMax,
            record.recordDir.utf8.count <= Bounds.keyBytesMax
        else { return nil }
        self.init(
            stream: record.stream, node: node, session: record.id, startUs: record.startTs, endUs: record.endTs,
            durationMs: record.durationMs, status: PlaybackStatus(record.status), mpdPath: record.mpdPath,
            recordDir: record.recordDir, updatedUs: record.updatedAt)
    }
}

/// What a node's numbers are taken for. Inside these bounds no sum or product made of them overflows.
private enum Bounds {
    /// Until the year 2255, also exact in a double.
    static let instantUs: ClosedRange<Int64> = 0...(1 << 53)
    static let durationMsMax: Int64 = 1 << 43
    static let idBytesMax = 256
    static let keyBytesMax = 1_024
    static let timescale: ClosedRange<Int> = 1...1_000_000_000
    static let ticks: ClosedRange<Int64> = 0...(1 << 53)
    /// Of one segment, as `SegmentRuns` keeps it.
    static let duration: ClosedRange<Int64> = 1...Int64(UInt32.max)
    /// Room for media time that counts from 1970.
    static let mediaSecondsMax = 1e10
    static let pixels = 1...65_535
    static let hertz = 1...1_000_000
    static let channels = 1...255
}

extension PlaybackStatus {
    /// A node's word; one that another index has taken over is over and done.
    public init(_ status: RecordingStatus) {
        switch status {
        case .active: self = .active
        case .completed, .acked: self = .completed
        case .failed, .deleted: self = .failed
        }
    }
}

extension IndexedPeriod {
    /// The periods of a node's detail. A track whose objects don't follow one numbered pattern can't be named by a
    /// manifest's template and is left out.
    public static func periods(of detail: RecordingDetail) -> [IndexedPeriod] {
        detail.periods.enumerated().compactMap { ordinal, period in
            guard Bounds.instantUs.contains(period.startUs) else { return nil }
            return IndexedPeriod(
                ordinal: ordinal, startUs: period.startUs, continues: period.continues ?? false,
                tracks: period.tracks.compactMap { entry in
                    detail.tracks.indices.contains(entry.track)
                        ? IndexedTrack(entry, described: detail.tracks[entry.track]) : nil
                })
        }
    }
}

extension IndexedTrack {
    init?(_ entry: RecordingPeriodTrack, described track: RecordingTrack) {
        guard track.kind == "video" || track.kind == "audio", Bounds.timescale.contains(track.timescale),
            Bounds.ticks.contains(entry.mediaTimeOffset), entry.initObject.utf8.count <= Bounds.keyBytesMax,
            entry.segmentPrefix.utf8.count <= Bounds.keyBytesMax,
            let numbers = segmentNumbers(entry, SegmentContainer(codecs: track.codecs))
        else { return nil }
        let secondsMax = Bounds.mediaSecondsMax * Double(track.timescale)
        let isSound = entry.segments.allSatisfy { segment in
            Bounds.ticks.contains(segment.t) && Bounds.duration.contains(segment.d)
                && Double(segment.t) + Double(segment.d) <= secondsMax && segment.bytes >= 0
        }
        guard isSound, Double(entry.mediaTimeOffset) <= secondsMax else { return nil }
        let segments = SegmentRuns(
            zip(numbers, entry.segments).lazy.map {
                IndexedSegment(number: $0, time: $1.t, duration: $1.d, startsWithSync: $1.sync ?? true)
            })
        self.init(
            kind: track.kind, codecs: track.codecs, timescale: Int64(track.timescale), timeAtStart: entry.mediaTimeOffset,
            initialization: entry.initObject, segmentPrefix: entry.segmentPrefix,
            bandwidth: Int64(min(max(1, track.bandwidth), 1 << 40)),
            width: track.width.flatMap { Bounds.pixels.contains($0) ? $0 : nil },
            height: track.height.flatMap { Bounds.pixels.contains($0) ? $0 : nil }, frameRate: track.frameRate,
            sampleRate: track.sampleRate.flatMap { Bounds.hertz.contains($0) ? $0 : nil },
            channels: track.channels.flatMap { Bounds.channels.contains($0) ? $0 : nil }, segments: segments)
    }
}

/// The numbers in object keys made of a prefix, at least four digits and a suffix; nil when one is not.
private func segmentNumbers(_ entry: RecordingPeriodTrack, _ container: SegmentContainer) -> [Int64]? {
    let prefix = Array(entry.segmentPrefix.utf8)
    let suffix = Array(".\(container.suffix)".utf8)
    var numbers: [Int64] = []
    numbers.reserveCapacity(entry.segments.count)
    for segment in entry.segments {
        let key = Array(segment.object.utf8)
        guard key.starts(with: prefix), key.count > prefix.count + suffix.count, key.suffix(suffix.count) == suffix[...]
        else { return nil }
        let digits = key.dropFirst(prefix.count).dropLast(suffix.count)
        guard (4...15).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }),
            digits.count == 4 || digits.first != 0x30, let number = Int64(String(decoding: digits, as: UTF8.self)),
            numbers.last.map({ $0 < number }) ?? true
        else { return nil }
        numbers.append(number)
    }
    return numbers
}
