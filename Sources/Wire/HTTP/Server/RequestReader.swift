import CMicrohttpd

#if canImport(Glibc)
    import Glibc
#endif

/// Makes an ``HTTPRequest`` of what the library has parsed, and refuses what it lets through but shouldn't.
enum RequestReader {
    enum Plan: Equatable {
        /// Read the body at once: there is none, or it fits the buffer.
        case receive
        /// Leave the body until the handler wants it, so that `413` and `100 Continue` come before it.
        case hold
        /// Answer this and close; a page of that origin may read it.
        case refuse(HTTPError, origin: String?)
    }

    private enum Framing {
        case none
        case length(Int)
        case chunked
    }

    static func read(
        _ exchange: Exchange, method: UnsafePointer<CChar>?, version: UnsafePointer<CChar>?
    ) -> (HTTPRequest?, Plan) {
        let raw = exchange.connection.raw
        var fields = Fields()
        withUnsafeMutablePointer(to: &fields) { cmicrohttpd_each_header(raw, collectField, $0) }
        do throws(HTTPError) {
            try checkLength(exchange)
            if fields.isBroken { throw HTTPError(.badRequest, "a header field is not valid") }
            let framing = try framing(fields.headers)
            let method = HTTPMethod(rawValue: method.map { String(cString: $0) } ?? "")
            var request = try HTTPRequest(
                method: method, target: try target(exchange, UInt(bitPattern: version)), headers: fields.headers,
                body: body(framing, exchange),
                remoteAddress: exchange.socket.remoteAddress, isTLS: exchange.core.isTLS)
            setClient(&request, exchange)
            return (request, plan(framing, fields.headers, exchange.core.settings))
        } catch {
            return (nil, .refuse(error, origin: fields.headers["Origin"]))
        }
    }

    /// Ours come before the library's limit, whose answers no page of another origin can read.
    private static func checkLength(_ exchange: Exchange) throws(HTTPError) {
        let most = exchange.core.settings.headerBytesMax
        if exchange.target.utf8.count > most { throw HTTPError(414, "the request target is longer than \(most) bytes") }
        guard cmicrohttpd_header_bytes(exchange.connection.raw) <= most else {
            throw HTTPError(431, "the header is longer than \(most) bytes")
        }
    }

    /// Says whose request it is, where a proxy that is trusted tells.
    private static func setClient(_ request: inout HTTPRequest, _ exchange: Exchange) {
        let (settings, socket) = (exchange.core.settings, exchange.socket)
        request.countedNetwork = socket.countedNetwork
        guard request.headers["X-Forwarded-For"] != nil, settings.isTrustedProxy(socket.remoteAddress) else { return }
        let told = request.headers.all("X-Forwarded-For")
        guard
            let client = ClientNetwork.client(behind: socket.remoteAddress, told: told, isTrusted: settings.isTrustedProxy)
        else {
            // Who can't be told from others is counted with them: nobody comes past the limits by what a proxy writes.
            request.countedNetwork = ClientNetwork.name(of: socket.remoteAddress)
            return
        }
        request.remoteAddress = client
        request.countedNetwork = settings.countedNetwork(of: client)
    }

    /// Which bytes are the body must be beyond doubt, or two servers in a row see different requests (RFC 9112 section 11.2).
    private static func framing(_ headers: HTTPHeaders) throws(HTTPError) -> Framing {
        guard headers.all("Host").count <= 1 else { throw HTTPError(.badRequest, "more than one Host") }
        if headers["Transfer-Encoding"] == nil, headers["Content-Length"] == nil { return .none }
        let (codings, lengths) = (headers.all("Transfer-Encoding"), headers.all("Content-Length"))
        if !codings.isEmpty {
            guard lengths.isEmpty else { throw HTTPError(.badRequest, "Content-Length and Transfer-Encoding in one request") }
            guard codings.count == 1, codings[0].lowercased() == "chunked" else {
                throw HTTPError(.notImplemented, "the only transfer coding known is chunked")
            }
            return .chunked
        }
        guard let first = lengths.first else { return .none }
        guard lengths.allSatisfy({ $0 == first }), first.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let length = Int(first)
        else {
            throw HTTPError(.badRequest, "Content-Length is not valid")
        }
        return length == 0 ? .none : .length(length)
    }

    private static func body(_ framing: Framing, _ exchange: Exchange) -> RequestBody {
        let limit = exchange.core.settings.maxBody
        if case .none = framing { return RequestBody(source: .bytes([]), declaredLength: 0, defaultLimit: limit) }
        let source = RequestBody.Source.pipe(exchange.makeIncoming()) { exchange.wantBody() }
        guard case .length(let length) = framing else {
            return RequestBody(source: source, declaredLength: nil, defaultLimit: limit)
        }
        return RequestBody(source: source, declaredLength: length, defaultLimit: limit)
    }

    private static func plan(_ framing: Framing, _ headers: HTTPHeaders, _ settings: HTTPServerSettings) -> Plan {
        switch framing {
        case .none: .receive
        case .length(let length) where length <= settings.bodyBufferBytes && headers["Expect"] == nil: .receive
        case .length, .chunked: .hold
        }
    }

    /// The library ends strings at NUL. The version follows the target in one buffer, so its place tells how long the target was.
    private static func target(_ exchange: Exchange, _ versionAddress: UInt) throws(HTTPError) -> String {
        let length = versionAddress &- exchange.targetAddress
        guard exchange.targetAddress != 0, versionAddress == 0 || length == UInt(exchange.target.utf8.count) + 1 else {
            throw HTTPError(.badRequest, "the request target is not valid")
        }
        return exchange.target
    }
}

private struct Fields {
    var headers = HTTPHeaders()
    var isBroken = false
}

private func collectField(
    _ context: UnsafeMutableRawPointer?, _ kind: MHD_ValueKind, _ name: UnsafePointer<CChar>?, _ nameCount: Int,
    _ value: UnsafePointer<CChar>?, _ valueCount: Int
) -> MHD_Result {
    guard let context, let name else { return .NO }
    let fields = context.assumingMemoryBound(to: Fields.self)
    let nameBytes = UnsafeRawBufferPointer(start: name, count: nameCount)
    let valueBytes = UnsafeRawBufferPointer(start: value, count: value == nil ? 0 : valueCount)
    let isToken = !nameBytes.isEmpty && nameBytes.allSatisfy(isTokenByte)
    if !isToken || valueBytes.contains(where: { $0 == 0 || $0 == 0x0A || $0 == 0x0D }) { fields.pointee.isBroken = true }
    fields.pointee.headers.add(
        String(decoding: nameBytes, as: UTF8.self), String(decoding: trimBlanks(valueBytes), as: UTF8.self))
    return .YES
}

/// RFC 9110 section 5.6.2.
private func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x21, 0x23...0x27, 0x2A, 0x2B, 0x2D, 0x2E, 0x5E...0x60, 0x7C, 0x7E: true
    default: false
    }
}
