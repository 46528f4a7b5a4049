import Cluster
import Journal
import Presentation
import Store

extension Recorder {
    /// Recordings that can be played, of one stream or of all, oldest first; those an index has taken over too.
    public func playable(stream: String? = nil) -> [IndexedRecording] {
        environment.index.playable(stream: stream)
            .compactMap { IndexedRecording($0, node: environment.node) }
            .sorted { ($0.startUs, $0.session) < ($1.startUs, $1.session) }
    }

    /// The stream whose recordings are in a directory; nil when there are none.
    public func stream(ofDirectory directory: String) -> String? {
        environment.index.stream(ofDirectory: directory)
    }

    /// What a recording consists of, with only the segments that touch a range of wall clock (Unix microseconds).
    /// Throws `notFound` or `storage`.
    public func periods(id: String, fromUs: Int64?, toUs: Int64?) async throws(RecordError) -> [IndexedPeriod] {
        if let live = environment.index.live(id) {
            return live.value.indexed.map { $0.touching(fromUs: fromUs, toUs: toUs) }
        }
        guard let row = environment.index.row(id) else { throw .notFound }
        let environment = environment
        do throws(StoreError) {
            let read = try await environment.shelf.periods(of: row) { await environment.session(row).map { $0?.indexed } }
            guard let periods = read else { throw StoreError.notFound }
            return periods.map { $0.touching(fromUs: fromUs, toUs: toUs) }
        } catch {
            throw error == .notFound ? .notFound : .storage(error)
        }
    }
}

extension RecorderEnvironment {
    /// An ended recording with all its segments, from its journal here or, when that was shortened, from the one in the remote store.
    /// Nil when there is no journal of it there.
    func session(_ row: RecordingRecord) async -> Result<RecordedSession?, StoreError> {
        let local = await BlockingWork.run { [store] () throws(StoreError) -> (key: ObjectKey, session: RecordedSession?) in
            let key = try ObjectKey(row.recordDir + "/" + JournalName.of(row.id))
            let bytes = try store.readNow(key, limit: JournalName.bytesMax)
            return (key, RecordedSession.read(bytes, directory: row.recordDir)?.session)
        }
        do throws(StoreError) {
            let (key, session) = try local.get()
            guard let session, session.isOutline, let shipper else { return .success(session) }
            let bytes = try await shipper.remote.read(key, limit: JournalName.bytesMax)
            let sent = RecordedSession.read(bytes, directory: row.recordDir)?.session
            return .success(sent.map { session.with($0.periods) })
        } catch {
            return .failure(error)
        }
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
