import Store

/// What readers of a node with a spool see: its own files while they are there, else the remote store.
public struct SpooledStore: ObjectStore {
    private let spool: FileStore
    private let remote: any ObjectStore

    /// Both; writing goes to the remote one.
    public init(spool: FileStore, remote: any ObjectStore) {
        self.spool = spool
        self.remote = remote
    }

    /// The file in the spool; nil when there is none.
    public func localFile(_ key: ObjectKey) async throws(StoreError) -> LocalFile? {
        do throws(StoreError) {
            return try await spool.localFile(key)
        } catch {
            guard error == .notFound else { throw error }
            return nil
        }
    }

    /// The file in the spool when the kernel has it at hand.
    public func cachedFile(_ key: ObjectKey) -> LocalFile? { spool.cachedFile(key) }

    /// Of the spool.
    public var deletions: UInt64 { spool.deletions }

    /// From the spool, else from the remote store.
    public func get(_ key: ObjectKey, range: Range<Int64>?) async throws(StoreError) -> ObjectBody {
        do throws(StoreError) {
            return try await spool.get(key, range: range)
        } catch {
            guard error == .notFound else { throw error }
            return try await remote.get(key, range: range)
        }
    }

    /// Of the file in the spool, else of the remote object.
    public func head(_ key: ObjectKey) async throws(StoreError) -> ObjectInfo {
        do throws(StoreError) {
            return try await spool.head(key)
        } catch {
            guard error == .notFound else { throw error }
            return try await remote.head(key)
        }
    }

    /// Remote objects.
    public func list(prefix: String, after: String?, limit: Int) async throws(StoreError) -> ObjectPage {
        try await remote.list(prefix: prefix, after: after, limit: limit)
    }

    /// To the remote store.
    public func put(_ key: ObjectKey, _ bytes: [UInt8], condition: PutCondition) async throws(StoreError) -> ObjectInfo {
        try await remote.put(key, bytes, condition: condition)
    }

    /// To the remote store.
    public func put(
        _ key: ObjectKey, file: LocalFile, contentType: String?, ifAbsent: Bool
    ) async throws(StoreError) -> ObjectInfo {
        try await remote.put(key, file: file, contentType: contentType, ifAbsent: ifAbsent)
    }

    /// Of the remote store.
    public func supportsConditions() async throws(StoreError) -> Bool {
        try await remote.supportsConditions()
    }

    /// From both.
    public func delete(_ key: ObjectKey) async throws(StoreError) {
        try await spool.delete(key)
        try await remote.delete(key)
    }

    /// Of the remote object.
    public func presign(_ method: PresignMethod, _ key: ObjectKey, seconds: Int, nowUs: Int64) async throws(StoreError) -> String?
    {
        try await remote.presign(method, key, seconds: seconds, nowUs: nowUs)
    }

    /// The remote store.
    public func ping() async throws(StoreError) {
        try await remote.ping()
    }
}
