import Buckets
import HTTP
import Store

/// Answers GET and HEAD of an object from a store without local files: only what was asked for is fetched, piece by piece as the
/// client takes it (RFC 9110 sections 13 and 14).
public enum StoredObject {
    /// - Parameters:
    ///   - headers: what every answer carries besides validators and ranges.
    /// - Throws: what the store throws, `rangeNotSatisfiable` among it.
    public static func response(
        to request: HTTPRequest, _ key: ObjectKey, in store: any ObjectStore, contentType: String, headers: HTTPHeaders
    ) async throws(StoreError) -> HTTPResponse {
        let isConditional = ["If-None-Match", "If-Range", "If-Match", "If-Modified-Since", "If-Unmodified-Since"].contains {
            request.headers[$0] != nil
        }
        let wanted = request.headers["Range"].flatMap(Self.start)
        // One round trip where the answer cannot depend on what the object is.
        if request.method == .get, !isConditional, request.headers["Range"] == nil || wanted != nil {
            return answer(try await opened(key, store, wanted), isPart: wanted != nil, contentType, headers)
        }
        let info = try await store.head(key)
        let validators = described(info, headers)
        if let refusal = Conditional.refusal(request.headers, about: validators, size: info.size) { return refusal }
        let isSame = Conditional.isRangeCurrent(request.headers, validators)
        switch ByteRange(isSame ? request.headers["Range"] : nil, size: info.size) {
        case .whole:
            // The body of an answer to HEAD is never asked for, so nothing is fetched.
            return answer(try await body(request, key, store, info, nil), isPart: false, contentType, headers)
        case .part(let part): return answer(try await body(request, key, store, info, part), isPart: true, contentType, headers)
        case .unsatisfiable: throw .rangeNotSatisfiable(size: info.size)
        }
    }

    /// What is sent of an object.
    private struct Opened {
        let info: ObjectInfo
        let range: Range<Int64>
        let body: HTTPResponse.Body
    }

    private static func body(
        _ request: HTTPRequest, _ key: ObjectKey, _ store: any ObjectStore, _ info: ObjectInfo, _ range: Range<Int64>?
    ) async throws(StoreError) -> Opened {
        guard request.method == .head else { return try await opened(key, store, range) }
        let range = range ?? 0..<info.size
        return Opened(info: info, range: range, body: .stream(length: Int64(range.count)) { _ in })
    }

    private static func opened(
        _ key: ObjectKey, _ store: any ObjectStore, _ range: Range<Int64>?
    ) async throws(StoreError) -> Opened {
        if let store = store as? any RelayingStore {
            let object = try await store.relay(key, range: range)
            return Opened(info: object.info, range: object.range, body: try await object.answer())
        }
        let object = try await store.get(key, range: range)
        return Opened(
            info: object.info, range: object.range,
            body: .stream(length: Int64(object.range.count)) { writer in
                for try await chunk in object.chunks { try await writer.write(chunk) }
            })
    }

    private static func answer(_ object: Opened, isPart: Bool, _ type: String, _ headers: HTTPHeaders) -> HTTPResponse {
        var headers = described(object.info, headers)
        headers["Content-Type"] = type
        let range = object.range
        if isPart { headers["Content-Range"] = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(object.info.size)" }
        return HTTPResponse(isPart ? .partialContent : .ok, headers: headers, body: object.body)
    }

    /// These headers and what tells the object's versions apart.
    public static func described(_ info: ObjectInfo, _ headers: HTTPHeaders) -> HTTPHeaders {
        var headers = headers
        headers["ETag"] = info.etag.isEmpty ? nil : info.etag
        if info.modifiedUs > 0 { headers["Last-Modified"] = HTTPDate.format(info.modifiedUs / 1_000_000) }
        headers["Accept-Ranges"] = "bytes"
        return headers
    }

    /// The range that `bytes=a-b` and `bytes=a-` mean whatever the size is; nil for every other form.
    private static func start(_ header: String) -> Range<Int64>? {
        guard case .part(let range) = ByteRange(header, size: .max), !header.contains("=-") else { return nil }
        return range
    }
}

extension ObjectKind {
    /// What every answer with such an object says beside its type.
    public var headers: HTTPHeaders { ["Cache-Control": cacheControl, "X-Content-Type-Options": "nosniff"] }
}

extension HTTPError {
    /// What a client is told about a failed store; `what` names what it gave. A store that is away is no 404: players would drop the
    /// object, and caches keep that.
    public init(_ error: StoreError, about what: String) {
        switch error {
        case .invalidKey(let reason): self.init(.badRequest, "\(what) is not a path that can be used: \(reason)")
        case .notFound: self.init(.notFound, "no such object")
        case .exists: self.init(.conflict, "the object exists")
        case .preconditionFailed: self.init(.preconditionFailed, "the object has changed")
        case .rangeNotSatisfiable(let size):
            self.init(.rangeNotSatisfiable, "the range is outside of the object", headers: ["Content-Range": "bytes */\(size)"])
        case .noSpace: self.init(.insufficientStorage, "the storage is full or read-only")
        case .failed(let operation, let code): self.init(.serviceUnavailable, "the storage failed: \(operation), error \(code)")
        case .unavailable: self.init(.serviceUnavailable, "the storage cannot be reached", headers: ["Retry-After": "5"])
        case .timedOut: self.init(.gatewayTimeout, "the storage does not answer", headers: ["Retry-After": "5"])
        case .denied: self.init(.badGateway, "the storage refused the credentials it was shown")
        case .throttled(let ms):
            self.init(
                .serviceUnavailable, "the storage is busy",
                headers: ["Retry-After": String(max(1, ((ms ?? 5_000) + 999) / 1_000))])
        }
    }
}
