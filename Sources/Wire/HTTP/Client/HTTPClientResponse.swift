import FoundationEssentials
import Synchronization

/// An answer whose body is still coming.
public struct HTTPClientResponse: Sendable {
    /// The status.
    public let status: HTTPStatus
    /// The header fields.
    public let headers: HTTPHeaders
    /// The body; one task reads it once. Letting go of it unread gives the transfer up.
    public let body: HTTPClientBody

    /// The whole body. Throws ``HTTPClientError/tooLong(limit:)``, and what broke the transfer.
    public func collect(limit: Int = 8 << 20) async throws(HTTPClientError) -> [UInt8] {
        var all: [UInt8] = []
        while let chunk = try await body.next() {
            guard chunk.count <= limit - all.count else { throw .tooLong(limit: limit) }
            all += chunk
        }
        return all
    }

    /// The whole body as JSON. Throws as ``collect(limit:)``, and ``HTTPClientError/broken(_:)`` when it is not what was expected.
    public func json<Value: Decodable>(_ type: Value.Type, limit: Int = 8 << 20) async throws(HTTPClientError) -> Value {
        let bytes = try await collect(limit: limit)
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw .broken("the answer is not the JSON expected")
        }
    }
}

/// The body of an answer, in pieces as they come; the server is held back while the reader is busy.
public final class HTTPClientBody: AsyncSequence, Sendable {
    let pipe: BytePipe
    private let giveUp: @Sendable () -> Void
    private let isAllRead = Atomic<Bool>(false)

    init(pipe: BytePipe, giveUp: @escaping @Sendable () -> Void) {
        (self.pipe, self.giveUp) = (pipe, giveUp)
    }

    // A transfer that is over needs no giving up, which would wake its thread.
    deinit { if !isAllRead.load(ordering: .relaxed), !pipe.isOver { giveUp() } }

    /// The last byte was taken. The transfer ends by itself then, maybe a moment later.
    func isRead() { isAllRead.store(true, ordering: .relaxed) }

    /// The next piece, or nil at the end. Throws what broke the transfer.
    public func next() async throws(HTTPClientError) -> [UInt8]? {
        do {
            return try await pipe.read()
        } catch let error as HTTPClientError {
            throw error
        } catch {
            giveUp()
            throw .cancelled
        }
    }

    /// Gives up the transfer.
    public func cancel() { giveUp() }

    /// Starts reading.
    public func makeAsyncIterator() -> Iterator { Iterator(body: self) }

    /// Gives the pieces in order.
    public struct Iterator: AsyncIteratorProtocol {
        let body: HTTPClientBody

        /// The next piece, or nil at the end.
        public mutating func next() async throws(HTTPClientError) -> [UInt8]? { try await body.next() }
    }
}
