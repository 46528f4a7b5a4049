import HTTP
import Store

extension RemoteBucket {
    /// Opens an object; its bytes come as they are read, and the store is held back meanwhile. A connection that breaks on the way
    /// is replaced by another one for the rest, as long as the object is the same.
    public func get(_ key: ObjectKey, range: Range<Int64>?) async throws(StoreError) -> ObjectBody {
        if let range, range.isEmpty || range.lowerBound < 0 { return try await none(of: key, range) }
        let answer = try await open(key, from: range, tag: nil)
        let reader = BodyReader(answer) { (rest, tag) throws(StoreError) in try await self.open(key, from: rest, tag: tag) }
        return ObjectBody(
            info: answer.info, range: answer.range,
            chunks: ObjectChunks { () async throws(StoreError) in try await reader.next() })
    }

    /// No bytes, which HTTP's ranges can't ask for.
    private func none(of key: ObjectKey, _ range: Range<Int64>) async throws(StoreError) -> ObjectBody {
        let info = try await head(key)
        guard range.lowerBound >= 0, range.lowerBound < info.size else { throw .rangeNotSatisfiable(size: info.size) }
        return ObjectBody(info: info, range: range.lowerBound..<range.lowerBound, chunks: ObjectChunks { nil })
    }

    private func open(_ key: ObjectKey, from range: Range<Int64>?, tag: String?) async throws(StoreError) -> OpenBody {
        var request = BucketRequest(.get, name(key))
        if let range {
            let end = range.upperBound == .max ? "" : String(range.upperBound - 1)
            request.headers["Range"] = "bytes=\(range.lowerBound)-\(end)"
            request.headers.merge(dialect.traits.rangeFields)
        }
        request.headers["If-Match"] = tag
        let response: HTTPClientResponse
        do throws(BucketFailure) {
            response = try await transport.open(request)
        } catch {
            // Not all say how long the object is.
            if case .rangeNotSatisfiable = error.error, error.fault?.size == nil {
                throw StoreError.rangeNotSatisfiable(size: try await head(key).size)
            }
            throw error.error
        }
        guard let info = ObjectInfo(key: key, headers: response.headers) else { throw .unavailable(reason: "GET told no length") }
        guard let sent = Self.sentRange(response.headers, info.size) else {
            throw .unavailable(reason: "GET answered a range that can't be")
        }
        // A store that has no ranges sends everything: the bytes before are passed over.
        let wanted = range.map { $0.clamped(to: 0..<info.size) } ?? 0..<info.size
        guard range == nil || range.map({ $0.lowerBound < info.size }) == true else {
            throw .rangeNotSatisfiable(size: info.size)
        }
        guard sent.lowerBound <= wanted.lowerBound, sent.upperBound >= wanted.upperBound else {
            throw .unavailable(reason: "GET answered another range than was asked for")
        }
        return OpenBody(info: info, range: wanted, skip: wanted.lowerBound - sent.lowerBound, body: response.body)
    }

    /// What the body holds. Looked for also beside 200, where some servers put it instead of saying 206.
    private static func sentRange(_ headers: HTTPHeaders, _ size: Int64) -> Range<Int64>? {
        guard let text = headers["Content-Range"] else { return 0..<size }
        let words = text.split(whereSeparator: { $0 == " " || $0 == "/" || $0 == "-" })
        guard words.count == 4, words[0] == "bytes", let first = Int64(words[1]), let last = Int64(words[2]), first >= 0,
            last >= first, last < size
        else { return nil }
        return first..<(last + 1)
    }
}

/// A body whose header is there.
struct OpenBody: Sendable {
    let info: ObjectInfo
    /// The bytes that are wanted, counted in the object.
    let range: Range<Int64>
    /// Bytes of the body before them.
    let skip: Int64
    let body: HTTPClientBody
}

/// Reads a body to its promised end, over more than one connection if need be. One consumer.
actor BodyReader {
    /// Opens the rest of the object if it still has this entity tag.
    typealias Reopen = @Sendable (Range<Int64>, String) async throws(StoreError) -> OpenBody
    /// How often a body is taken up again that broke without bringing anything since.
    private static let breaksMax = 3

    private let tag: String
    private let reopen: Reopen
    private var body: HTTPClientBody
    private var rest: Range<Int64>
    private var skip: Int64
    private var breaks = 0

    init(_ open: OpenBody, reopen: @escaping Reopen) {
        (tag, body, rest, skip, self.reopen) = (open.info.etag, open.body, open.range, open.skip, reopen)
    }

    /// The next piece; nil after the last. Throws `unavailable` when the rest can't be had, `preconditionFailed` when the object is
    /// another by now.
    func next() async throws(StoreError) -> [UInt8]? {
        while !rest.isEmpty {
            let broken: StoreError
            do throws(HTTPClientError) {
                if let chunk = try await body.next() {
                    let piece = take(chunk)
                    if piece.isEmpty { continue }
                    breaks = 0
                    return piece
                }
                broken = .unavailable(reason: "the body ended \(rest.count) bytes early")
            } catch {
                broken = BucketTransport.storeError(error)
            }
            breaks += 1
            guard breaks <= Self.breaksMax, !tag.isEmpty, !Task.isCancelled else { throw broken }
            let again = try await reopen(rest, tag)
            (body, skip) = (again.body, again.skip)
        }
        body.cancel()
        return nil
    }

    /// The part of a chunk that is wanted.
    private func take(_ chunk: [UInt8]) -> [UInt8] {
        let passed = Int(min(skip, Int64(chunk.count)))
        skip -= Int64(passed)
        let wanted = chunk.dropFirst(passed).prefix(Int(clamping: rest.count))
        rest = (rest.lowerBound + Int64(wanted.count))..<rest.upperBound
        return Array(wanted)
    }
}
