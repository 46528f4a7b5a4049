import COpenSSL
import Glibc

/// How a server under TLS is known, and who we are to it. The server's name or address has to stand in its certificate.
public struct RedisTLS: Sendable, Hashable {
    /// File of the certificates (PEM) that servers are trusted by; empty: the system's.
    public var authority: String
    /// File of our certificate (PEM), for servers that want one; empty: none.
    public var certificate: String
    /// File of its key (PEM).
    public var key: String

    /// Nothing set: a server with a public certificate that wants none of ours.
    public init(authority: String = "", certificate: String = "", key: String = "") {
        self.authority = authority
        self.certificate = certificate
        self.key = key
    }
}

/// A TLS session over a socket that does not block (RFC 8446, or TLS 1.2); used by one thread only.
final class RedisTLSSession {
    private let session: OpaquePointer

    /// Shakes hands with the server and checks its certificate.
    init(_ settings: RedisTLS, server: RedisAddress.Endpoint, descriptor: Int32) throws(RedisError) {
        ERR_clear_error()
        guard let context = SSL_CTX_new(TLS_client_method()) else { throw .unavailable(Self.reason("TLS")) }
        defer { SSL_CTX_free(context) }
        try Self.set(context, settings)
        guard let session = SSL_new(context) else { throw .unavailable(Self.reason("TLS")) }
        self.session = session
        guard SSL_set_fd(session, descriptor) == 1 else { throw .unavailable(Self.reason("TLS")) }
        if case .tcp(let host, _) = server {
            // An address is no name: it is looked for among the addresses of the certificate, and not announced.
            let isAddress = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host) == 1
            if !isAddress { guard SSL_set1_host(session, host) == 1 else { throw .unavailable(Self.reason("TLS")) } }
            if !isAddress { tributary_ssl_announce(session, host) }
        }
        try shakeHands(descriptor)
    }

    deinit { SSL_free(session) }

    private static func set(_ context: OpaquePointer, _ settings: RedisTLS) throws(RedisError) {
        tributary_ssl_ctx_set_tls12_up(context)
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
        let isTrustSet =
            settings.authority.isEmpty
            ? SSL_CTX_set_default_verify_paths(context) == 1
            : SSL_CTX_load_verify_locations(context, settings.authority, nil) == 1
        guard isTrustSet else { throw .unavailable(reason("redis.tls_ca")) }
        guard !settings.certificate.isEmpty else { return }
        guard SSL_CTX_use_certificate_chain_file(context, settings.certificate) == 1 else {
            throw .unavailable(reason("redis.tls_cert"))
        }
        guard SSL_CTX_use_PrivateKey_file(context, settings.key, SSL_FILETYPE_PEM) == 1 else {
            throw .unavailable(reason("redis.tls_key"))
        }
    }

    private func shakeHands(_ descriptor: Int32) throws(RedisError) {
        while true {
            switch step(SSL_connect(session)) {
            case .done: return
            case .wait(let events): try RedisSocket.wait(descriptor, events)
            case .ended: throw .unavailable("the server closed the connection")
            case .failed(let reason):
                let verdict = SSL_get_verify_result(session)
                guard verdict != X509_V_OK, let words = X509_verify_cert_error_string(verdict) else { throw .unavailable(reason) }
                throw .unavailable("TLS: the server's certificate: \(String(cString: words))")
            }
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer) -> RedisSocketStep {
        ERR_clear_error()
        // SSL_write wants the same bytes again after a wait, which they are: what is left is asked for anew.
        return step(SSL_write(session, bytes.baseAddress, Int32(clamping: bytes.count)))
    }

    func read(_ bytes: UnsafeMutableRawBufferPointer) -> RedisSocketStep {
        ERR_clear_error()
        return step(SSL_read(session, bytes.baseAddress, Int32(clamping: bytes.count)))
    }

    private func step(_ result: Int32) -> RedisSocketStep {
        if result > 0 { return .done(Int(result)) }
        return switch SSL_get_error(session, result) {
        case SSL_ERROR_WANT_READ: .wait(Int16(POLLIN))
        case SSL_ERROR_WANT_WRITE: .wait(Int16(POLLOUT))
        case SSL_ERROR_ZERO_RETURN: .ended
        default: ERR_peek_error() == 0 ? .ended : .failed(Self.reason("TLS"))
        }
    }

    private static func reason(_ what: String) -> String {
        let words = ERR_reason_error_string(ERR_get_error()).map { String(cString: $0) } ?? "failed"
        return "\(what): \(words)"
    }
}
