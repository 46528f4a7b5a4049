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
    /// The same as a share of the file system, in percent; the larger of the two counts.
    public var freePercentMin: Double
    /// Whether the oldest recordings make room for new ones, rather than that recording stops.
    public var makesRoom: Bool
    /// How long a publisher may be away, in seconds, before the recording is closed.
    public var reconnectSeconds: Int
    /// Threads that record; streams are spread over them.
    public var threads: Int
    /// How many bytes may wait in the spool for the remote store; recording pauses when more would.
    public var spoolBytesMax: Int64
    /// What sound that recordings cannot hold (G.711, G.722) is turned into; nil: it is left out.
    public var soundTarget: SoundTarget?
    /// How long recordings are kept.
    public var retention: Retention
    /// No other node writes the alias that this one writes to its recordings: what a remote store has under it and the spool has not is
    /// removed by the same rules.
    public var ownsAlias: Bool
    /// Who is told of recordings.
    public var hooks: HookSettings

    /// All settings; what is left out has the value most nodes want.
    public init(
        autoStreams: [StreamPattern] = [], segmentSeconds: Double = 4, recordingSecondsMax: Int = 86_400,
        freeBytesMin: Int64 = 512 << 20, freePercentMin: Double = 0, makesRoom: Bool = false, reconnectSeconds: Int = 10,
        threads: Int = 2,
        spoolBytesMax: Int64 = 10 << 30, soundTarget: SoundTarget? = nil, retention: Retention = Retention(),
        ownsAlias: Bool = false, hooks: HookSettings = HookSettings()
    ) {
        self.autoStreams = autoStreams
        self.segmentSeconds = segmentSeconds
        self.recordingSecondsMax = recordingSecondsMax
        self.freeBytesMin = freeBytesMin
        self.freePercentMin = freePercentMin
        self.makesRoom = makesRoom
        self.reconnectSeconds = reconnectSeconds
        self.threads = threads
        self.spoolBytesMax = spoolBytesMax
        self.soundTarget = soundTarget
        self.retention = retention
        self.ownsAlias = ownsAlias
        self.hooks = hooks
    }
}

extension RecordSettings {
    /// How much has to be free on a file system of this size, bytes.
    func freeBytesNeeded(of all: Int64) -> Int64 { max(freeBytesMin, Int64(Double(max(0, all)) * freePercentMin / 100)) }

    /// After how many seconds a recording ends that was asked for with a limit of its own, or without: the shorter one holds; nil: never.
    func recordingSecondsMax(asked: Int?) -> Int? { [recordingSecondsMax, asked ?? 0].filter { $0 > 0 }.min() }
}

/// Why a recording could not be started, found or removed.
public enum RecordError: Error, Equatable, Sendable {
    /// There is no such recording.
    case notFound
    /// The directory belongs to another stream's recordings.
    case directoryInUse(by: String)
    /// The directory, or what it should lie in, is an object.
    case notADirectory(object: String)
    /// No object would have a key that storage takes below a directory of more bytes than this.
    case directoryTooLong(bytesMax: Int)
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

/// Numbers about all recordings of the node since it started.
public struct RecordMetrics: Sendable, Equatable {
    /// Streams that are recorded or wait for their publisher.
    public var streams = 0
    /// Sessions being written.
    public var writing = 0
    /// Streams whose recording waits for storage to work again.
    public var paused = 0
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
    /// Recordings removed because they were old enough, or finished after an interruption.
    public var removed: Int64 = 0
    /// How uploads fare; nil when recordings stay where they are written.
    public var uploads: ShipMetrics?
    /// How hooks fared.
    public var hooks = HookMetrics()
    /// Times storage refused.
    public var storageErrors: Int64 = 0
    /// Bytes free where recordings go; nil when unknown.
    public var freeBytes: Int64?
}
