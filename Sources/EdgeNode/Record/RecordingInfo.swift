import Journal

/// What a recording is doing.
public enum RecordingState: String, Sendable, Encodable {
    /// Media is being written.
    case recording
    /// For a publisher, or for its first key frame.
    case waiting
    /// Storage failed or is full; recording goes on by itself when it works again.
    case paused
    /// The stream is not recorded.
    case stopped
}

/// The recording of a stream as `POST` and `GET /api/record/{stream}` answer it. Times are Unix microseconds.
public struct RecordingInfo: Sendable, Equatable, Encodable {
    /// A segment that is in storage.
    public struct Segment: Sendable, Equatable, Encodable {
        /// Time of day of its first sample.
        public var time: Int64
        /// Its seconds.
        public var duration: Double
    }

    /// Names the recording: `GET /api/recordings/{id}`.
    public var id: String
    /// Key of the directory.
    public var recordDirectory: String
    /// What it is doing.
    public var state = RecordingState.waiting
    /// Time of day of the first sample; nil while there is none.
    public var startedUs: Int64?
    /// Segments in storage, of all tracks.
    public var segments = 0
    /// Bytes in them.
    public var bytes: Int64 = 0
    /// The newest of them.
    public var lastSegment: Segment?
    /// What was asked for as its longest, seconds; nil when the node's own limit alone holds.
    public var secondsMax: Int?
    /// Why nothing is being written although it should be; nil when all is well or the publisher is away.
    public var problem: String?
    /// What of the stream is left out of the recording, and why; nil when nothing is.
    public var warning: String?

    /// Key of the manifest.
    public var mpdPath: String { recordDirectory + "/" + DayManifest.name }
    /// Media is being written at this moment.
    public var isWriting: Bool { state == .recording }

    init(id: String, recordDirectory: String) {
        self.id = id
        self.recordDirectory = recordDirectory
    }

    enum CodingKeys: String, CodingKey {
        case id, state, bytes, segments, writing
        case recordID = "record_id"
        case recordDirectory = "record_dir"
        case mpdPath = "mpd_path"
        case startedUs = "started_at"
        case lastSegment = "last_segment"
        case secondsMax = "max_recording_seconds"
        case problem = "error"
        case warning
    }

    /// With live777's second name for the id.
    public func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encode(id, forKey: .id)
        try fields.encode(id, forKey: .recordID)
        try fields.encode(recordDirectory, forKey: .recordDirectory)
        try fields.encode(mpdPath, forKey: .mpdPath)
        try fields.encode(state, forKey: .state)
        try fields.encode(isWriting, forKey: .writing)
        try fields.encodeIfPresent(startedUs, forKey: .startedUs)
        try fields.encode(segments, forKey: .segments)
        try fields.encode(bytes, forKey: .bytes)
        try fields.encodeIfPresent(lastSegment, forKey: .lastSegment)
        try fields.encodeIfPresent(secondsMax, forKey: .secondsMax)
        try fields.encodeIfPresent(problem, forKey: .problem)
        try fields.encodeIfPresent(warning, forKey: .warning)
    }
}
