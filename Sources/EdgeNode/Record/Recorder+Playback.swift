import Cluster
import Presentation
import Store
import Synchronization

extension Recorder {
    /// Recordings that can be played, of one stream or of all, oldest first; those an index has taken over too.
    public func playable(stream: String? = nil) -> [IndexedRecording] {
        environment.index.playable(stream: stream)
            .compactMap { IndexedRecording($0, node: environment.node) }
            .sorted { ($0.startUs, $0.session) < ($1.startUs, $1.session) }
    }

    /// The stream whose recordings are in a directory; nil when there are none.
    public func stream(ofDirectory directory: String) -> String? {
        environment.index.playable(stream: nil).first { $0.recordDir == directory }?.stream
    }

    /// What a recording consists of, with only the segments that touch a range of wall clock (Unix microseconds).
    /// Throws `notFound` or `storage`.
    public func periods(id: String, fromUs: Int64?, toUs: Int64?) async throws(RecordError) -> [IndexedPeriod] {
        if let live = environment.index.live(id) {
            return live.value.indexed.map { $0.touching(fromUs: fromUs, toUs: toUs) }
        }
        guard let row = environment.index.row(id) else { throw .notFound }
        let environment = environment
        let result = await BlockingWork.run { () throws(StoreError) -> [IndexedPeriod]? in
            try environment.shelf.periods(of: row) { () throws(StoreError) in
                let key = try ObjectKey(row.recordDir + "/" + SessionDirectory.journalName(row.id))
                let bytes = try environment.store.readNow(key, limit: SessionDirectory.journalBytesMax)
                return RecordedSession.read(bytes, directory: row.recordDir)?.session.indexed
            }
        }
        do throws(StoreError) {
            guard let periods = try result.get() else { throw StoreError.notFound }
            return periods.map { $0.touching(fromUs: fromUs, toUs: toUs) }
        } catch {
            throw error == .notFound ? .notFound : .storage(error)
        }
    }
}

/// Ended recordings whose journals were read for playback, so that seeking in one does not read it again and again. Any thread.
final class PlaybackShelf: Sendable {
    private struct Entry {
        let updatedUs: Int64
        let periods: [IndexedPeriod]
        let segments: Int
        var usedAt: Int
    }

    private struct State {
        var entries: [String: Entry] = [:]
        var uses = 0
    }

    private let state = Mutex(State())
    /// About 16 MB: a week of one stream.
    private static let segmentsMax = 400_000

    /// What is known of a recording, else what `read` brings.
    func periods(
        of row: RecordingRecord, _ read: () throws(StoreError) -> [IndexedPeriod]?
    ) throws(StoreError) -> [IndexedPeriod]? {
        let known = state.withLock { state -> [IndexedPeriod]? in
            guard let entry = state.entries[row.id], entry.updatedUs == row.updatedAt else { return nil }
            state.uses += 1
            state.entries[row.id]?.usedAt = state.uses
            return entry.periods
        }
        if let known { return known }
        guard let periods = try read() else { return nil }
        let segments = periods.reduce(0) { $0 + $1.tracks.reduce(0) { $0 + $1.segments.runs.count } }
        state.withLock { state in
            state.uses += 1
            state.entries[row.id] = Entry(updatedUs: row.updatedAt, periods: periods, segments: segments, usedAt: state.uses)
            var total = state.entries.values.reduce(0) { $0 + $1.segments }
            while total > Self.segmentsMax, let oldest = state.entries.min(by: { $0.value.usedAt < $1.value.usedAt }) {
                total -= oldest.value.segments
                state.entries[oldest.key] = nil
            }
        }
        return periods
    }
}

extension RecordedSession {
    /// As playback lays it out. A period's place in the list is its place in `detail`, so both sides name it alike.
    var indexed: [IndexedPeriod] {
        var list = periods.filter(\.hasSegments).enumerated().map { ordinal, period in
            IndexedPeriod(
                ordinal: ordinal, startUs: period.startUs, continues: period.continues,
                tracks: period.tracks.filter { !$0.segments.isEmpty }.map { $0.indexed(in: directory) })
        }
        // Of one format, the peak of all periods, as in `detail`.
        var peaks: [[String]: Int64] = [:]
        for track in list.flatMap(\.tracks) { peaks[track.format] = max(peaks[track.format] ?? 0, track.bandwidth) }
        for period in list.indices {
            for track in list[period].tracks.indices {
                list[period].tracks[track].bandwidth = peaks[list[period].tracks[track].format] ?? 1
            }
        }
        return list
    }
}

extension IndexedTrack {
    fileprivate var format: [String] {
        [kind, codecs, String(timescale), String(width ?? 0), String(height ?? 0), frameRate ?? "", String(channels ?? 0)]
    }
}

extension RecordedSession.Track {
    func indexed(in directory: String) -> IndexedTrack {
        let isVideo = kind == .video
        return IndexedTrack(
            kind: kind.rawValue, codecs: codecs, timescale: Int64(timescale), timeAtStart: 0,
            initialization: directory + "/" + initialization, segmentPrefix: directory + "/" + prefix,
            bandwidth: Int64(bandwidth), width: isVideo && width > 0 ? width : nil, height: isVideo && height > 0 ? height : nil,
            frameRate: frameRate, sampleRate: isVideo ? nil : timescale, channels: isVideo ? nil : channels,
            segments: SegmentRuns(
                segments.lazy.map { segment in
                    IndexedSegment(
                        number: Int64(segment.number), time: segment.time, duration: segment.duration,
                        startsWithSync: segment.startsWithSync)
                }))
    }
}
