import Cluster
import Media
import Store

/// How this node records.
public struct RecordSettings: Sendable {
    /// Streams that are recorded without being asked to.
    public var autoStreams: [StreamPattern]
    /// The least a segment holds, in seconds; it ends at the next key frame.
    public var segmentSeconds: Double
    /// After this many seconds a new recording begins; 0: never.
    public var recordingSecondsMax: Int
    /// With less free space, in bytes, nothing is recorded.
    public var freeBytesMin: Int64
    /// How long a publisher may be away, in seconds, before the recording is closed.
    public var reconnectSeconds: Int
    /// Threads that record; streams are spread over them.
    public var threads: Int

    /// All settings; what is left out has the value most nodes want.
    public init(
        autoStreams: [StreamPattern] = [], segmentSeconds: Double = 4, recordingSecondsMax: Int = 86_400,
        freeBytesMin: Int64 = 512 << 20, reconnectSeconds: Int = 10, threads: Int = 2
    ) {
        self.autoStreams = autoStreams
        self.segmentSeconds = segmentSeconds
        self.recordingSecondsMax = recordingSecondsMax
        self.freeBytesMin = freeBytesMin
        self.reconnectSeconds = reconnectSeconds
        self.threads = threads
    }
}

/// Why a recording could not be started, found or removed.
public enum RecordError: Error, Equatable, Sendable {
    /// There is no such recording.
    case notFound
    /// The directory belongs to another stream's recordings.
    case directoryInUse(by: String)
    /// The directory, or what it should lie in, is an object.
    case notADirectory(object: String)
    /// The stream is being recorded somewhere else than asked for.
    case recordingElsewhere(directory: String)
    /// The recording is still being written.
    case active
    /// Too little room; both in bytes.
    case noSpace(free: Int64, need: Int64)
    /// The storage failed.
    case storage(StoreError)
    /// The media plane has no tap to give.
    case plane(String)
    /// The recorder is stopping.
    case stopped
}

/// A recording as `POST /api/record/{stream}` answers it.
public struct RecordingInfo: Sendable, Equatable, Encodable {
    /// Names the recording: `GET /api/recordings/{id}`.
    public var id: String
    /// live777's name for the same.
    public var recordID: String
    /// Key of the directory.
    public var recordDirectory: String
    /// Key of the manifest.
    public var mpdPath: String
    /// Media is being written at this moment.
    public var isWriting: Bool
    /// Why nothing is being written although it should be; nil when all is well or the publisher is away.
    public var problem: String?

    enum CodingKeys: String, CodingKey {
        case id, problem
        case recordID = "record_id"
        case recordDirectory = "record_dir"
        case mpdPath = "mpd_path"
        case isWriting = "writing"
    }
}

/// Numbers about all recordings of the node since it started.
public struct RecordMetrics: Sendable, Equatable {
    /// Streams that are recorded or wait for their publisher.
    public var streams = 0
    /// Sessions being written.
    public var writing = 0
    /// Segments finished.
    public var segments: Int64 = 0
    /// Bytes in finished segments.
    public var bytes: Int64 = 0
    /// RTP packets that were missing when their time came.
    public var lostPackets: Int64 = 0
    /// Frames that were left out because packets were missing or malformed.
    public var droppedFrames: Int64 = 0
    /// Packets the recorder was too slow for.
    public var overflowedPackets: Int64 = 0
    /// Times storage refused.
    public var storageErrors: Int64 = 0
    /// Bytes free where recordings go; nil when unknown.
    public var freeBytes: Int64?
}
