/// Conditional and range requests for answers whose body is at hand (RFC 9110 sections 13 and 14).
enum Conditional {
    static func apply(_ request: HTTPRequest, _ response: HTTPResponse) -> HTTPResponse {
        guard request.method == .get || request.method == .head, response.status == .ok else { return response }
        var response = response
        let size: Int64
        switch response.body {
        case .file(let file):
            size = file.count
            if response.headers["ETag"] == nil { response.headers["ETag"] = file.etag }
            if response.headers["Last-Modified"] == nil { response.headers["Last-Modified"] = HTTPDate.format(file.modified) }
        case .bytes(let bytes) where response.headers["ETag"] != nil: size = Int64(bytes.count)
        case .shared(let body, _) where response.headers["ETag"] != nil: size = Int64(body.count)
        default: return response
        }
        if let failed = precondition(request.headers, response, size) { return failed }
        response.headers["Accept-Ranges"] = "bytes"
        // Section 14.2: ranges are for GET only.
        guard request.method == .get, isRangeCurrent(request.headers, response) else { return response }
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

    /// Section 13.2.2: the order in which preconditions are evaluated.
    private static func precondition(_ headers: HTTPHeaders, _ response: HTTPResponse, _ size: Int64) -> HTTPResponse? {
        let etag = response.headers["ETag"]
        var modified: Int64? { response.headers["Last-Modified"].flatMap(HTTPDate.parse) }
        if headers["If-Match"] != nil {
            guard matches(headers.list("If-Match"), etag, isWeakFine: false) else {
                return .error(HTTPError(.preconditionFailed, "the entity tag has changed"))
            }
        } else if let since = headers["If-Unmodified-Since"].flatMap(HTTPDate.parse), let modified, modified > since {
            return .error(HTTPError(.preconditionFailed, "changed since that time"))
        }
        if headers["If-None-Match"] != nil {
            return matches(headers.list("If-None-Match"), etag, isWeakFine: true) ? notModified(response, size) : nil
        }
        if let since = headers["If-Modified-Since"].flatMap(HTTPDate.parse), let modified, modified <= since {
            return notModified(response, size)
        }
        return nil
    }

    private static func notModified(_ response: HTTPResponse, _ size: Int64) -> HTTPResponse {
        var headers = response.headers
        headers["Content-Type"] = nil
        // Only tells the length that a 200 would have; a 304 never has a body, so nothing is written.
        return HTTPResponse(.notModified, headers: headers, body: .stream(length: size) { _ in })
    }

    /// `If-Range` wants a strong match of a tag or an exact date (section 13.1.5).
    private static func isRangeCurrent(_ headers: HTTPHeaders, _ response: HTTPResponse) -> Bool {
        guard let condition = headers["If-Range"] else { return true }
        if condition.hasPrefix("\"") { return condition == response.headers["ETag"] }
        return condition == response.headers["Last-Modified"]
    }

    private static func matches(_ wanted: [String], _ etag: String?, isWeakFine: Bool) -> Bool {
        guard let etag else { return false }
        func core(_ tag: String) -> String { isWeakFine && tag.hasPrefix("W/") ? String(tag.dropFirst(2)) : tag }
        return wanted.contains { $0 == "*" || (core($0) == core(etag) && (isWeakFine || !$0.hasPrefix("W/"))) }
    }
}
