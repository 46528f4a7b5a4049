import COpenSSL

/// What all DTLS sessions of one certificate share: version, ciphers and the rules of RFC 8827 section 6.5.
///
/// DTLS 1.2 only, no tickets, no cache, no renegotiation, no cookies (ICE has proven the path, and a split ClientHello must pass).
enum DTLSContext {
    /// ECDSA first as our certificate is; the RSA ones serve peers that are DTLS server with an RSA certificate.
    private static let ciphers =
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:"
        + "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-GCM-SHA384"

    /// A new SSL_CTX, owned by the caller; nil when OpenSSL refuses.
    static func make() -> OpaquePointer? {
        guard let context = SSL_CTX_new(DTLS_method()) else { return nil }
        SSL_CTX_set_options(context, tributary_ssl_options())
        tributary_ssl_ctx_set_session_cache_off(context)
        tributary_ssl_ctx_set_read_ahead(context)
        tributary_ssl_ctx_set_max_cert_list(context, Limits.dtlsCertificateBytes)
        tributary_ssl_ctx_release_buffers(context)
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
        SSL_CTX_set_cert_verify_callback(context, verifyPeerCertificate, nil)
        // The list also says which curves a peer's certificate may have: FFmpeg built on GnuTLS makes one on P-224.
        guard tributary_ssl_ctx_set_dtls12_only(context) == 1, SSL_CTX_set_cipher_list(context, ciphers) == 1,
            tributary_ssl_ctx_set_groups(context, "P-256:X25519:P-384:P-521:P-224") == 1
        else {
            SSL_CTX_free(context)
            return nil
        }
        return context
    }
}

/// Replaces chain building: the only question is whether the certificate is the signalled one (RFC 8122 section 5).
private func verifyPeerCertificate(_ store: OpaquePointer?, _: UnsafeMutableRawPointer?) -> Int32 {
    guard let store, let certificate = X509_STORE_CTX_get0_cert(store),
        let ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()),
        let owner = SSL_get_ex_data(OpaquePointer(ssl), 0)
    else { return 0 }
    let session = Unmanaged<DTLSSession>.fromOpaque(owner).takeUnretainedValue()
    if session.accepts(certificate) { return 1 }
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED)
    return 0
}

/// OpenSSL starts at a full second; a lost flight should cost a tenth of that (RFC 6347 section 4.2.4.1 allows our own values).
func nextDTLSTimer(_: OpaquePointer?, _ lastUs: UInt32) -> UInt32 {
    lastUs == 0 ? Limits.dtlsFirstTimerUs : min(lastUs &+ lastUs / 2, Limits.dtlsLastTimerUs)
}
