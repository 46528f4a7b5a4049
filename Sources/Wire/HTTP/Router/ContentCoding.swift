import CZlib

/// Compresses texts for clients that take it (RFC 9110 section 8.4): a manifest of a month is a fiftieth of its size. Media never.
enum ContentCoding {
    /// Below this a compressed answer takes as many packets as a plain one.
    static let bytesMin = 1_400
    /// Larger texts repeat themselves, so the fastest level is as good and takes a third of the time.
    private static let fastBytes = 256 << 10

    static func apply(_ request: HTTPRequest, _ response: HTTPResponse) -> HTTPResponse {
        guard request.method == .get || request.method == .head, response.status == .ok,
            response.headers["Content-Encoding"] == nil,
            case .bytes(let bytes) = response.body, bytes.count >= bytesMin, let type = response.headers.mediaType, isText(type)
        else { return response }
        var response = response
        response.headers.add("Vary", "Accept-Encoding")
        guard accepts(request.headers), let packed = gzip(bytes), packed.count < bytes.count else {
            return response
        }
        response.body = .bytes(packed)
        response.headers["Content-Encoding"] = "gzip"
        // Parts of it would be parts of the compressed bytes, which differ from version to version of the library.
        response.headers["Accept-Ranges"] = nil
        if let etag = response.headers["ETag"], etag.hasPrefix("\"") { response.headers["ETag"] = "W/" + etag }
        return response
    }

    private static func isText(_ type: String) -> Bool {
        let types = [
            "application/dash+xml", "application/vnd.apple.mpegurl", "application/json", "application/javascript",
            "image/svg+xml",
        ]
        return types.contains(type) || (type.hasPrefix("text/") && type != "text/event-stream")
    }

    /// Whether `Accept-Encoding` has gzip, or anything, with a weight above 0 (section 12.5.3).
    static func accepts(_ headers: HTTPHeaders) -> Bool {
        var wildcard = false
        for member in headers.list("Accept-Encoding") {
            let parts = member.lowercased().split(separator: ";", omittingEmptySubsequences: false).map { trimBlanks($0) }
            let weight = parts.dropFirst().first { $0.hasPrefix("q=") }.flatMap { Double($0.dropFirst(2)) } ?? 1
            switch parts.first {
            case "gzip", "x-gzip": return weight > 0
            case "*": wildcard = weight > 0
            default: break
            }
        }
        return wildcard
    }

    /// Nil when the library refuses, which only lack of memory makes it do.
    static func gzip(_ bytes: [UInt8]) -> [UInt8]? {
        var stream = z_stream()
        guard czlib_begin_gzip(&stream, bytes.count > fastBytes ? 1 : 6) == Z_OK, let count = UInt32(exactly: bytes.count) else {
            return nil
        }
        defer { deflateEnd(&stream) }
        let room = Int(deflateBound(&stream, UInt(bytes.count)))
        var isDone = false
        let packed = [UInt8](unsafeUninitializedCapacity: room) { buffer, filled in
            bytes.withUnsafeBufferPointer { input in
                // The library reads from here only, although its type does not say so.
                stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
                stream.avail_in = count
                stream.next_out = buffer.baseAddress
                stream.avail_out = UInt32(clamping: buffer.count)
                isDone = deflate(&stream, Z_FINISH) == Z_STREAM_END
                filled = isDone ? Int(stream.total_out) : 0
            }
        }
        return isDone ? packed : nil
    }
}
