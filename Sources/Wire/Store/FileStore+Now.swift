import CLinux
import Glibc
import Synchronization

extension FileStore {
    /// Like `put`, on the calling thread.
    @discardableResult
    public func putNow(_ key: ObjectKey, _ bytes: [UInt8], ifAbsent: Bool) throws(StoreError) -> ObjectInfo {
        try writeNow(key, ifAbsent: ifAbsent) { (file) throws(StoreError) in try file.append(bytes) }
    }

    /// Writes or replaces an object that can be made anew: whoever reads it gets all of the old or all of the new one, but a power
    /// failure may leave nothing of either.
    public func putUnflushedNow(_ key: ObjectKey, _ bytes: [UInt8]) throws(StoreError) {
        try writeNow(key, ifAbsent: false, isFlushed: false) { (file) throws(StoreError) in try file.append(bytes) }
    }

    /// Like `put` with a condition, on the calling thread. Writers with `matches` take turns by the directory's lock, so it must not be
    /// held by the caller.
    @discardableResult
    public func putNow(_ key: ObjectKey, _ bytes: [UInt8], condition: PutCondition) throws(StoreError) -> ObjectInfo {
        guard case .matches(let tag) = condition else { return try putNow(key, bytes, ifAbsent: condition == .absent) }
        let replace = { () throws(StoreError) -> ObjectInfo in
            do throws(StoreError) {
                guard try self.headNow(key).etag == tag else { throw .preconditionFailed }
            } catch {
                throw error == .notFound ? .preconditionFailed : error
            }
            return try self.putNow(key, bytes, ifAbsent: false)
        }
        guard let parent = key.parent else { return try withLockNow([], replace) }
        return try withLockNow(parent.components, replace)
    }

    /// Like `put` of a file, on the calling thread.
    @discardableResult
    public func putNow(_ key: ObjectKey, file source: LocalFile, ifAbsent: Bool) throws(StoreError) -> ObjectInfo {
        try writeNow(key, ifAbsent: ifAbsent) { (file) throws(StoreError) in
            try file.append(copying: source.descriptor, count: source.info.size)
        }
    }

    @discardableResult
    private func writeNow(
        _ key: ObjectKey, ifAbsent: Bool, isFlushed: Bool = true, _ fill: (PendingFile) throws(StoreError) -> Void
    ) throws(StoreError) -> ObjectInfo {
        // The name's own length must leave room for the suffix (NAME_MAX).
        let stem = String(decoding: Array(key.name.utf8.prefix(200)).filter { $0 < 0x80 }, as: UTF8.self)
        let file = try createNow(
            key, temporaryName: ".\(stem).\(String(UInt64.random(in: 0 ... .max), radix: 36))\(Self.temporarySuffix)")
        do throws(StoreError) {
            try fill(file)
            return try file.commit(ifAbsent: ifAbsent, isFlushed: isFlushed)
        } catch {
            file.abandon()
            throw error
        }
    }

