import Dispatch
import Glibc
import Synchronization

/// Objects as files beneath a directory.
///
/// Every path is walked component by component with `O_NOFOLLOW`, so no key and no symbolic link inside the root leads out of it.
/// An object appears whole or not at all: written under another name, flushed, renamed, and the directory flushed too.
///
/// The methods named `…Now` block the calling thread and are for threads of one's own, such as the recorder's; the `ObjectStore`
/// methods do the same work on a queue.
public final class FileStore: ObjectStore {
    /// The directory, as it was given.
    public let root: String
    let rootDescriptor: Descriptor
    let deleted = Atomic<UInt64>(0)
    private let queue = DispatchQueue(label: "store.files", attributes: .concurrent)

    /// Bytes of a piece of a body.
    static let chunkBytes = 128 << 10
    /// Ends the name of what is not finished.
    public static let temporarySuffix = ".tmp"

    /// Opens the directory and makes it, with its parents, when it is not there.
    ///
    /// Throws what the system says when it cannot be made, is no directory or cannot be written to.
    public init(root: String) throws(StoreError) {
        self.root = root
        var path = root.hasPrefix("/") ? "/" : ""
        for component in root.split(separator: "/") {
            path += component + "/"
            if mkdir(path, 0o755) != 0, errno != EEXIST { throw .from("mkdir") }
        }
        let raw = open(path.isEmpty ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard raw >= 0 else { throw .failed(operation: "open", code: errno) }
        rootDescriptor = Descriptor(owning: raw)
        guard faccessat(raw, ".", W_OK | X_OK, 0) == 0 else { throw .failed(operation: "access", code: errno) }
    }

    /// How many objects were deleted through this store.
    public var deletions: UInt64 { deleted.load(ordering: .acquiring) }

    /// Bytes an unprivileged process can still write beneath the root.
    public func freeBytesNow() throws(StoreError) -> Int64 { try spaceNow().free }

    /// Bytes an unprivileged process can still write beneath the root, and bytes the file system has in all.
    public func spaceNow() throws(StoreError) -> (free: Int64, all: Int64) {
        var status = statvfs()
        guard fstatvfs(rootDescriptor.raw, &status) == 0 else { throw .from("statvfs") }
        func bytes(_ blocks: UInt) -> Int64 {
            Int64(clamping: UInt64(blocks).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue)
        }
        return (bytes(status.f_bavail), bytes(status.f_blocks))
    }

    // MARK: ObjectStore

    /// Writes a whole file, durably. Throws `exists` and `preconditionFailed` when the condition does not hold.
    @discardableResult
    public func put(_ key: ObjectKey, _ bytes: [UInt8], condition: PutCondition) async throws(StoreError) -> ObjectInfo {
        try await blocking { () throws(StoreError) in try self.putNow(key, bytes, condition: condition) }
    }

    /// Copies a file, durably.
    @discardableResult
    public func put(
        _ key: ObjectKey, file: LocalFile, contentType: String?, ifAbsent: Bool
    ) async throws(StoreError) -> ObjectInfo {
        try await blocking { () throws(StoreError) in try self.putNow(key, file: file, ifAbsent: ifAbsent) }
    }

    /// Files can be claimed and replaced under a condition.
    public func supportsConditions() async throws(StoreError) -> Bool { true }

    /// Opens a file; its bytes come in pieces as they are asked for.
    public func get(_ key: ObjectKey, range: Range<Int64>?) async throws(StoreError) -> ObjectBody {
        let file = try await blocking { () throws(StoreError) in OpenFile(try self.openNow(key)) }
        let size = file.info.size
        if let range, range.lowerBound >= size || range.lowerBound < 0 { throw .rangeNotSatisfiable(size: size) }
        let range = range.map { $0.lowerBound..<min(size, $0.upperBound) } ?? 0..<size
        let cursor = ReadCursor(range)
        let chunks = ObjectChunks { () async throws(StoreError) -> [UInt8]? in
            guard let piece = cursor.next(Self.chunkBytes) else { return nil }
            return try await self.blocking { () throws(StoreError) in
                let bytes = try FileCalls.read(file.descriptor, at: piece.lowerBound, count: piece.count)
                guard bytes.count == piece.count else { throw .failed(operation: "read", code: EIO) }
                return bytes
            }
        }
        return ObjectBody(info: file.info, range: range, chunks: chunks)
    }

    /// Size, tag and time of a file.
    public func head(_ key: ObjectKey) async throws(StoreError) -> ObjectInfo {
        try await blocking { () throws(StoreError) in try self.headNow(key) }
    }

    /// Files by rising key; unfinished and hidden ones are left out.
    public func list(prefix: String, after: String?, limit: Int) async throws(StoreError) -> ObjectPage {
        try await blocking { () throws(StoreError) in try self.listNow(prefix: prefix, after: after, limit: limit) }
    }

    /// Removes a file, and directories that are empty then.
    public func delete(_ key: ObjectKey) async throws(StoreError) {
        try await blocking { () throws(StoreError) in try self.deleteNow(key) }
    }

    /// Removes files, and directories that are empty then.
    public func deleteAll(_ keys: [ObjectKey]) async throws(StoreError) {
        try await blocking { () throws(StoreError) in
            for key in keys { try self.deleteNow(key) }
        }
    }

    /// The root is there and can be written to.
    public func ping() async throws(StoreError) {
        try await blocking { () throws(StoreError) in
            guard faccessat(self.rootDescriptor.raw, ".", W_OK | X_OK, 0) == 0 else { throw .from("access") }
            _ = try self.freeBytesNow()
        }
    }

    /// The file, open for reading; the caller closes the descriptor.
    public func localFile(_ key: ObjectKey) async throws(StoreError) -> LocalFile? {
        // What the kernel has at hand is opened here and now; only a disk is worth another thread.
        if let file = cachedFile(key) { return file }
        return try await blocking { () throws(StoreError) in try self.openNow(key) }
    }

    private func blocking<Value: Sendable>(
        _ body: @escaping @Sendable () throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        let result = await withCheckedContinuation { (continuation: CheckedContinuation<Result<Value, StoreError>, Never>) in
            queue.async { continuation.resume(returning: Result(catching: body)) }
        }
        return try result.get()
    }
}

/// Keeps a file open as long as its body is read.
private final class OpenFile: Sendable {
    let info: ObjectInfo
    let descriptor: Int32

    init(_ file: LocalFile) {
        info = file.info
        descriptor = file.descriptor
    }

    deinit {
        close(descriptor)
    }
}
