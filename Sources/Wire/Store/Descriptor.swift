import Glibc

/// An open file that is closed with its owner.
struct Descriptor: ~Copyable {
    let raw: Int32

    init(owning raw: Int32) {
        self.raw = raw
    }

    deinit {
        close(raw)
    }

    /// Gives the descriptor away; the receiver closes it.
    consuming func take() -> Int32 {
        let value = raw
        discard self
        return value
    }
}

extension StoreError {
    /// The error of an errno.
    static func from(_ operation: String, _ code: Int32 = errno) -> StoreError {
        switch code {
        case ENOENT, ENOTDIR, ELOOP, EISDIR: .notFound
        case EEXIST: .exists
        case ENOSPC, EDQUOT, EROFS: .noSpace(code: code)
        default: .failed(operation: operation, code: code)
        }
    }
}

/// System calls with their retries; everything blocks.
enum FileCalls {
    /// Opens a directory entry, never through a symbolic link.
    static func open(_ name: String, in directory: Int32, _ flags: Int32, mode: mode_t = 0o644) throws(StoreError) -> Descriptor {
        while true {
            let raw = openat(directory, name, flags | O_CLOEXEC | O_NOFOLLOW, mode)
            if raw >= 0 { return Descriptor(owning: raw) }
            guard errno == EINTR else { throw .from("open") }
        }
    }

    /// Writes all bytes from `start` on.
    static func write(_ bytes: [UInt8], from start: Int = 0, to descriptor: Int32) throws(StoreError) {
        var written = start
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Glibc.write(descriptor, buffer.baseAddress.map { $0 + written }, buffer.count - written)
            }
            if count > 0 {
                written += count
            } else if count == 0 || errno != EINTR {
                throw .from("write", count == 0 ? EIO : errno)
            }
        }
    }

    /// Writes two pieces, one behind the other.
    static func write(_ head: [UInt8], _ body: [UInt8], to descriptor: Int32) throws(StoreError) {
        var written = 0
        while written < head.count {
            let count = head.withUnsafeBytes { head in
                body.withUnsafeBytes { body in
                    var pieces = [
                        iovec(
                            iov_base: UnsafeMutableRawPointer(mutating: head.baseAddress.map { $0 + written }),
                            iov_len: head.count - written),
                        iovec(iov_base: UnsafeMutableRawPointer(mutating: body.baseAddress), iov_len: body.count),
                    ]
                    return writev(descriptor, &pieces, 2)
                }
            }
            if count > 0 {
                written += count
            } else if count == 0 || errno != EINTR {
                throw .from("write", count == 0 ? EIO : errno)
            }
        }
        try write(body, from: written - head.count, to: descriptor)
    }

    static func read(_ descriptor: Int32, at offset: Int64, count: Int) throws(StoreError) -> [UInt8] {
        while true {
            var got = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
                got = pread(descriptor, buffer.baseAddress, count, off_t(offset))
                filled = max(0, got)
            }
            if got >= 0 { return bytes }
            guard errno == EINTR else { throw .from("read") }
        }
    }

    static func sync(_ descriptor: Int32) throws(StoreError) {
        guard fdatasync(descriptor) == 0 else { throw .from("fdatasync") }
    }

    static func info(_ descriptor: Int32, key: ObjectKey) throws(StoreError) -> ObjectInfo {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .from("stat") }
        return try info(status, key: key)
    }

    /// Throws `notFound` for what is no regular file.
    static func info(_ status: stat, key: ObjectKey) throws(StoreError) -> ObjectInfo {
        guard status.st_mode & S_IFMT == S_IFREG else { throw .notFound }
        let nanoseconds = Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec)
        let tag = tag(UInt64(bitPattern: Int64(status.st_size)), UInt64(bitPattern: nanoseconds), UInt64(status.st_ino))
        return ObjectInfo(key: key, size: Int64(status.st_size), etag: tag, modifiedUs: nanoseconds / 1000)
    }

    /// The numbers in hexadecimal with dashes between, in quotes; byte by byte, since each request for an object wants one.
    private static func tag(_ numbers: UInt64...) -> String {
        String(unsafeUninitializedCapacity: 2 + 17 * numbers.count) { buffer in
            var count = 0
            func put(_ byte: UInt8) {
                buffer[count] = byte
                count += 1
            }
            put(0x22)
            for (index, number) in numbers.enumerated() {
                if index > 0 { put(0x2D) }
                let digits = max(1, (67 - number.leadingZeroBitCount) / 4)
                for digit in (0..<digits).reversed() {
                    let value = UInt8(truncatingIfNeeded: number >> (4 * UInt64(digit)) & 15)
                    put(value < 10 ? 0x30 + value : 0x57 + value)
                }
            }
            put(0x22)
            return count
        }
    }
}
