import Media

/// One recording in the list of a stream: a row of `GET /api/playback/{stream}`.
public struct PlaybackRow: Sendable, Equatable, Encodable {
    /// UTC year of the first frame.
    public let year: Int
    /// 1 to 12.
    public let month: Int
    /// 1 to 31.
    public let day: Int
    /// Key of the recorder's own manifest.
    public let mpdPath: String
    /// Directory of the objects.
    public let recordDir: String
    /// The node that recorded it.
    public let nodeAlias: String
    /// The recording's identifier on that node.
    public let id: String
    /// RFC 3339, UTC.
    public let start: String
    /// RFC 3339, UTC; null while it grows.
    public let end: String?
    /// Seconds of media.
    public let duration: Double?
    /// Seconds between the end of the recording before it and its start; below zero they overlap; null for the oldest.
    public let gap: Double?
    /// `active`, `completed`, `failed`, `lost` or `incomplete`.
    public let status: PlaybackStatus

    private enum CodingKeys: String, CodingKey {
        case year, month, day, id, start, end, duration, gap, status
        case mpdPath = "mpd_path"
        case recordDir = "record_dir"
        case nodeAlias = "node_alias"
    }

    /// The row of a recording while only `liveNodes` are up; `earlier` is the one that began before it.
    public init(_ recording: IndexedRecording, after earlier: IndexedRecording? = nil, liveNodes: Set<String>) {
        (year, month, day) = ISO8601.date(microseconds: recording.startUs)
        mpdPath = recording.mpdPath
        recordDir = recording.recordDir
        nodeAlias = recording.node
        id = recording.session
        start = ISO8601.dateTime(microseconds: recording.startUs)
        end = recording.endUs.map { ISO8601.dateTime(microseconds: $0) }
        gap = earlier.map { earlier in
            // One that grows, or ended nobody knows when, has at least the media it told of.
            let endUs = earlier.endUs ?? max(earlier.updatedUs, earlier.startUs + (earlier.durationMs ?? 0) * 1_000)
            return Double(recording.startUs - endUs) / 1e6
        }
        duration = recording.durationMs.map { Double($0) / 1_000 }
        status = recording.shownStatus(liveNodes: liveNodes)
    }
}

/// Part of a stream's recordings, newest first.
public struct PlaybackPage: Sendable {
    /// The rows.
    public let rows: [PlaybackRow]
    /// Where to go on; nil at the end.
    public let next: RecordingCursor?

    /// A page of `rows`; `next` is where to go on.
    public init(rows: [PlaybackRow], next: RecordingCursor?) {
        self.rows = rows
        self.next = next
    }
}
