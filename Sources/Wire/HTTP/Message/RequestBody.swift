import FoundationEssentials

/// The body of a request, read by the handler when it wants it. Nothing is read from the client before that, beyond a small buffer.
public struct RequestBody: Sendable {
    enum Source: Sendable {
        case bytes([UInt8])
        case pipe(BytePipe, onRead: @Sendable () -> Void)
    }

    let source: Source
    /// `Content-Length` in bytes; nil when the length is unknown until the end (chunked coding).
    public let declaredLength: Int?
    /// The limit of ``bytes(limit:)`` when the caller names none: the server's `maxBody`.
    public let defaultLimit: Int

    init(source: Source, declaredLength: Int?, defaultLimit: Int) {
        self.source = source
        self.declaredLength = declaredLength
        self.defaultLimit = defaultLimit
    }

    /// A body that is already there: for tests of handlers.
    public init(_ bytes: [UInt8] = []) {
        self.init(source: .bytes(bytes), declaredLength: bytes.count, defaultLimit: 1 << 20)
    }

    /// The whole body. Throws ``HTTPError`` 413 when it is longer than `limit`, before reading when `Content-Length` tells so.
    public func bytes(limit: Int? = nil) async throws -> [UInt8] {
        let limit = limit ?? defaultLimit
        let tooLong = HTTPError(.contentTooLarge, "the body is longer than \(limit) bytes")
        if let declaredLength, declaredLength > limit { throw tooLong }
        var all: [UInt8] = []
        for try await chunk in chunks {
            guard chunk.count <= limit - all.count else { throw tooLong }
            all += chunk
        }
        return all
    }

    /// The whole body as UTF-8 text. Throws 413 as ``bytes(limit:)``, 400 when it is not UTF-8.
    public func text(limit: Int? = nil) async throws -> String {
        guard let text = String(validating: try await bytes(limit: limit), as: UTF8.self) else {
            throw HTTPError(.badRequest, "the body is not UTF-8 text")
        }
        return text
    }

    /// The whole body as JSON. Throws 413 as ``bytes(limit:)``, 400 naming the key that is missing or of the wrong type.
    public func json<Value: Decodable>(_ type: Value.Type, limit: Int? = nil) async throws -> Value {
        let bytes = try await bytes(limit: limit)
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw HTTPError(.badRequest, "the body is not the JSON expected: \(Self.reason(error))")
        }
    }

    /// The body in pieces as they come; the client is held back while the reader is busy. To be iterated once, by one task.
    public var chunks: Chunks { Chunks(source: source) }

    /// A body in pieces.
    public struct Chunks: AsyncSequence, Sendable {
        let source: Source

        /// Starts reading.
        public func makeAsyncIterator() -> Iterator { Iterator(source: source) }

        /// Gives the pieces in order, then nil. Throws when the client is gone.
        public struct Iterator: AsyncIteratorProtocol {
            let source: Source
            private var isOver = false

            init(source: Source) { self.source = source }

            /// The next piece.
            public mutating func next() async throws -> [UInt8]? {
                switch source {
                case .bytes(let bytes):
                    defer { isOver = true }
                    return isOver || bytes.isEmpty ? nil : bytes
                case .pipe(let pipe, let onRead):
                    onRead()
                    return try await pipe.read()
                }
            }
        }
    }

    private static func reason(_ error: any Error) -> String {
        func path(_ context: DecodingError.Context) -> String { context.codingPath.map(\.stringValue).joined(separator: ".") }
        return switch error {
        case DecodingError.keyNotFound(let key, _): "\"\(key.stringValue)\" is missing"
        case DecodingError.typeMismatch(_, let context): "\"\(path(context))\" has the wrong type"
        case DecodingError.valueNotFound(_, let context): "\"\(path(context))\" is null"
        case DecodingError.dataCorrupted(let context) where !context.codingPath.isEmpty: "\"\(path(context))\" is not valid"
        default: "syntax error"
        }
    }
}
