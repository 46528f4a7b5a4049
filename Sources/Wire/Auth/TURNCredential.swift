import COpenSSL
import Foundation

/// A user name and password that a TURN server takes for a while because both were made with a secret it knows
/// (draft-uberti-behave-turn-rest; coturn's `use-auth-secret`).
public struct TURNCredential: Sendable, Equatable {
    /// `{time until it works}:{user}`, Unix seconds.
    public let username: String
    /// HMAC-SHA1 of the user name with the secret, in base64.
    public let password: String

    /// - Parameters:
    ///   - secret: what the TURN server knows, too.
    ///   - user: named in the server's log.
    ///   - expiresAt: Unix seconds.
    public init(secret: String, user: String, expiresAt: Int64) {
        username = "\(expiresAt):\(user)"
        let (key, message) = (Array(secret.utf8), Array(username.utf8))
        var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count: UInt32 = 0
        // An empty key is a key; OpenSSL wants an address for it.
        let result = HMAC(
            EVP_sha1(), key.isEmpty ? [0] : key, Int32(clamping: key.count), message, message.count, &digest, &count)
        precondition(result != nil, "a digest that OpenSSL always has")
        password = Data(digest.prefix(Int(count))).base64EncodedString()
    }
}
