/// How far a stream's recordings are on their way to the remote store.
public struct ShipStatus: Sendable, Equatable, Encodable {
    /// Bytes of objects that are in the spool only.
    public var pendingBytes: Int64 = 0
    /// How many objects that is.
    public var pendingObjects = 0
    /// How long the oldest of them has been waiting, seconds.
    public var oldestSeconds: Double = 0
    /// Why nothing of it is being sent, be it for the stream's own sake; nil while the store works.
    public var lastError: String?
    /// When an object last arrived, Unix microseconds.
    public var lastUploadUs: Int64?

    enum CodingKeys: String, CodingKey {
        case pendingBytes = "pending_bytes"
        case pendingObjects = "pending_objects"
        case oldestSeconds = "oldest_seconds"
        case lastError = "last_error"
        case lastUploadUs = "last_upload_us"
    }
}

/// Numbers about all uploads of the node since it started.
public struct ShipMetrics: Sendable, Equatable {
    /// Bytes of media in the spool that are not remote yet.
    public var pendingBytes: Int64 = 0
    /// How many objects that is.
    public var pendingObjects = 0
    /// How many bytes may wait.
    public var limitBytes: Int64 = 0
    /// Age of the oldest, seconds; 0 when nothing waits.
    public var oldestSeconds: Double = 0
    /// Objects that arrived, manifests and journals included.
    public var uploadedObjects: Int64 = 0
    /// Bytes of them.
    public var uploadedBytes: Int64 = 0
    /// Bytes of manifests and journals among them.
    public var publishedBytes: Int64 = 0
    /// Objects whose file vanished from the spool before it was sent.
    public var lostObjects: Int64 = 0
    /// Failed attempts by class.
    public var retries: [String: Int64] = [:]
    /// When an object last arrived, Unix microseconds.
    public var lastUploadUs: Int64?
    /// The store refuses this node; a human has to do something.
    public var isDenied = false
    /// Why nothing is being sent; nil while the store works.
    public var problem: String?
}
