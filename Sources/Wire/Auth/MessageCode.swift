import COpenSSL
import Foundation

/// The HMAC (RFC 2104) of a text.
///
/// - Parameters:
///   - key: may be empty; then it proves nothing.
///   - digest: the hash it is made with, such as `EVP_sha256()`.
func messageCode(of text: String, key: String, _ digest: OpaquePointer?) -> Data {
    let (key, message) = (Array(key.utf8), Array(text.utf8))
    var code = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var count: UInt32 = 0
    // An empty key is a key; OpenSSL wants an address for it.
    let result = HMAC(digest, key.isEmpty ? [0] : key, Int32(clamping: key.count), message, message.count, &code, &count)
    precondition(result != nil, "a digest that OpenSSL always has")
    return Data(code.prefix(Int(count)))
}

extension Data {
    /// base64url without padding (RFC 4648 section 5).
    var base64URL: String {
        base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }
}
