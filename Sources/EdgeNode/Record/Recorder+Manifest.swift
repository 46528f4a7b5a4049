import Journal
import Media
import Store
import Synchronization

extension Recorder {
    /// Whether ``liveManifest(_:gaps:origin:)`` may have a manifest that is newer than the stored one.
    public func isLive(_ key: ObjectKey, gaps: String? = nil) -> Bool {
        guard key.name == DayManifest.name, let directory = key.parent else { return false }
        return streamToRender(directory, keepsGaps: gaps == DayManifest.gapsQuery.value) != nil
    }

    private func streamToRender(_ directory: ObjectKey, keepsGaps: Bool) -> String? {
        if let live = environment.index.live(in: directory.path).first { return live.stream }
        // Nor does the stored one know recordings that are in the remote store already, beside one that is not.
        return environment.shipper?.stream(sendingFrom: directory.path)
            ?? (keepsGaps ? stream(ofDirectory: directory.path) : nil)
    }

    /// The manifest of a directory into which something is being recorded at this moment, as of now: what is stored of it is older,
    /// because writing it costs. Nil for every other key.
    ///
    /// - Parameters:
    ///   - gaps: `keep` for the version whose Periods stay where the clock had them, which is never stored.
    ///   - origin: from when positions are counted in it, as an earlier version's address says.
    public func liveManifest(_ key: ObjectKey, gaps: String? = nil, origin: String? = nil) async -> [UInt8]? {
        guard key.name == DayManifest.name, let directory = key.parent else { return nil }
        let live = environment.index.live(in: directory.path).map(\.value)
        let keepsGaps = gaps == DayManifest.gapsQuery.value
        guard let stream = streamToRender(directory, keepsGaps: keepsGaps) else { return nil }
        let environment = environment
        let read = await BlockingWork.run { () throws(StoreError) in try environment.sessions(in: directory) }
        guard case .success(let ended) = read else { return nil }
        let remote = environment.shipper?.remoteSessions(in: directory.path, stream: stream) ?? []
        var known: Set<String> = []
        // What this node knows itself is newer than what it has sent, unless that is all it knows any more.
        var all = (live + ended.filter { !$0.isOutline } + remote).filter { known.insert($0.id).inserted }
        for outline in ended where outline.isOutline && !known.contains(outline.id) {
            guard case .success(.some(let sent)) = await environment.session(outline.row) else {
                // Better none than one without it, unless something is going on at this moment.
                if live.isEmpty { return nil } else { continue }
            }
            all.append(sent)
        }
        let mpd = DayManifest.render(
            all, publishUs: all.map(\.updatedUs).max() ?? 0, segmentSeconds: environment.settings.segmentSeconds,
            keepsGaps: keepsGaps, originUs: DayManifest.originUs(origin))
        return mpd?.utf8
    }
}

extension Shipper {
    /// The stream of which something in a directory is still to be sent.
    func stream(sendingFrom directory: String) -> String? {
        state.withLock { state in
            guard state.shelves[directory] != nil else { return nil }
            return state.plan.recordings.values.first { $0.directory == directory && !$0.isWithdrawn }?.stream
        }
    }

    /// Sessions that the remote directory had when its manifest was last written.
    func remoteSessions(in directory: String, stream: String) -> [RecordedSession] {
        state.withLock { $0.shelves[directory] }?.sessions(stream: stream, nowUs: clock.now()) ?? []
    }
}
