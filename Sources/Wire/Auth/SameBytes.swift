import COpenSSL
import Foundation

/// Whether two secrets are equal; the time taken tells nothing but the length of `shown`, which its sender knows.
func isSame(shown: String, secret: String) -> Bool {
    let shown = Array(shown.utf8)
    let secret = Array(secret.utf8)
    guard !secret.isEmpty else { return false }
    // Compared at the length shown, whatever the secret's, and then thrown away when the lengths differ.
    let stretched = shown.indices.map { secret[$0 % secret.count] }
    let difference = CRYPTO_memcmp(shown, stretched, shown.count)
    return difference == 0 && shown.count == secret.count
}

/// A name for a credential from which it can't be guessed back: SHA-256 over it, base64url, 43 characters.
func fingerprint(of credential: String) -> String {
    guard !credential.isEmpty else { return "" }
    var digest = [UInt8](repeating: 0, count: 32)
    let bytes = Array("credential\u{0}\(credential)".utf8)
    guard EVP_Digest(bytes, bytes.count, &digest, nil, EVP_sha256(), nil) == 1 else { return "" }
    return Data(digest).base64URL
}
