import COpenSSL

/// The process's own DTLS identity: an ECDSA P-256 key and a self-signed certificate (RFC 8827 section 6.5).
///
/// Made once at start and shared by all sessions and loops; a restart makes a new one.
public final class DTLSCertificate: @unchecked Sendable {  // why: pointers set once, OpenSSL counts references atomically
    /// SHA-256 of the DER certificate, 32 bytes, for `a=fingerprint`.
    public let sha256Fingerprint: [UInt8]

    private let key: OpaquePointer
    private let certificate: OpaquePointer
    private let context: OpaquePointer

    /// Generates key and certificate, about 0.2 ms.
    ///
    /// - Throws: ``DTLSCertificateError`` when OpenSSL cannot.
    public convenience init() throws(DTLSCertificateError) { try self.init(curve: "P-256") }

    /// On another curve, as some peers do, or kept back, as none may.
    init(curve: String, isShown: Bool = true) throws(DTLSCertificateError) {
        guard let key = tributary_ec_key(curve) else { throw .generation(opensslError()) }
        guard let certificate = Self.selfSigned(key) else {
            EVP_PKEY_free(key)
            throw .generation(opensslError())
        }
        guard let context = DTLSContext.make() else {
            X509_free(certificate)
            EVP_PKEY_free(key)
            throw .generation(opensslError())
        }
        self.key = key
        self.certificate = certificate
        self.context = context
        sha256Fingerprint = digest(of: certificate, EVP_sha256())
        guard isShown else { return }
        guard SSL_CTX_use_certificate(context, certificate) == 1, SSL_CTX_use_PrivateKey(context, key) == 1 else {
            throw .generation(opensslError())
        }
    }

    deinit {
        SSL_CTX_free(context)
        X509_free(certificate)
        EVP_PKEY_free(key)
    }

    /// A new SSL object with this identity, owned by the caller; nil when OpenSSL refuses.
    func makeSession() -> OpaquePointer? { SSL_new(context) }

    /// A version 3 certificate with a random serial and a subject: some DTLS stacks refuse an empty one.
    private static func selfSigned(_ key: OpaquePointer) -> OpaquePointer? {
        guard let certificate = X509_new() else { return nil }
        let day = 86_400
        let serial = UInt64.random(in: 1...UInt64(Int64.max))
        let name = X509_get_subject_name(certificate)
        let commonName = Array("tributary".utf8)
        let done =
            X509_set_version(certificate, 2) == 1
            && ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial) == 1
            && X509_gmtime_adj(X509_getm_notBefore(certificate), -day) != nil
            && X509_gmtime_adj(X509_getm_notAfter(certificate), 365 * day) != nil
            && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, commonName, Int32(commonName.count), -1, 0) == 1
            && X509_set_issuer_name(certificate, name) == 1
            && X509_set_pubkey(certificate, key) == 1
            && X509_sign(certificate, key, EVP_sha256()) > 0
        if done { return certificate }
        X509_free(certificate)
        return nil
    }
}

/// What making a certificate can fail with.
public enum DTLSCertificateError: Error, Sendable, Equatable {
    /// OpenSSL's own words.
    case generation(String)
}

/// OpenSSL's newest queued error as text, and clears the queue.
func opensslError() -> String {
    let code = ERR_peek_last_error()
    ERR_clear_error()
    guard code != 0, let reason = ERR_reason_error_string(code) else { return "unknown OpenSSL error" }
    return String(cString: reason)
}

/// Digest of a DER certificate; empty when OpenSSL fails.
func digest(of certificate: OpaquePointer, _ hash: OpaquePointer?) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var count: UInt32 = 0
    guard X509_digest(certificate, hash, &bytes, &count) == 1 else { return [] }
    return Array(bytes.prefix(Int(count)))
}
