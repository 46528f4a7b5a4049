import COpenSSL
import FoundationEssentials

/// The opening handshake (RFC 6455 section 4.2).
enum WebSocketHandshake {
    /// Completes an answer that makes a WebSocket, or refuses a request that is none.
    static func apply(_ request: HTTPRequest, _ response: HTTPResponse) -> HTTPResponse {
        guard case .webSocket = response.body else { return response }
        func has(_ name: String, _ token: String) -> Bool { request.headers.list(name).contains { $0.lowercased() == token } }
        guard request.method == .get, has("Upgrade", "websocket"), has("Connection", "upgrade") else {
            return .error(
                HTTPError(426, "this path only speaks WebSocket", headers: ["Upgrade": "websocket", "Connection": "Upgrade"]))
        }
        guard request.headers["Sec-WebSocket-Version"] == "13" else {
            return .error(HTTPError(426, "the WebSocket version must be 13", headers: ["Sec-WebSocket-Version": "13"]))
        }
        guard let key = request.headers["Sec-WebSocket-Key"], Data(base64Encoded: key)?.count == 16, let accept = accept(key)
        else {
            return .error(HTTPError(.badRequest, "the WebSocket key is not valid"))
        }
        var response = response
        response.headers["Upgrade"] = "websocket"
        response.headers["Sec-WebSocket-Accept"] = accept
        return response
    }

    /// Base64 of the SHA-1 of the key and a fixed text (section 4.2.2).
    static func accept(_ key: String) -> String? {
        let text = Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)
        var digest = [UInt8](repeating: 0, count: 20)
        guard EVP_Digest(text, text.count, &digest, nil, EVP_sha1(), nil) == 1 else { return nil }
        return Data(digest).base64EncodedString()
    }
}
