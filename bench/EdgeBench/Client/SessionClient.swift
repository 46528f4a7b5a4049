import CLinux
import HTTP
import Log

/// WHIP and WHEP over HTTP: one POST that makes a session, one DELETE that ends it (RFC 9725 section 4.2).
struct SessionClient {
    enum Failure: Error, CustomStringConvertible {
        case http(HTTPClientError)
        case status(Int, String)
        case noLocation
        case tooManyRedirects

        var description: String {
            switch self {
            case .http(let error): "\(error)"
            case .status(let code, let text): "status \(code) \(text)"
            case .noLocation: "the answer names no session URL"
            case .tooManyRedirects: "too many redirects"
            }
        }

        /// Worth another try: the server is not up, the stream is not there yet, or the old publisher is not gone yet.
        var isTransient: Bool {
            switch self {
            case .http(.badURL), .noLocation, .tooManyRedirects: false
            case .http: true
            case .status(let code, _): [404, 409, 425, 429, 500, 502, 503, 504].contains(code)
            }
        }
    }

    struct Answer {
        let sdp: String
        /// Absolute URL of the session.
        let session: String
        /// Monotonic time of the offer that was taken.
        let offeredNs: UInt64
    }

    let client: HTTPClient
    let token: String?

    private var headers: HTTPHeaders {
        var headers: HTTPHeaders = [:]
        if let token { headers["Authorization"] = "Bearer \(token)" }
        return headers
    }

    /// Offers `sdp` at `url`, following 307 and 308 with the same body.
    func post(_ sdp: String, to url: String) async throws(Failure) -> Answer {
        var target = url
        let offeredNs = tributary_monotonic_ns()
        for _ in 0..<5 {
            var request = HTTPClientRequest(.post, target, headers: headers, body: .bytes(Array(sdp.utf8)))
            request.headers["Content-Type"] = "application/sdp"
            let response: HTTPClientResponse
            let body: [UInt8]
            do throws(HTTPClientError) {
                response = try await client.send(request)
                body = try await response.collect(limit: 256 << 10)
            } catch {
                throw .http(error)
            }
            let text = String(decoding: body, as: UTF8.self)
            switch response.status.rawValue {
            case 201:
                guard let location = response.headers["Location"] else { throw .noLocation }
                return Answer(sdp: text, session: Self.resolve(location, against: target), offeredNs: offeredNs)
            case 307, 308:
                guard let location = response.headers["Location"] else { throw .noLocation }
                target = Self.resolve(location, against: target)
            default:
                throw .status(response.status.rawValue, String(text.prefix(200)))
            }
        }
        throw .tooManyRedirects
    }

    /// Offers until it is taken, with growing pauses of 0.25 to 2 s; gives up at a final refusal, an interrupt, after `patienceMs`, or
    /// once nobody wants it any more.
    func postPatiently(
        _ sdp: String, to url: String, patienceMs: Int, while isWanted: @Sendable () -> Bool = { true }
    ) async throws(Failure) -> Answer {
        var pauseMs = 250
        var waitedMs = 0
        while true {
            do throws(Failure) {
                return try await post(sdp, to: url)
            } catch {
                guard error.isTransient, waitedMs < patienceMs, !Interrupt.isRequested, isWanted() else { throw error }
                Program.log.debug("offer not taken yet", ["reason": "\(error)"])
            }
            try? await Task.sleep(for: .milliseconds(pauseMs))
            waitedMs += pauseMs
            pauseMs = min(pauseMs * 2, 2000)
        }
    }

    /// Ends a session; what the server says to it changes nothing.
    func delete(_ session: String) async {
        var request = HTTPClientRequest(.delete, session, headers: headers)
        request.totalMs = 3000
        guard let response = try? await client.send(request) else { return }
        _ = try? await response.collect(limit: 64 << 10)
    }

    /// An absolute URL, an absolute path or a relative one against the URL that answered (RFC 3986 section 5, without dot segments).
    static func resolve(_ location: String, against base: String) -> String {
        if location.contains("://") { return location }
        guard let scheme = base.range(of: "://") else { return location }
        let rest = base[scheme.upperBound...]
        let origin = base[..<scheme.upperBound] + rest.prefix { $0 != "/" && $0 != "?" }
        if location.hasPrefix("/") { return origin + location }
        let path = base[origin.endIndex...].prefix { $0 != "?" }
        guard let slash = path.lastIndex(of: "/") else { return origin + "/" + location }
        return origin + path[...slash] + location
    }
}

extension StringProtocol {
    /// First place of `text`, without Foundation.
    fileprivate func range(of text: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}
