import Cluster
import HTTP
import Presentation
import Store

extension Recorder {
    /// What of a stream is being written at this moment; nil when nothing is.
    public func liveEdge(stream: String) -> LiveEdge? {
        let index = environment.index
        // Read first, so that a change which comes in between is waited for in vain rather than missed.
        let version = index.room.version(of: stream)
        return index.live(stream: stream)?.edge(version: version, earlier: index.fading(stream: stream))
    }

    /// The same for a coordinator; with an empty `session` when nothing is being written.
    public func liveEdgeRecord(stream: String) -> LiveEdgeRecord {
        let index = environment.index
        let version = index.room.version(of: stream)
        let fading = index.fading(stream: stream)
        if let live = index.live(stream: stream) { return live.record(version: version, earlier: fading) }
        if let last = fading.last {
            var record = last.record(version: version, earlier: fading.dropLast())
            record.session = ""
            return record
        }
        return LiveEdgeRecord(
            version: version, revision: version, session: "", partSecondsMax: 1, segmentSecondsMax: segmentSecondsMax,
            recordings: [], open: nil, openOrdinal: 0, tracks: [])
    }

    /// Waits until a stream's recording has changed since `version`; false when it has not in time or too many wait.
    public func awaitChange(stream: String, past version: Int64, seconds: Double) async -> Bool {
        await environment.index.room.wait(for: stream, past: version, seconds: seconds)
    }

    /// The longest segment this node makes, in seconds.
    public var segmentSecondsMax: Double {
        var settings = TimelineSettings()
        settings.segmentSeconds = environment.settings.segmentSeconds
        return settings.segmentSecondsMax
    }

    /// The bytes of a part of a segment, also of one that is being written. The next part to come is waited for; nil when there is no
    /// such part, or none any more.
    ///
    /// - Parameters:
    ///   - key: the segment.
    ///   - number: from 0.
    ///   - finished: where the segment is once it has its name.
    /// Throws what a store throws.
    public func part(
        _ number: Int, of key: ObjectKey, finished: any ObjectStore
    ) async throws(StoreError) -> ObjectBody? {
        guard let directory = key.parent?.path, let range = await range(of: number, key.name, in: directory) else { return nil }
        do throws(StoreError) {
            let temporary = try ObjectKey(key.path + FileStore.temporarySuffix)
            return try await environment.store.get(temporary, range: range)
        } catch {
            // It has got its name meanwhile.
            return try await finished.get(key, range: range)
        }
    }

    private func range(of number: Int, _ name: String, in directory: String) async -> Range<Int64>? {
        let index = environment.index
        while !Task.isCancelled {
            let sessions = index.recent(in: directory)
            var waited: (stream: String, version: Int64)?
            for session in sessions {
                let version = index.room.version(of: session.stream)
                let found = session.part(number, of: name)
                if let range = found.range { return range }
                if found.mayCome { waited = (session.stream, version) }
            }
            guard let waited else { return nil }
            guard await awaitChange(stream: waited.stream, past: waited.version, seconds: segmentSecondsMax) else { return nil }
        }
        return nil
    }
}
