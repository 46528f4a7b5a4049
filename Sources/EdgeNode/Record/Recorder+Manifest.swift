import Media
import Store
import Synchronization

extension Recorder {
    /// Whether something is being recorded into a manifest's directory at this moment, so that ``liveManifest(_:)`` has one.
    public func isLive(_ key: ObjectKey) -> Bool {
        guard key.name == DayManifest.name, let directory = key.parent else { return false }
        return !environment.index.live(in: directory.path).isEmpty
    }

    /// The manifest of a directory into which something is being recorded at this moment, as of now: what is stored of it is older,
    /// because writing it costs. Nil for every other key.
    public func liveManifest(_ key: ObjectKey) async -> [UInt8]? {
        guard key.name == DayManifest.name, let directory = key.parent else { return nil }
        let live = environment.index.live(in: directory.path).map(\.value)
        guard let stream = live.first?.stream else { return nil }
        let environment = environment
        let read = await BlockingWork.run { () throws(StoreError) in try environment.sessions(in: directory) }
        guard case .success(let ended) = read else { return nil }
        let remote = environment.shipper?.remoteSessions(in: directory.path, stream: stream) ?? []
        var known: Set<String> = []
        // What this node knows itself is newer than what it has sent.
        let all = (live + ended + remote).filter { known.insert($0.id).inserted }
        let mpd = DayManifest.render(
            all, publishUs: environment.clock.next(), segmentSeconds: environment.settings.segmentSeconds)
        return mpd?.utf8
    }
}

extension Shipper {
    /// Sessions that the remote directory had when its manifest was last written.
    func remoteSessions(in directory: String, stream: String) -> [RecordedSession] {
        state.withLock { $0.shelves[directory] }?.sessions(stream: stream, nowUs: clock.now()) ?? []
    }
}
