import Glibc
import Synchronization

/// A file being written, not yet under its name. Belongs to one thread; left alone, the temporary file stays for a later repair.
public final class PendingFile {
    /// The name it will have.
    public let key: ObjectKey
    /// Bytes so far.
    public private(set) var size: Int64 = 0
    private let temporaryName: String
    private let directory: Descriptor
    private let file: Descriptor

    init(key: ObjectKey, temporaryName: String, directory: consuming Descriptor, file: consuming Descriptor) {
        self.key = key
        self.temporaryName = temporaryName
        self.directory = directory
        self.file = file
    }

    /// Adds bytes; a killed process leaves them, a power failure may not.
    public func append(_ bytes: [UInt8]) throws(StoreError) {
        try FileCalls.write(bytes, to: file.raw)
        size += Int64(bytes.count)
    }

    /// Adds two pieces, one behind the other, without joining them in memory first.
    public func append(_ head: [UInt8], _ body: [UInt8]) throws(StoreError) {
        try FileCalls.write(head, body, to: file.raw)
        size += Int64(head.count + body.count)
    }

    /// Adds the first `count` bytes of another file, whose offset stays where it is. Throws `failed` with EIO when it is shorter.
    public func append(copying source: Int32, count: Int64) throws(StoreError) {
        var offset: Int64 = 0
        while offset < count {
            let bytes = try FileCalls.read(source, at: offset, count: Int(min(count - offset, 1 << 20)))
            guard !bytes.isEmpty else { throw .failed(operation: "read", code: EIO) }
            try append(bytes)
            offset += Int64(bytes.count)
        }
    }

    /// Makes the file durable and gives it its name. Throws `exists` when `ifAbsent` and the name is taken.
    ///
    /// - Parameter isFlushed: false for what can be made anew after a power failure: a killed process leaves it, too.
    @discardableResult
    public func commit(ifAbsent: Bool, isFlushed: Bool = true) throws(StoreError) -> ObjectInfo {
        if isFlushed { try FileCalls.sync(file.raw) }
        try rename(ifAbsent: ifAbsent)
        if isFlushed { try FileCalls.syncDirectory(directory.raw) }
        return try FileCalls.info(file.raw, key: key)
    }

    /// Makes files of one directory durable and gives them their names, in this order; the directory is flushed once. Throws `exists`
    /// when a name is taken: then those before it have theirs.
    public static func commit(_ files: [PendingFile]) throws(StoreError) {
        for file in files { try FileCalls.sync(file.file.raw) }
        for file in files { try file.rename(ifAbsent: true) }
        if let last = files.last { try FileCalls.syncDirectory(last.directory.raw) }
    }

    private func rename(ifAbsent: Bool) throws(StoreError) {
        if ifAbsent {
            guard linkat(directory.raw, temporaryName, directory.raw, key.name, 0) == 0 else { throw .from("link") }
            guard unlinkat(directory.raw, temporaryName, 0) == 0 else { throw .from("unlink") }
        } else {
            guard renameat(directory.raw, temporaryName, directory.raw, key.name) == 0 else { throw .from("rename") }
        }
    }

    /// Removes the temporary file.
    public func abandon() {
        unlinkat(directory.raw, temporaryName, 0)
    }
}

/// A file that only grows. Belongs to one thread. Holds a lock that shows other processes that its writer lives.
public final class AppendFile {
    private let file: Descriptor

    init(_ file: consuming Descriptor) {
        self.file = file
    }

    /// Claims the file for this writer until it is closed or the process ends; false when another has it.
    public func claim() -> Bool {
        flock(file.raw, LOCK_EX | LOCK_NB) == 0
    }

    /// Adds bytes durably.
    public func append(_ bytes: [UInt8]) throws(StoreError) {
        try FileCalls.write(bytes, to: file.raw)
        try FileCalls.sync(file.raw)
    }

    /// Throws `notFound` when someone has removed the file: what is added goes nowhere.
    public func checkIsThere() throws(StoreError) {
        var status = stat()
        guard fstat(file.raw, &status) == 0 else { throw .from("stat") }
        guard status.st_nlink > 0 else { throw .notFound }
    }

    /// Cuts the file, such as to get rid of a torn last line.
    public func truncate(to size: Int64) throws(StoreError) {
        guard ftruncate(file.raw, off_t(size)) == 0 else { throw .from("truncate") }
        try FileCalls.sync(file.raw)
    }
}

/// Where reading a body has come to; one consumer, but the compiler cannot know.
final class ReadCursor: Sendable {
    private let state: Mutex<Range<Int64>>

    init(_ range: Range<Int64>) {
        state = Mutex(range)
    }

    /// The next at most `count` bytes; nil at the end.
    func next(_ count: Int) -> Range<Int64>? {
        state.withLock { left in
            guard !left.isEmpty else { return nil }
            let end = min(left.upperBound, left.lowerBound + Int64(count))
            defer { left = end..<left.upperBound }
            return left.lowerBound..<end
        }
    }
}
