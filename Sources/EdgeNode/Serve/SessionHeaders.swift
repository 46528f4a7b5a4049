import HTTP
import Streams

/// Header fields of WHIP and WHEP responses (RFC 9725 section 4).
enum SessionHeaders {
    static let sdp = "application/sdp"
    static let fragment = "application/trickle-ice-sdpfrag"
    /// What cross-origin clients may use on endpoints and sessions together; some look here for PATCH before they trickle.
    static let methods = "OPTIONS, HEAD, GET, POST, PATCH, DELETE"

    /// A session's URL: absolute path without a query. A client behind a proxy keeps the host it asked.
    static func location(stream: String, session: String) -> String { "/session/\(stream)/\(session)" }

    /// 201 with the answer and everything a client needs to go on.
    /// - Parameters:
    ///   - links: `Link` values, one for each ICE server.
    ///   - base: what the session's URL begins with, for a client that was sent here from another host: some resolve a path against that one.
    static func created(_ answer: SessionAnswer, stream: String, links: [String], base: String = "") -> HTTPResponse {
        var headers: HTTPHeaders = [
            "Location": base + location(stream: stream, session: answer.sessionID), "ETag": answer.etag, "Accept-Patch": fragment,
        ]
        for link in links { headers.add("Link", link) }
        return .text(answer.sdp, status: .created, contentType: sdp, headers: headers)
    }
}

extension HTTPError {
    /// The HTTP form of a refusal: RFC 9110 section 10.2.3 for `Retry-After`.
    init(_ error: StreamError) {
        var headers: HTTPHeaders = [:]
        switch error {
        case .unavailable(let seconds), .tooManySessions(let seconds): headers["Retry-After"] = String(seconds)
        default: break
        }
        self.init(HTTPStatus(rawValue: error.status), error.description, headers: headers)
    }
}

/// Runs a registry call and gives its refusals their HTTP form.
func answering<T>(_ body: () async throws(StreamError) -> T) async throws(HTTPError) -> T {
    do throws(StreamError) { return try await body() } catch { throw HTTPError(error) }
}
