#if canImport(Glibc)
    import Glibc
#endif

/// A part of an open file that becomes a response body without passing through the program (sendfile).
/// Owns the descriptor and closes it.
public final class HTTPFile: Sendable {
    /// Which file it is and which of its states; another state has another value.
    struct Identity: Hashable {
        let device: UInt64
        let inode: UInt64
        let count: Int64
        let changedSeconds: Int64
        let changedNanoseconds: Int64

        /// The change time can't be set back as the modification time can.
        init(_ status: stat) {
            (device, inode, count) = (UInt64(status.st_dev), UInt64(status.st_ino), Int64(status.st_size))
            (changedSeconds, changedNanoseconds) = (Int64(status.st_ctim.tv_sec), Int64(status.st_ctim.tv_nsec))
        }
    }

    let descriptor: Int32
    let identity: Identity
    /// The first byte.
    public let offset: Int64
    /// The length in bytes.
    public let count: Int64
    /// When the file changed, Unix seconds.
    public let modified: Int64
    /// A strong entity tag with its quotes, from size, time and inode.
    public let etag: String

    /// Opens a regular file for reading. Throws 404 when there is none, 500 when it can't be opened.
    /// The path is trusted: what comes from a client goes through a store's key check first.
    public convenience init(path: String) throws(HTTPError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw errno == ENOENT || errno == ENOTDIR
                ? HTTPError(.notFound, "no such file") : HTTPError(.internalServerError, "the file can't be opened")
        }
        try self.init(taking: descriptor)
    }

    /// Takes over an open descriptor, which is closed even when this throws. Throws 404 when it is no regular file.
    /// - Parameters:
    ///   - etag: a strong tag with its quotes; nil makes one.
    ///   - status: what the system says of the descriptor; nil asks it.
    public init(taking descriptor: Int32, etag: String? = nil, status: stat? = nil) throws(HTTPError) {
        var info = status ?? stat()
        guard status != nil || fstat(descriptor, &info) == 0, info.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw HTTPError(.notFound, "no such file")
        }
        self.descriptor = descriptor
        offset = 0
        count = Int64(info.st_size)
        modified = Int64(info.st_mtim.tv_sec)
        identity = Identity(info)
        if let etag {
            self.etag = etag
            return
        }
        let parts = [
            UInt64(info.st_ino), UInt64(max(0, info.st_size)), UInt64(bitPattern: Int64(info.st_mtim.tv_sec)),
            UInt64(info.st_mtim.tv_nsec),
        ]
        self.etag = "\"" + parts.map { String($0, radix: 36) }.joined(separator: "-") + "\""
    }

    deinit { close(descriptor) }

    /// The header of an answer with the file: `headers`, and what the server would add to them (RFC 9110 section 8.8). A file that is sent
    /// often need not have it added each time.
    public func completed(_ headers: HTTPHeaders) -> HTTPHeaders {
        var headers = headers
        headers.complete("ETag", etag)
        headers.complete("Last-Modified", HTTPDate.format(modified))
        headers.complete("Accept-Ranges", "bytes")
        return headers
    }
}
