import Glibc

/// Why storage did not do what it was asked.
public enum StoreError: Error, Equatable, Sendable {
    /// The name cannot be one of an object.
    case invalidKey(reason: String)
    /// There is no such object.
    case notFound
    /// Absence was asked for and the object is there.
    case exists
    /// The object is not the one that `PutCondition.matches` named: another wrote or removed it meanwhile.
    case preconditionFailed
    /// The range starts at or past the end of an object of this size.
    case rangeNotSatisfiable(size: Int64)
    /// The medium is full, over quota or read-only; `code` is the errno.
    case noSpace(code: Int32)
    /// The operation failed; `code` is the errno.
    case failed(operation: String, code: Int32)
    /// The storage cannot be reached, or did not answer as it should; trying again later may help.
    case unavailable(reason: String)
    /// A remote store took the connection and did not answer in time.
    case timedOut(reason: String)
    /// The storage refused: wrong or missing credentials, no permission, no such bucket. Trying again won't help.
    case denied(reason: String)
    /// The storage asks for fewer requests, and for this long a pause where it said so.
    case throttled(retryAfterMs: Int?)
}

/// What must be true of an object for it to be written.
public enum PutCondition: Hashable, Sendable {
    /// Nothing: it is made or replaced.
    case none
    /// It is not there; else `exists` is thrown (`If-None-Match: *`, RFC 9110 13.1.2).
    case absent
    /// It has this entity tag, quotes included; else `preconditionFailed` is thrown (`If-Match`, RFC 9110 13.1.1).
    case matches(String)
}

/// What a presigned address may be used for.
public enum PresignMethod: String, Hashable, Sendable {
    /// Reading the object, whole or in ranges.
    case get = "GET"
    /// Writing the object.
    case put = "PUT"
}

/// What is known of an object without its bytes.
public struct ObjectInfo: Equatable, Sendable {
    /// Its name.
    public let key: ObjectKey
    /// Its bytes.
    public let size: Int64
    /// A strong entity tag with its quotes (RFC 9110 8.8.3); other bytes have another.
    public let etag: String
    /// When it was last written, Unix microseconds.
    public let modifiedUs: Int64

    /// What is known.
    public init(key: ObjectKey, size: Int64, etag: String, modifiedUs: Int64) {
        self.key = key
        self.size = size
        self.etag = etag
        self.modifiedUs = modifiedUs
    }
}

/// An object's bytes, fetched piece by piece as they are asked for.
public struct ObjectBody: Sendable {
    /// The whole object.
    public let info: ObjectInfo
    /// The bytes that `chunks` brings, counted in the object.
    public let range: Range<Int64>
    /// The bytes, in order. Nothing is read ahead of the consumer.
    public let chunks: ObjectChunks

    /// A body.
    public init(info: ObjectInfo, range: Range<Int64>, chunks: ObjectChunks) {
        self.info = info
        self.range = range
        self.chunks = chunks
    }

    fileprivate func bytes() async throws(StoreError) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunks = chunks.makeAsyncIterator()
        while let chunk = try await chunks.next() { bytes += chunk }
        return bytes
    }
}

/// Pieces of an object; one consumer, once.
public struct ObjectChunks: AsyncSequence, Sendable {
    /// A piece.
    public typealias Element = [UInt8]
    /// What reading may throw.
    public typealias Failure = StoreError
    /// Brings the next piece, nil after the last.
    public typealias Source = @Sendable () async throws(StoreError) -> [UInt8]?

    private let source: Source

    /// Pieces from `source`, which is called until it returns nil.
    public init(_ source: @escaping Source) {
        self.source = source
    }

    /// The iterator, of which there may be one.
    public func makeAsyncIterator() -> Iterator {
        Iterator(source: source)
    }

    /// Asks the source for each piece.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let source: Source

        /// The next piece; nil after the last.
        public mutating func next() async throws(StoreError) -> [UInt8]? {
            try await source()
        }

        /// The next piece; nil after the last.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(StoreError) -> [UInt8]? {
            try await source()
        }
    }
}

/// A page of a listing.
public struct ObjectPage: Equatable, Sendable {
    /// Objects by rising key.
    public let objects: [ObjectInfo]
    /// What to pass as `after` for the rest; nil at the end.
    public let continuation: String?

    /// A page.
    public init(objects: [ObjectInfo], continuation: String?) {
        self.objects = objects
        self.continuation = continuation
    }
}

/// An open file of a store on local disk. Whoever got it from a store closes the descriptor; whoever gives it to one keeps it.
public struct LocalFile: Equatable, Sendable {
    /// Open for reading.
    public let descriptor: Int32
    /// The object as it was when it was opened; a later replacement does not show through.
    public let info: ObjectInfo
    /// What the system said of it then; nil when nobody asked.
    public let status: stat?

    /// An open file of `info.size` bytes.
    public init(descriptor: Int32, info: ObjectInfo, status: stat? = nil) {
        (self.descriptor, self.info, self.status) = (descriptor, info, status)
    }

    /// The same descriptor and object.
    public static func == (left: LocalFile, right: LocalFile) -> Bool {
        left.descriptor == right.descriptor && left.info == right.info
    }
}

