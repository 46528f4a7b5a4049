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

    /// When a recording began by our clock, the stream's first without `id`; Unix microseconds, nil when there is none.
    public func recordingStart(stream: String, id: String?) async throws -> Int64? {
        guard let recording = try await index.first(stream: stream, session: id) else { return nil }
        return recording.startUs + (try await index.correctionUs(of: recording))
    }

    /// A page of a stream's recordings.
    public func page(_ query: RecordingQuery) async throws -> PlaybackPage {
        let live = await directory.view().liveAliases
        var wanted = query
        wanted.limit = query.limit + 1
        let found = try await corrected(wanted)
        let shown = found.prefix(query.limit)
        return PlaybackPage(
            rows: zip(shown, found.dropFirst().map(\.recording) + [nil]).map {
                PlaybackRow($0.recording, after: $1, liveNodes: live)
            },
            next: found.count > query.limit ? shown.last.map { $0.cursor } : nil)
    }

    /// A recording with its times by our clock, and its place in the index, which has its node's.
    private struct Placed {
        var recording: IndexedRecording
        let correctionUs: Int64
        let cursor: RecordingCursor
    }

    /// What the index has, on our clock: a node's own may be wrong.
    private func corrected(_ query: RecordingQuery) async throws -> [Placed] {
        let slackUs = try await index.correctionUsMax()
        var wide = query
        if slackUs > 0 {
            wide.fromUs = query.fromUs.map { $0 - slackUs }
            wide.toUs = query.toUs.map { $0 + slackUs }
        }
        var placed: [Placed] = []
        for recording in try await index.recordings(wide) {
            let correctionUs = slackUs == 0 ? 0 : try await index.correctionUs(of: recording)
            let cursor = RecordingCursor(after: recording)
            placed.append(Placed(recording: recording.moved(byUs: correctionUs), correctionUs: correctionUs, cursor: cursor))
        }
        return placed
    }

    /// What is recorded of a stream in a range, oldest first.
    /// - Throws: 400 when it is too much for one manifest.
    public func material(stream: String, fromUs: Int64?, toUs: Int64?) async throws -> [RecordedMaterial] {
        let oldestFirst = try await recordings(stream: stream, fromUs: fromUs, toUs: toUs).reversed()
        let live = await directory.view().liveAliases
        var material = oldestFirst.map { placed in
            // A range with an end is over, whatever happens behind it.
            let isGrowing = toUs == nil && placed.recording.shownStatus(liveNodes: live) == .active
            return RecordedMaterial(recording: placed.recording, periods: [], isGrowing: isGrowing)
        }
        var bound = ManifestBound()
        try await withThrowingTaskGroup(of: (place: Int, periods: [IndexedPeriod]).self) { group in
            func take(_ read: (place: Int, periods: [IndexedPeriod])) throws {
                try bound.add(read.periods)
                material[read.place].periods = read.periods
            }
            for (place, placed) in oldestFirst.enumerated() {
                if place >= Self.readAtOnce, let read = try await group.next() { try take(read) }
                group.addTask { (place, try await periods(of: placed, fromUs: fromUs, toUs: toUs)) }
            }
            for try await read in group { try take(read) }
        }
        return material
    }

    /// While the rows of one recording are read those of others are worked out, on other cores.
    private static let readAtOnce = 4

    private func periods(of placed: Placed, fromUs: Int64?, toUs: Int64?) async throws -> [IndexedPeriod] {
        let byUs = placed.correctionUs
        return try await index.periods(
            of: placed.recording, fromUs: fromUs.map { $0 - byUs }, toUs: toUs.map { $0 - byUs }
        ).map { $0.moved(byUs: byUs) }
    }

    /// All of them, newest first, however many a publisher that comes and goes makes of a month.
    private func recordings(stream: String, fromUs: Int64?, toUs: Int64?) async throws -> [Placed] {
        var query = RecordingQuery(stream: stream, fromUs: fromUs, toUs: toUs)
        var all: [Placed] = []
        while true {
            let page = try await corrected(query)
            all += page
            guard page.count == query.limit, let last = page.last else { return all }
            guard all.count <= ManifestBound.recordingsMax else { throw ManifestBound.tooMuch }
            query.after = last.cursor
        }
    }
}
