/// Where the bytes of a streamed body go, in a response of ours or a request of ours.
public struct HTTPBodyWriter: Sendable {
    let pipe: BytePipe

    /// Sends bytes; waits while the peer is slower than the writer.
    /// Throws when the peer is gone, and CancellationError when the task was cancelled. Any task may call it; calls don't mix bytes.
    public func write(_ bytes: [UInt8]) async throws { try await pipe.write(bytes) }

    /// Sends text as UTF-8.
    public func write(_ text: String) async throws { try await pipe.write(Array(text.utf8)) }
}
