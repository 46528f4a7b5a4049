import Cluster

extension IndexedRecording {
    /// A node's row as the index keeps it.
    /// - Parameter node: the alias the row was read from, which stands whatever the row says of itself.
    public init(_ record: RecordingRecord, node: String) {
        self.init(
            stream: record.stream, node: node, session: record.id, startUs: record.startTs, endUs: record.endTs,
            durationMs: record.durationMs, status: PlaybackStatus(record.status), mpdPath: record.mpdPath,
            recordDir: record.recordDir, updatedUs: record.updatedAt)
    }
}

extension PlaybackStatus {
    /// A node's word; one that another index has taken over is over and done.
    public init(_ status: RecordingStatus) {
        switch status {
        case .active: self = .active
        case .completed, .acked: self = .completed
        case .failed: self = .failed
        }
    }
}

extension IndexedPeriod {
    /// The periods of a node's detail. A track whose objects don't follow one numbered pattern can't be named by a
    /// manifest's template and is left out.
    public static func periods(of detail: RecordingDetail) -> [IndexedPeriod] {
        detail.periods.enumerated().map { ordinal, period in
            IndexedPeriod(
                ordinal: ordinal, startUs: period.startUs,
                tracks: period.tracks.compactMap { entry in
                    detail.tracks.indices.contains(entry.track)
                        ? IndexedTrack(entry, described: detail.tracks[entry.track]) : nil
                })
        }
    }
}

extension IndexedTrack {
    init?(_ entry: RecordingPeriodTrack, described track: RecordingTrack) {
        guard let numbers = segmentNumbers(entry) else { return nil }
        let segments = zip(numbers, entry.segments).map { number, segment in
            IndexedSegment(number: number, time: segment.t, duration: segment.d, bytes: segment.bytes)
        }
        self.init(
            kind: track.kind, codecs: track.codecs, timescale: Int64(track.timescale), timeAtStart: entry.mediaTimeOffset,
            initialization: entry.initObject, segmentPrefix: entry.segmentPrefix, bandwidth: Int64(max(1, track.bandwidth)),
            width: track.width, height: track.height, frameRate: track.frameRate, sampleRate: track.sampleRate,
            channels: track.channels, segments: segments)
    }
}

/// The numbers in object keys made of a prefix, at least four digits and `.m4s`; nil when one is not.
private func segmentNumbers(_ entry: RecordingPeriodTrack) -> [Int64]? {
    let prefix = Array(entry.segmentPrefix.utf8)
    let suffix = Array(".m4s".utf8)
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