    /// Like `head`, on the calling thread.
    public func headNow(_ key: ObjectKey) throws(StoreError) -> ObjectInfo {
        let directory = try directoryNow(of: key, create: false)
        var status = stat()
        guard fstatat(directory.raw, key.name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { throw .from("stat") }
        return try FileCalls.info(status, key: key)
    }

    /// Like `localFile`, on the calling thread.
    public func openNow(_ key: ObjectKey) throws(StoreError) -> LocalFile {
        let directory = try directoryNow(of: key, create: false)
        // Not blocking: a FIFO put there by someone else must not hang the server.
        let file = try FileCalls.open(key.name, in: directory.raw, O_RDONLY | O_NONBLOCK)
        let info = try FileCalls.info(file.raw, key: key)
        return LocalFile(descriptor: file.take(), info: info)
    }

    /// Like `openNow`, but never waits for a disk; nil when it would have to, and when there is no such file.
    public func cachedFile(_ key: ObjectKey) -> LocalFile? {
        let raw = tributary_open_cached(rootDescriptor.raw, key.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard raw >= 0 else { return nil }
        let file = Descriptor(owning: raw)
        var status = stat()
        guard fstat(raw, &status) == 0, let info = try? FileCalls.info(status, key: key) else { return nil }
        return LocalFile(descriptor: file.take(), info: info, status: status)
    }

    /// Gives the memory back in which the kernel keeps a file that was flushed; the file itself stays. It is only advice, so nothing
    /// is thrown.
    public func uncacheNow(_ key: ObjectKey) {
        guard let file = try? openNow(key) else { return }
        let owner = Descriptor(owning: file.descriptor)
        posix_fadvise(owner.raw, 0, 0, POSIX_FADV_DONTNEED)
    }

    /// All bytes of a file of at most `limit` bytes. Throws `failed` with EFBIG for a longer one.
    public func readNow(_ key: ObjectKey, limit: Int) throws(StoreError) -> [UInt8] {
        let file = try openNow(key)
        let owner = Descriptor(owning: file.descriptor)
        guard file.info.size <= Int64(limit) else { throw .failed(operation: "read", code: EFBIG) }
        var bytes: [UInt8] = []
        while bytes.count < Int(file.info.size) {
            let piece = try FileCalls.read(owner.raw, at: Int64(bytes.count), count: Int(file.info.size) - bytes.count)
            guard !piece.isEmpty else { break }
            bytes += piece
        }
        return bytes
    }

    /// Like `delete`, on the calling thread.
    public func deleteNow(_ key: ObjectKey) throws(StoreError) {
        do throws(StoreError) {
            let directory = try directoryNow(of: key, create: false)
            guard unlinkat(directory.raw, key.name, 0) == 0 else { throw .from("unlink") }
            deleted.add(1, ordering: .releasing)
        } catch {
            guard error == .notFound else { throw error }
            return
        }
        var parent = key.parent
        while let current = parent {
            guard let above = try? directoryNow(of: current, create: false),
                unlinkat(above.raw, current.name, AT_REMOVEDIR) == 0
            else { break }
            parent = current.parent
        }
    }

    /// Starts a file that is not visible under its name before it is committed.
    ///
    /// - Parameter temporaryName: the name meanwhile, in the same directory; nil for the key's name with `temporarySuffix`.
    /// Throws `exists` when a file of the temporary name is there: someone else is writing it.
    public func createNow(_ key: ObjectKey, temporaryName: String? = nil) throws(StoreError) -> PendingFile {
        let name = temporaryName ?? key.name + Self.temporarySuffix
        for _ in 0..<3 {
            let directory = try directoryNow(of: key, create: true)
            do throws(StoreError) {
                let file = try FileCalls.open(name, in: directory.raw, O_WRONLY | O_CREAT | O_EXCL)
                return PendingFile(key: key, temporaryName: name, directory: directory, file: file)
            } catch {
                // The directory was empty and someone removed it just now.
                guard error == .notFound else { throw error }
            }
        }
        throw .notFound
    }

    /// Opens, and makes when it is not there, a file that grows by appending, such as a journal.
    ///
    /// Throws `exists` when `exclusively` and it is there.
    public func appendingNow(_ key: ObjectKey, exclusively: Bool) throws(StoreError) -> AppendFile {
        let directory = try directoryNow(of: key, create: exclusively)
        let flags = O_RDWR | O_APPEND | (exclusively ? O_CREAT | O_EXCL : 0)
        let file = try FileCalls.open(key.name, in: directory.raw, flags)
        _ = try FileCalls.info(file.raw, key: key)
        if exclusively { try FileCalls.syncDirectory(directory.raw) }
        return AppendFile(file)
    }

    /// Waits for the right to change what is in a directory that several writers share, in this process or another, and holds it
    /// while `body` runs. The directory is made when it is not there.
    public func withLockNow<Value>(
        _ directory: ObjectKey, _ body: () throws(StoreError) -> Value
    ) throws(StoreError) -> Value {
        try withLockNow(directory.components, body)
    }

    private func withLockNow<Value>(
        _ directory: [String], _ body: () throws(StoreError) -> Value
    ) throws(StoreError) -> Value {
        let opened = try openDirectoryNow(directory, create: true)
        while flock(opened.raw, LOCK_EX) != 0 {
            guard errno == EINTR else { throw .from("flock") }
        }
        defer { flock(opened.raw, LOCK_UN) }
        return try body()
    }

    /// The names of unfinished files in a directory, hidden ones too.
    public func temporaryNamesNow(in directory: ObjectKey) throws(StoreError) -> [String] {
        let opened = try openDirectoryNow(directory.components, create: false)
        return try FileCalls.entries(opened.raw).map(\.name).filter { $0.hasSuffix(Self.temporarySuffix) }.sorted()
    }

    /// Finishes what another writer left under a temporary name: cuts it to `size` bytes and gives it the key's name.
    public func adoptNow(temporaryName: String, as key: ObjectKey, size: Int64) throws(StoreError) {
        let directory = try directoryNow(of: key, create: false)
        let file = try FileCalls.open(temporaryName, in: directory.raw, O_WRONLY)
        guard ftruncate(file.raw, off_t(size)) == 0 else { throw .from("truncate") }
        let pending = PendingFile(key: key, temporaryName: temporaryName, directory: directory, file: file)
        _ = try pending.commit(ifAbsent: true)
    }

    // MARK: Directories

    func directoryNow(of key: ObjectKey, create: Bool) throws(StoreError) -> Descriptor {
        try openDirectoryNow(key.components.dropLast(), create: create)
    }

    func openDirectoryNow(_ components: some Sequence<String>, create: Bool) throws(StoreError) -> Descriptor {
        var current = try FileCalls.open(".", in: rootDescriptor.raw, O_RDONLY | O_DIRECTORY)
        for component in components {
            if create, mkdirat(current.raw, component, 0o755) == 0 {
                try FileCalls.syncDirectory(current.raw)
            }
            current = try FileCalls.open(component, in: current.raw, O_RDONLY | O_DIRECTORY)
        }
        return current
    }
}

extension FileCalls {
    static func syncDirectory(_ descriptor: Int32) throws(StoreError) {
        // Some file systems cannot flush a directory and say EINVAL; then there is nothing to do.
        guard fsync(descriptor) == 0 || errno == EINVAL else { throw .from("fsync") }
    }
}
