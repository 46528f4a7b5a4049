import HTTP
import Log
import Store
import Synchronization

/// Objects in a bucket of Amazon S3, of what speaks its protocol, or of Alibaba Cloud OSS, whose protocol is its sibling: the operations
/// are the same, and what differs is in the dialect.
///
/// Every request is signed when it is sent, tried again where that may help, and verified: what was written by checksum or size, what
/// is read by length. Any task may call any method.
public final class RemoteBucket: ObjectStore {
    static let log = Logger("buckets")

    /// How objects are written in parts.
    struct PartSizes: Sendable {
        /// A longer object is written in parts.
        var thresholdBytes: Int64 = 32 << 20
        /// A part; more where 10,000 would not do. S3's least is 5 MiB, OSS's 100 KiB.
        var partBytes: Int64 = 16 << 20
        /// The most parts that either takes.
        var partsMax: Int64 = 10_000
    }

    let transport: BucketTransport
    let dialect: any BucketDialect
    let parts: PartSizes
    /// The configured root, without slashes at its ends; may be empty.
    let root: String
    let probedConditions = Mutex<Conditions?>(nil)
    let lastSweepUs = Mutex<Int64>(.min)

    /// - Parameter store: names the bucket in logs, such as `s3://bucket`.
    init(
        _ dialect: any BucketDialect, root: String, store: String, client: HTTPClient, parts: PartSizes = PartSizes(),
        limits: RetryPolicy.Limits = .init(), clock: BucketClock = .system
    ) {
        transport = BucketTransport(client, dialect, store: store, limits: limits, clock: clock)
        (self.dialect, self.root, self.parts) = (dialect, root, parts)
    }

    /// The key in the bucket.
    func name(_ key: ObjectKey) -> String { name(prefix: key.path) }

    /// A prefix in the bucket.
    func name(prefix: String) -> String { root.isEmpty ? prefix : root + "/" + prefix }

    /// A request whose failure is the caller's as it is.
    func send(_ request: BucketRequest) async throws(StoreError) -> BucketAnswer {
        do throws(BucketFailure) {
            return try await transport.send(request)
        } catch {
            throw error.error
        }
    }

    // MARK: ObjectStore

    /// The root is a part of each key.
    public var keyBytesMax: Int { ObjectKey.bytesMax - (root.isEmpty ? 0 : root.utf8.count + 1) }

    /// Ours, until the store has refused a request for it.
    public var nowUs: Int64? { transport.seconds * 1_000_000 }

    /// Size, tag and time, by one HEAD.
    public func head(_ key: ObjectKey) async throws(StoreError) -> ObjectInfo {
        try await look(key).info
    }

    /// What HEAD tells, and what the dialect may read in it besides.
    func look(_ key: ObjectKey) async throws(StoreError) -> (info: ObjectInfo, headers: HTTPHeaders) {
        let answer = try await send(BucketRequest(.head, name(key)))
        guard let info = ObjectInfo(key: key, headers: answer.headers) else { throw .unavailable(reason: "HEAD told no length") }
        return (info, answer.headers)
    }

    /// Removes an object; one that is not there is no error.
    public func delete(_ key: ObjectKey) async throws(StoreError) {
        do throws(StoreError) {
            _ = try await send(BucketRequest(.delete, name(key)))
        } catch {
            guard error == .notFound else { throw error }
        }
    }

    /// An address good for at most 7 days, or until shortly before the credentials end.
    public func presign(
        _ method: PresignMethod, _ key: ObjectKey, seconds: Int, nowUs: Int64
    ) async throws(StoreError) -> String? {
        // Whoever uses the address can't try another form of it.
        if dialect.isUnsure { try? await ping() }
        return try await dialect.presigned(
            HTTPMethod(rawValue: method.rawValue), name(key), validSeconds: seconds,
            atSeconds: nowUs / 1_000_000 + transport.offset)
    }

    /// Lists at most one object.
    public func ping() async throws(StoreError) {
        _ = try await page(prefix: name(prefix: ""), after: nil, limit: 1)
    }
}

extension ObjectInfo {
    /// From the fields of an answer to GET or HEAD; nil without a length.
    init?(key: ObjectKey, headers: HTTPHeaders) {
        let whole = headers["Content-Range"].flatMap { $0.split(separator: "/").last }.flatMap { Int64($0) }
        guard let size = whole ?? headers["Content-Length"].flatMap({ Int64($0) }), size >= 0 else { return nil }
        self.init(key: key, size: size, etag: Self.tag(headers["ETag"]), modifiedUs: Self.modified(headers["Last-Modified"]))
    }

    /// With quotes, which some servers leave out.
    static func tag(_ text: String?) -> String {
        guard let text, !text.isEmpty else { return "" }
        return text.hasSuffix("\"") ? text : "\"\(text)\""
    }

    private static func modified(_ text: String?) -> Int64 {
        (text.flatMap { HTTPDate.parse($0) } ?? 0) * 1_000_000
    }
}
