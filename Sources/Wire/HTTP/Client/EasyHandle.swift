import CCurl

/// A libcurl easy handle set up for one transfer, and what it points to.
///
/// Handles of plain requests are used again for others of the kind: most of what is set stays the same.
struct EasyHandle {
    let raw: UnsafeMutableRawPointer
    private let fields: UnsafeMutablePointer<curl_slist>?
    private let transfer: Unmanaged<Transfer>

    /// Whether the next plain request may have the raw handle.
    let isPlain: Bool

    /// Whether a request has neither a body nor anything else out of the ordinary.
    static func isPlain(_ request: HTTPClientRequest) -> Bool {
        guard request.method == .get, case .none = request.body else { return false }
        return true
    }

    /// Nil when the URL or a header field can't be used.
    /// - Parameter used: a raw handle of a plain request, when this one is plain too.
    init?(_ transfer: Transfer, _ settings: HTTPClient.Settings, reusing used: UnsafeMutableRawPointer?) {
        let request = transfer.request
        guard let raw = used ?? curl_easy_init() else { return nil }
        self.raw = raw
        isPlain = Self.isPlain(request)
        guard let fields = Self.fields(request) else {
            curl_easy_cleanup(raw)
            return nil
        }
        self.fields = fields.list
        self.transfer = Unmanaged.passRetained(transfer)
        guard setURL(request.url) else {
            free()
            return nil
        }
        if used == nil { setConstants(settings) }
        setLimits(request)
        setBody(request)
        let context = self.transfer.toOpaque()
        set(CURLOPT_HTTPHEADER, pointer: fields.list)
        set(CURLOPT_HEADERDATA, pointer: context)
        set(CURLOPT_WRITEDATA, pointer: context)
        set(CURLOPT_READDATA, pointer: context)
    }

    /// To be called once, after the handle has left the multi handle; this or `release`.
    func free() {
        curl_easy_cleanup(release())
    }

    /// Lets go of everything but the raw handle, which becomes the caller's.
    func release() -> UnsafeMutableRawPointer {
        set(CURLOPT_HTTPHEADER, pointer: nil)
        curl_slist_free_all(fields)
        transfer.release()
        return raw
    }

    private func setURL(_ url: String) -> Bool {
        guard url.hasPrefix("http://") || url.hasPrefix("https://"), url.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else {
            return false
        }
        return ccurl_set_string(raw, CURLOPT_URL, url) == CURLE_OK
    }

    private func setConstants(_ settings: HTTPClient.Settings) {
        set(CURLOPT_PROTOCOLS_STR, "http,https")
        set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https")
        set(CURLOPT_NOSIGNAL, 1)
        set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
        set(CURLOPT_TCP_KEEPALIVE, 1)
        // The path is sent as it is written, so that it is what was signed.
        set(CURLOPT_PATH_AS_IS, 1)
        set(CURLOPT_USERAGENT, settings.userAgent)
        // Nodes are reached directly, whatever the environment says of proxies.
        set(CURLOPT_PROXY, "")
        if let file = settings.caFile { set(CURLOPT_CAINFO, file) }
        set(CURLOPT_HEADERFUNCTION, onHeader)
        set(CURLOPT_WRITEFUNCTION, onBody)
        set(CURLOPT_READFUNCTION, onUpload)
    }

    private func setLimits(_ request: HTTPClientRequest) {
        set(CURLOPT_CONNECTTIMEOUT_MS, max(1, request.connectMs))
        set(CURLOPT_TIMEOUT_MS, request.totalMs.map { max(1, $0) } ?? 0)
        set(CURLOPT_FOLLOWLOCATION, request.redirects > 0 ? 1 : 0)
        set(CURLOPT_MAXREDIRS, request.redirects)
        set(CURLOPT_LOW_SPEED_LIMIT, request.slow.map { max(1, $0.bytesPerSecond) } ?? 0)
        set(CURLOPT_LOW_SPEED_TIME, request.slow.map { max(1, $0.seconds) } ?? 0)
    }

    private func setBody(_ request: HTTPClientRequest) {
        if request.method == .head {
            set(CURLOPT_NOBODY, 1)
            return
        }
        switch request.body {
        case .none:
            let wantsLength = [HTTPMethod.post, .put, .patch].contains(request.method)
            if wantsLength { setBytes([]) } else { set(CURLOPT_HTTPGET, 1) }
        case .bytes(let bytes): setBytes(bytes)
        case .stream(let length, _):
            set(CURLOPT_UPLOAD, 1)
            _ = ccurl_set_size(raw, CURLOPT_INFILESIZE_LARGE, length.map { curl_off_t($0) } ?? -1)
        }
        set(CURLOPT_CUSTOMREQUEST, request.method.rawValue)
    }

    private func setBytes(_ bytes: [UInt8]) {
        set(CURLOPT_POST, 1)
        _ = ccurl_set_size(raw, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(bytes.count))
        // The library copies.
        bytes.withUnsafeBytes { bytes in
            var nothing: UInt8 = 0
            withUnsafeBytes(of: &nothing) { set(CURLOPT_COPYPOSTFIELDS, pointer: bytes.baseAddress ?? $0.baseAddress) }
        }
    }

    /// What is sent; the list is nil when it is empty.
    private struct Fields {
        let list: UnsafeMutablePointer<curl_slist>?
    }

    /// Nil when a field could end its line and forge another.
    private static func fields(_ request: HTTPClientRequest) -> Fields? {
        // An empty value takes away what the library would add by itself.
        var lines = isPlain(request) ? [] : ["Expect:"]
        if !isPlain(request), request.headers["Content-Type"] == nil { lines.append("Content-Type:") }
        for field in request.headers {
            guard !field.name.isEmpty, field.name.utf8.allSatisfy({ ($0 >= 0x20 || $0 == 0x09) && $0 != 0x3A }),
                field.value.utf8.allSatisfy({ $0 >= 0x20 || $0 == 0x09 })
            else { return nil }
            // A semicolon is the library's word for an empty value.
            lines.append(field.value.isEmpty ? field.name + ";" : "\(field.name): \(field.value)")
        }
        return Fields(list: lines.reduce(nil) { curl_slist_append($0, $1) })
    }

    private func set(_ option: CURLoption, _ value: Int) { _ = ccurl_set_long(raw, option, value) }
    private func set(_ option: CURLoption, _ value: String) { _ = ccurl_set_string(raw, option, value) }
    private func set(_ option: CURLoption, pointer: UnsafeRawPointer?) { _ = ccurl_set_pointer(raw, option, pointer) }
    private func set(_ option: CURLoption, _ value: @escaping ccurl_data_callback) { _ = ccurl_set_callback(raw, option, value) }
}
