import HTTP
import Store

extension RemoteBucket: RelayingStore {
    /// Opens an object; its bytes come as they are read, and the store is held back meanwhile. A connection that breaks on the way
    /// is replaced by another one for the rest, as long as the object is the same.
    public func get(_ key: ObjectKey, range: Range<Int64>?) async throws(StoreError) -> ObjectBody {
        if let range, range.isEmpty || range.lowerBound < 0 { return try await none(of: key, range) }
        let object = try await opened(key, range, wholeBytesMax: 0)
        return ObjectBody(
            info: object.info, range: object.range,
            chunks: ObjectChunks { () async throws(StoreError) in try await object.next() })
    }

    /// Like `get`, for answers; small objects come whole.
    public func relay(_ key: ObjectKey, range: Range<Int64>?) async throws(StoreError) -> RelayedObject {
        if let range, range.isEmpty || range.lowerBound < 0 { throw .rangeNotSatisfiable(size: try await head(key).size) }
        return try await opened(key, range, wholeBytesMax: RelayedBody.wholeBytesMax)
    }

    private func opened(
        _ key: ObjectKey, _ range: Range<Int64>?, wholeBytesMax: Int
    ) async throws(StoreError) -> RelayedObject {
        let open = try await open(key, from: range, tag: nil, wholeBytesMax: wholeBytesMax)
        let (tag, wanted) = (open.info.etag, open.range)
        let reopen: RelayedBody.Reopen = { position in
            try await self.open(key, from: (wanted.lowerBound + position)..<wanted.upperBound, tag: tag).rest
        }
        // Without a tag nothing says that the rest is of the same object.
        let body = RelayedBody(open.rest, length: Int64(wanted.count), reopen: tag.isEmpty ? nil : reopen)
        return RelayedObject(info: open.info, range: wanted, body: body)
    }

    /// No bytes, which HTTP's ranges can't ask for.
    private func none(of key: ObjectKey, _ range: Range<Int64>) async throws(StoreError) -> ObjectBody {
        let info = try await head(key)
        guard range.lowerBound >= 0, range.lowerBound < info.size else { throw .rangeNotSatisfiable(size: info.size) }
        return ObjectBody(info: info, range: range.lowerBound..<range.lowerBound, chunks: ObjectChunks { nil })
    }

    private func open(
        _ key: ObjectKey, from range: Range<Int64>?, tag: String?, wholeBytesMax: Int = 0
    ) async throws(StoreError) -> OpenBody {
        var request = BucketRequest(.get, name(key))
        request.wholeBytesMax = wholeBytesMax
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
        return OpenBody(
            info: info, range: wanted,
            rest: RelayedBody.Rest(
                response.body, skip: wanted.lowerBound - sent.lowerBound, hasMore: sent.upperBound > wanted.upperBound))
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
private struct OpenBody {
    let info: ObjectInfo
    /// The bytes that are wanted, counted in the object.
    let range: Range<Int64>
    let rest: RelayedBody.Rest
}
