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
        password = messageCode(of: username, key: secret, EVP_sha1()).base64EncodedString()
    }
}
