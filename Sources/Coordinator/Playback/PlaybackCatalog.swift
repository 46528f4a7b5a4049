import Cluster
import HTTP
import Nodes
import Presentation
import Program
import Records

/// What has been recorded and how it is played back, for any stream and range of time.
public struct PlaybackCatalog: Sendable {
    private let index: RecordingIndex
    private let directory: NodeDirectory

    /// A catalogue of `index`; `directory` tells which recordings still grow.
    public init(index: RecordingIndex, directory: NodeDirectory) {
        self.index = index
        self.directory = directory
    }

    /// Names of the streams that have recordings.
    public func streams() async throws -> [String] { try await index.streams() }

    /// When a recording began, the stream's first without `id`; Unix microseconds, nil when there is none.
    public func recordingStart(stream: String, id: String?) async throws -> Int64? {
        try await index.start(stream: stream, session: id)
    }

    /// A page of a stream's recordings.
    public func page(_ query: RecordingQuery) async throws -> PlaybackPage {
        let live = await directory.view().liveAliases
        var wanted = query
        wanted.limit = query.limit + 1
        let found = try await index.recordings(wanted)
        let shown = found.prefix(query.limit)
        return PlaybackPage(
            rows: shown.map { PlaybackRow($0, liveNodes: live) },
            next: found.count > query.limit ? shown.last.map { RecordingCursor(after: $0) } : nil)
    }

    /// What is recorded of a stream in a range, oldest first.
    /// - Throws: 400 when it is too much for one manifest.
    public func material(stream: String, fromUs: Int64?, toUs: Int64?) async throws -> [RecordedMaterial] {
        let found = try await recordings(stream: stream, fromUs: fromUs, toUs: toUs)
        let live = await directory.view().liveAliases
        var material: [RecordedMaterial] = []
        var bound = ManifestBound()
        for recording in found.reversed() {
            let periods = try await index.periods(of: recording, fromUs: fromUs, toUs: toUs)
            try bound.add(periods)
            // A range with an end is over, whatever happens behind it.
            let isGrowing = toUs == nil && recording.shownStatus(liveNodes: live) == .active
            material.append(RecordedMaterial(recording: recording, periods: periods, isGrowing: isGrowing))
        }
        return material
    }

    /// All of them, newest first, however many a publisher that comes and goes makes of a month.
    private func recordings(stream: String, fromUs: Int64?, toUs: Int64?) async throws -> [IndexedRecording] {
        var query = RecordingQuery(stream: stream, fromUs: fromUs, toUs: toUs)
        var all: [IndexedRecording] = []
        while true {
            let page = try await index.recordings(query)
            all += page
            guard page.count == query.limit, let last = page.last else { return all }
            guard all.count <= ManifestBound.recordingsMax else { throw ManifestBound.tooMuch }
            query.after = RecordingCursor(after: last)
        }
    }
}
