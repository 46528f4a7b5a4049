import Media
import Store
import Synchronization

extension Recorder {
    /// The manifest of a directory into which something is being recorded at this moment, as of now: what is stored of it is older,
    /// because writing it costs. Nil for every other key.
    ///
    /// - Parameter gaps: `keep` for the version whose Periods stay where the clock had them, which is never stored.
    public func liveManifest(_ key: ObjectKey, gaps: String? = nil) async -> [UInt8]? {
        guard key.name == DayManifest.name, let directory = key.parent else { return nil }
        let live = environment.index.live(in: directory.path).map(\.value)
        let keepsGaps = gaps == DayManifest.gapsQuery.value
        guard let stream = live.first?.stream ?? (keepsGaps ? self.stream(ofDirectory: directory.path) : nil) else { return nil }
        let environment = environment
        let read = await BlockingWork.run { () throws(StoreError) in try environment.sessions(in: directory) }
        guard case .success(let ended) = read else { return nil }
        let remote = environment.shipper?.remoteSessions(in: directory.path, stream: stream) ?? []
        var known: Set<String> = []
        // What this node knows itself is newer than what it has sent.
        let all = (live + ended + remote).filter { known.insert($0.id).inserted }
        let mpd = DayManifest.render(
            all, publishUs: environment.clock.next(), segmentSeconds: environment.settings.segmentSeconds,
            keepsGaps: keepsGaps)
        return mpd?.utf8
    }
}

extension Shipper {
    /// Sessions that the remote directory had when its manifest was last written.
    func remoteSessions(in directory: String, stream: String) -> [RecordedSession] {
        state.withLock { $0.shelves[directory] }?.sessions(stream: stream, nowUs: clock.now()) ?? []
    }
}
