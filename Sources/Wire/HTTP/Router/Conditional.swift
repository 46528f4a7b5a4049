/// Conditional and range requests for answers whose body is at hand (RFC 9110 sections 13 and 14).
public enum Conditional {
    static func apply(_ request: HTTPRequest, _ response: HTTPResponse) -> HTTPResponse {
        guard request.method == .get || request.method == .head, response.status == .ok else { return response }
        var response = response
        let size: Int64
        switch response.body {
        case .file(let file):
            size = file.count
            response.headers = file.completed(response.headers)
        case .bytes(let bytes) where response.headers["ETag"] != nil: size = Int64(bytes.count)
        case .shared(let body, _) where response.headers["ETag"] != nil: size = Int64(body.count)
        default: return response
        }
        if let failed = refusal(request.headers, about: response.headers, size: size) { return failed }
        response.headers.complete("Accept-Ranges", "bytes")
        // Section 14.2: ranges are for GET only.
        guard request.method == .get, isRangeCurrent(request.headers, response.headers) else { return response }
        switch ByteRange(request.headers["Range"], size: size) {
        case .whole: break
        case .unsatisfiable:
            let headers: HTTPHeaders = ["Content-Range": "bytes */\(size)"]
            return .error(HTTPError(.rangeNotSatisfiable, "the range is outside of the \(size) bytes", headers: headers))
        case .part(let range):
            response.status = .partialContent
            response.headers["Content-Range"] = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(size)"
            response.slice = range
        }
        return response
    }

    /// What a request is answered instead of the object: 304 or 412, nil when its preconditions hold (section 13.2.2).
    /// - Parameters:
    ///   - headers: of the request.
    ///   - validators: what an answer with the object would carry, `ETag` and `Last-Modified` among it.
    ///   - size: of the whole object, bytes.
    public static func refusal(_ headers: HTTPHeaders, about validators: HTTPHeaders, size: Int64) -> HTTPResponse? {
        let etag = validators["ETag"]
        var modified: Int64? { validators["Last-Modified"].flatMap(HTTPDate.parse) }
        if headers["If-Match"] != nil {
            guard matches(headers.list("If-Match"), etag, isWeakFine: false) else {
                return .error(HTTPError(.preconditionFailed, "the entity tag has changed"))
            }
        } else if let since = headers["If-Unmodified-Since"].flatMap(HTTPDate.parse), let modified, modified > since {
            return .error(HTTPError(.preconditionFailed, "changed since that time"))
        }
        if headers["If-None-Match"] != nil {
            return matches(headers.list("If-None-Match"), etag, isWeakFine: true) ? notModified(validators, size) : nil
        }
        if let since = headers["If-Modified-Since"].flatMap(HTTPDate.parse), let modified, modified <= since {
            return notModified(validators, size)
        }
        return nil
    }

    private static func notModified(_ validators: HTTPHeaders, _ size: Int64) -> HTTPResponse {
        var headers = validators
        headers["Content-Type"] = nil
        // Only tells the length that a 200 would have; a 304 never has a body, so nothing is written.
        return HTTPResponse(.notModified, headers: headers, body: .stream(length: size) { _ in })
    }

    /// Whether a range of it may be sent: `If-Range` wants a strong match of a tag or an exact date (section 13.1.5).
    public static func isRangeCurrent(_ headers: HTTPHeaders, _ validators: HTTPHeaders) -> Bool {
        guard let condition = headers["If-Range"] else { return true }
        if condition.hasPrefix("\"") { return condition == validators["ETag"] }
        return condition == validators["Last-Modified"]
    }

    private static func matches(_ wanted: [String], _ etag: String?, isWeakFine: Bool) -> Bool {
        guard let etag else { return false }
        func core(_ tag: String) -> String { isWeakFine && tag.hasPrefix("W/") ? String(tag.dropFirst(2)) : tag }
        return wanted.contains { $0 == "*" || (core($0) == core(etag) && (isWeakFine || !$0.hasPrefix("W/"))) }
    }
}
