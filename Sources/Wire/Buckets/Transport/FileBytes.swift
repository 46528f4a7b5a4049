import Dispatch
import Glibc
import Store

/// Reads a local file off the cooperative threads, at offsets of the caller's, so that the descriptor's own never moves.
struct FileBytes: Sendable {
    private static let queue = DispatchQueue(label: "buckets.files", attributes: .concurrent)
    /// Bytes of one read: the most that a body keeps in memory besides the client's buffer.
    static let pieceBytes = 128 << 10

    let file: LocalFile

    /// Up to `pieceBytes` bytes. Throws `failed` with EIO where the file is shorter than promised.
    func piece(of range: Range<Int64>) async throws(StoreError) -> [UInt8] {
        let descriptor = file.descriptor
        let count = Int(min(Int64(Self.pieceBytes), Int64(range.count)))
        return try await Self.blocking { () throws(StoreError) in try Self.read(descriptor, range.lowerBound, count) }
    }

    /// The digest of a part.
    func digest(of range: Range<Int64>, _ kind: PayloadDigest.Kind) async throws(StoreError) -> PayloadDigest {
        let descriptor = file.descriptor
        return try await Self.blocking { () throws(StoreError) in
            var digest = RunningDigest(kind)
            var offset = range.lowerBound
            while offset < range.upperBound {
                let bytes = try Self.read(descriptor, offset, Int(min(1 << 20, range.upperBound - offset)))
                bytes.withUnsafeBytes { digest.add($0) }
                offset += Int64(bytes.count)
            }
            return digest.finish()
        }
    }

    private static func read(_ descriptor: Int32, _ offset: Int64, _ count: Int) throws(StoreError) -> [UInt8] {
        var got = 0
        repeat {
            got = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
                got = pread(descriptor, buffer.baseAddress, count, off_t(offset))
                filled = max(0, got)
            }
            if got > 0 || (got == 0 && count == 0) { return bytes }
        } while got < 0 && errno == EINTR
        throw .failed(operation: "read", code: got == 0 ? EIO : errno)
    }

    private static func blocking<Value: Sendable>(
        _ body: @escaping @Sendable () throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        let result = await withCheckedContinuation { (continuation: CheckedContinuation<Result<Value, StoreError>, Never>) in
            queue.async { continuation.resume(returning: Result(catching: body)) }
        }
        return try result.get()
    }
}