/// Where objects are, be it a directory or a bucket. Every method may be called from any task.
public protocol ObjectStore: Sendable {
    /// Writes a whole object; once this returns, it is durable. Throws `exists` when `ifAbsent` and it is there.
    @discardableResult
    func put(_ key: ObjectKey, _ bytes: [UInt8], ifAbsent: Bool) async throws(StoreError) -> ObjectInfo

    /// Writes a whole object under a condition; once this returns, it is durable.
    ///
    /// Throws `exists` or `preconditionFailed` when the condition does not hold. Two writers can exclude each other with it only
    /// where `supportsConditions()` is true; elsewhere the condition is looked at before writing, not together with it.
    @discardableResult
    func put(_ key: ObjectKey, _ bytes: [UInt8], condition: PutCondition) async throws(StoreError) -> ObjectInfo

    /// Writes an object from a local file, in parts when it is large; durable and verified (checksum or size) when it returns.
    ///
    /// The first `file.info.size` bytes are read from the descriptor without moving its offset; the caller keeps it open until this
    /// returns, and closes it. `contentType` nil lets the store derive it from the name. Throws `exists` when `ifAbsent` and it is there.
    @discardableResult
    func put(_ key: ObjectKey, file: LocalFile, contentType: String?, ifAbsent: Bool) async throws(StoreError) -> ObjectInfo

    /// Whether conditions of `put` are judged by the store together with writing. The first call may ask the store.
    func supportsConditions() async throws(StoreError) -> Bool

    /// Opens an object for reading; `range` is cut to the object's end, nil is all of it.
    func get(_ key: ObjectKey, range: Range<Int64>?) async throws(StoreError) -> ObjectBody

    /// What is known of an object. Throws `notFound`.
    func head(_ key: ObjectKey) async throws(StoreError) -> ObjectInfo

    /// Objects whose key starts with `prefix`, by rising UTF-8 bytes, from past `after`, at most `limit`.
    func list(prefix: String, after: String?, limit: Int) async throws(StoreError) -> ObjectPage

    /// Removes an object; one that is not there is no error.
    func delete(_ key: ObjectKey) async throws(StoreError)

    /// Removes objects, in batches where the store can; any that is not there is no error. When it throws, some may be left.
    func deleteAll(_ keys: [ObjectKey]) async throws(StoreError)

    /// An address that needs no credentials, good for at most `seconds` from `nowUs` (Unix microseconds), shorter when the store's
    /// own credentials end before; nil for stores that have none, such as files. The address is a secret: never log it.
    func presign(_ method: PresignMethod, _ key: ObjectKey, seconds: Int, nowUs: Int64) async throws(StoreError) -> String?

    /// One cheap round trip: reachable and allowed. Throws what is wrong.
    func ping() async throws(StoreError)

    /// The object as an open local file, for sendfile; nil when the store has no local files. Throws `notFound`.
    func localFile(_ key: ObjectKey) async throws(StoreError) -> LocalFile?

    /// Like `localFile`, but never waits for a disk; nil when it would have to, and when there is no such file.
    func cachedFile(_ key: ObjectKey) -> LocalFile?

    /// How often this process has deleted something here: whoever remembers files forgets them when it has changed.
    var deletions: UInt64 { get }

    /// Bytes a key may have here.
    var keyBytesMax: Int { get }

    /// The time of day by the store's own clock, Unix microseconds, as far as it is known; nil for a store that never tells.
    var nowUs: Int64? { get }
}

extension ObjectStore {
    /// `ObjectKey.bytesMax`.
    public var keyBytesMax: Int { ObjectKey.bytesMax }

    /// Nil.
    public var nowUs: Int64? { nil }

    /// Writes a whole object; once this returns, it is durable. Throws `exists` when `ifAbsent` and it is there.
    @discardableResult
    public func put(_ key: ObjectKey, _ bytes: [UInt8], ifAbsent: Bool) async throws(StoreError) -> ObjectInfo {
        try await put(key, bytes, condition: ifAbsent ? .absent : .none)
    }

    /// One by one.
    public func deleteAll(_ keys: [ObjectKey]) async throws(StoreError) {
        for key in keys { try await delete(key) }
    }

    /// A store without presigned addresses.
    public func presign(_ method: PresignMethod, _ key: ObjectKey, seconds: Int, nowUs: Int64) async throws(StoreError) -> String?
    {
        nil
    }

    /// Most stores have no local files.
    public func localFile(_ key: ObjectKey) async throws(StoreError) -> LocalFile? { nil }

    /// Most stores have no local files.
    public func cachedFile(_ key: ObjectKey) -> LocalFile? { nil }

    /// Nothing of a store without local files is remembered.
    public var deletions: UInt64 { 0 }

    /// All bytes of an object of at most `limit` bytes, such as a manifest. Throws `failed` with EFBIG for a longer one.
    public func read(_ key: ObjectKey, limit: Int) async throws(StoreError) -> [UInt8] {
        let body = try await get(key, range: nil)
        guard body.info.size <= Int64(limit) else { throw .failed(operation: "read", code: 27) }
        return try await body.bytes()
    }

    /// The first bytes of an object that is not empty, fewer of a shorter one.
    public func read(_ key: ObjectKey, first count: Int) async throws(StoreError) -> [UInt8] {
        try await get(key, range: 0..<Int64(count)).bytes()
    }
}
