import Cluster
import HTTP
import Nodes
import Presentation
import Records

/// What has been recorded and how it is played back, for any stream and range of time.
public struct PlaybackCatalog: Sendable {
    /// Recordings in one manifest at most; a wider range is refused rather than cut in silence.
    public static let recordingsMax = 1_000
    /// Segments in one manifest at most, about a month of two tracks; each takes some hundred bytes while it is made.
    public static let segmentsMax = 3_000_000

    private let index: RecordingIndex
    private let directory: NodeDirectory

    /// A catalogue of `index`; `directory` tells which recordings still grow.
    public init(index: RecordingIndex, directory: NodeDirectory) {
        self.index = index
        self.directory = directory
    }

    private static let tooMuch = HTTPError(
        .badRequest, "too much is recorded in this range for one manifest: give a smaller one by from and to")

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
        let found = try await index.recordings(
            RecordingQuery(stream: stream, fromUs: fromUs, toUs: toUs, limit: Self.recordingsMax + 1))
        guard found.count <= Self.recordingsMax else {
            throw Self.tooMuch
        }
        let live = await directory.view().liveAliases
        var material: [RecordedMaterial] = []
        var segments = 0
        for recording in found.reversed() {
            let periods = try await index.periods(of: recording, fromUs: fromUs, toUs: toUs)
            segments += periods.reduce(0) { $0 + $1.tracks.reduce(0) { $0 + $1.segments.count } }
            guard segments <= Self.segmentsMax else { throw Self.tooMuch }
            // A range with an end is over, whatever happens behind it.
            let isGrowing = toUs == nil && recording.shownStatus(liveNodes: live) == .active
            material.append(RecordedMaterial(recording: recording, periods: periods, isGrowing: isGrowing))
        }
        return material
    }
}
