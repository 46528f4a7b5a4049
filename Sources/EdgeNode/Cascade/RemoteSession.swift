import Foundation
import HTTP

/// The client's side of WHIP and WHEP over HTTP: one POST makes a session, one DELETE ends it (RFC 9725 section 4.2).
struct RemoteSession: Sendable {
    /// What the other node answered.
    struct Answer: Sendable {
        let sdp: [UInt8]
        /// Absolute URL of the session.
        let session: String
        /// The value of `Tributary-Cascade`, if any.
        let path: String?
    }

    let client: HTTPClient

    /// Redirects followed; a coordinator needs one, with a balancer before it two.
    private static let redirectsMax = 4
    /// Of an answer, as of an offer to us; and of a refusal's words.
    private static let answerBytesMax = 128 << 10
    private static let messageBytesMax = 300

    /// Offers `sdp`, following 307 and 308 with the same body. A token goes nowhere but to the origin it was given for.
    func open(
        _ address: CascadeAddress, sdp: String, path: [String], idleSeconds: Int? = nil
    ) async throws(CascadeError) -> Answer {
        var own: HTTPHeaders = [:]
        if !path.isEmpty { own[CascadePath.header] = CascadePath.text(path) }
        own[CascadePath.idleHeader] = idleSeconds.map(String.init)
        var target = address.url
        for _ in 0...Self.redirectsMax {
            let (response, body) = try await post(sdp, to: target, address, own)
            switch response.status.rawValue {
            case 201:
                guard let location = response.headers["Location"], let session = CascadeAddress.resolve(location, against: target)
                else { throw .protocolError("it names no session") }
                return Answer(sdp: body, session: session, path: response.headers[CascadePath.header])
            case 307, 308:
                guard let location = response.headers["Location"], let next = CascadeAddress.resolve(location, against: target)
                else { throw .protocolError("a redirect to nowhere") }
                target = next
            default:
                let words = Self.message(body, hiding: address.secrets(at: target))
                throw .refused(status: response.status.rawValue, message: words)
            }
        }
        throw .protocolError("more than \(Self.redirectsMax) redirects")
    }

    private func post(
        _ sdp: String, to url: String, _ address: CascadeAddress, _ own: HTTPHeaders
    ) async throws(CascadeError) -> (HTTPClientResponse, [UInt8]) {
        var request = HTTPClientRequest(
            .post, url, headers: headers(for: url, address), body: .bytes(Array(sdp.utf8)))
        request.headers["Content-Type"] = "application/sdp"
        request.headers["Accept"] = "application/sdp"
        for field in own { request.headers[field.name] = field.value }
        request.totalMs = 10_000
        do throws(HTTPClientError) {
            let response = try await client.send(request)
            return (response, try await response.collect(limit: Self.answerBytesMax))
        } catch {
            if case .tooLong = error { throw .protocolError("it is too long") }
            throw .unreachable(error.description)
        }
    }

    private func headers(for url: String, _ address: CascadeAddress) -> HTTPHeaders {
        var headers: HTTPHeaders = [:]
        if let authorization = address.authorization, CascadeAddress.origin(of: url) == CascadeAddress.origin(of: address.url) {
            headers["Authorization"] = authorization
        }
        return headers
    }

    private struct Refusal: Decodable {
        let error: String
    }

    /// What a refusal says: the `error` of our JSON, or the start of its text, printable ASCII only.
    ///
    /// - Parameter secrets: what it may not repeat.
    static func message(_ body: [UInt8], hiding secrets: [String] = []) -> String {
        let words = (try? JSONDecoder().decode(Refusal.self, from: Data(body)))?.error ?? String(decoding: body, as: UTF8.self)
        let text = secrets.reduce(words) { $0.replacing($1, with: "...") }
        return String(decoding: text.utf8.prefix(messageBytesMax).map { (0x20...0x7E).contains($0) ? $0 : 0x20 }, as: UTF8.self)
    }

    /// Ends a session; what the other node says to it changes nothing.
    func close(_ session: String, _ address: CascadeAddress) async {
        var request = HTTPClientRequest(.delete, session, headers: headers(for: session, address))
        request.connectMs = 2000
        request.totalMs = 3000
        guard let response = try? await client.send(request) else { return }
        _ = try? await response.collect(limit: 64 << 10)
    }
}
