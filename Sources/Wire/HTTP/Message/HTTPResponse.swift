import FoundationEssentials

/// An answer to a request.
public struct HTTPResponse: Sendable {
    /// What follows the header fields.
    public enum Body: Sendable {
        /// Nothing.
        case none
        /// Bytes in memory.
        case bytes([UInt8])
        /// Bytes in memory that other answers send too, perhaps still coming in; `owner` is kept until this answer has been sent.
        /// With an `ETag` the server answers conditional and range requests for it.
        case shared(SharedBody, owner: (any Sendable)?)
        /// A file, sent by the kernel; the server answers conditional and range requests for it.
        case file(HTTPFile)
        /// Bytes as the closure writes them. With a length the client sees `Content-Length`, and a closure that writes another
        /// number of bytes breaks the connection; so does one that throws.
        case stream(length: Int64?, @Sendable (HTTPBodyWriter) async throws -> Void)
        /// Another server's answer as it comes in; no task stands between the two connections, and one buffer serves both. Its end before
        /// its length breaks the connection.
        case relay(RelayedBody)
        /// The connection becomes a WebSocket; it closes when the closure returns.
        case webSocket(@Sendable (WebSocket) async throws -> Void)
    }

    /// The status.
    public var status: HTTPStatus
    /// The header fields; `Content-Length`, `Transfer-Encoding`, `Connection` and `Date` are the server's.
    public var headers: HTTPHeaders
    /// The body.
    public var body: Body
    /// The part of the body to send, chosen by a `Range`.
    var slice: Range<Int64>?
    /// A task has something to do while the body is sent.
    var isStreamed: Bool {
        switch body {
        case .stream: status != .notModified
        case .webSocket: true
        // Not a task's, but others have to know of it, since it may have to be broken off.
        case .relay: true
        case .shared(let body, _): !body.isComplete
        case .none, .bytes, .file: false
        }
    }
    /// The body never ends by itself, so a stopping server cancels it at once.
    var endsWhenCancelled = false

    /// An answer from its parts; without a body by default.
    public init(_ status: HTTPStatus = .ok, headers: HTTPHeaders = [:], body: Body = .none) {
        (self.status, self.headers, self.body) = (status, headers, body)
    }

    /// Text as UTF-8.
    public static func text(
        _ text: String, status: HTTPStatus = .ok, contentType: String = "text/plain; charset=utf-8", headers: HTTPHeaders = [:]
    ) -> HTTPResponse {
        bytes(Array(text.utf8), status: status, contentType: contentType, headers: headers)
    }

    /// Bytes in memory.
    public static func bytes(
        _ bytes: [UInt8], status: HTTPStatus = .ok, contentType: String, headers: HTTPHeaders = [:]
    ) -> HTTPResponse {
        var response = HTTPResponse(status, headers: headers, body: .bytes(bytes))
        response.headers["Content-Type"] = contentType
        return response
    }

    /// A value as JSON with keys in order, slashes not escaped. Throws what its `encode` throws.
    public static func json(_ value: some Encodable, status: HTTPStatus = .ok, headers: HTTPHeaders = [:]) throws -> HTTPResponse
    {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return bytes([UInt8](try encoder.encode(value)), status: status, contentType: "application/json", headers: headers)
    }

    /// A file; status, `ETag`, `Last-Modified`, `Accept-Ranges` and ranges are added by the router for GET and HEAD.
    public static func file(_ file: HTTPFile, contentType: String, headers: HTTPHeaders = [:]) -> HTTPResponse {
        var response = HTTPResponse(.ok, headers: headers, body: .file(file))
        response.headers["Content-Type"] = contentType
        return response
    }

    /// A body written by a closure while it is sent; see ``Body-swift.enum/stream(length:_:)``.
    public static func stream(
        status: HTTPStatus = .ok, contentType: String, length: Int64? = nil, headers: HTTPHeaders = [:],
        _ write: @escaping @Sendable (HTTPBodyWriter) async throws -> Void
    ) -> HTTPResponse {
        var response = HTTPResponse(status, headers: headers, body: .stream(length: length, write))
        response.headers["Content-Type"] = contentType
        return response
    }

    /// 307 to another place.
    public static func redirect(to location: String) -> HTTPResponse {
        HTTPResponse(.temporaryRedirect, headers: ["Location": location])
    }

    /// A WebSocket (RFC 6455); the router answers 400 or 426 itself when the request is no valid handshake.
    public static func webSocket(
        protocol subprotocol: String? = nil, _ body: @escaping @Sendable (WebSocket) async throws -> Void
    ) -> HTTPResponse {
        var response = HTTPResponse(101, body: .webSocket(body))
        response.headers["Sec-WebSocket-Protocol"] = subprotocol
        return response
    }

    /// The answer for an error. Nobody keeps it unless it says so itself: what is not there, or not allowed, may be in a moment, and a 404
    /// may be kept without being asked to (RFC 9110 15.1).
    public static func error(_ error: HTTPError) -> HTTPResponse {
        var response = HTTPResponse(error.status, headers: error.headers)
        response.headers["Content-Type"] = "application/json"
        response.headers.complete("Cache-Control", "no-store")
        response.body = .bytes(Array("{\"error\":\(jsonString(error.message))}".utf8))
        return response
    }

    static func jsonString(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case _ where scalar.value < 0x20: out += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}
