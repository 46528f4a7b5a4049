import COpenSSL
import Testing

@testable import MediaPlane

@Suite("The DTLS certificate (RFC 8827 section 6.5)")
struct CertificateTests {
    @Test("ECDSA on P-256 with SHA-256, a subject, a positive serial, and valid now, an hour ago and in half a year")
    func form() throws {
        let session = try #require(try DTLSCertificate().makeSession())
        defer { SSL_free(session) }
        let certificate = try #require(SSL_get_certificate(session))
        let key = try #require(X509_get0_pubkey(certificate))
        var name = [CChar](repeating: 0, count: 64)
        var count = 0
        #expect(EVP_PKEY_get_group_name(key, &name, name.count, &count) == 1)
        let group = String(decoding: name.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        #expect(group == "prime256v1")
        #expect(X509_get_signature_nid(certificate) == NID_ecdsa_with_SHA256)
        #expect(X509_verify(certificate, key) == 1)
        #expect(X509_NAME_entry_count(X509_get_subject_name(certificate)) > 0)
        var serial: UInt64 = 0
        #expect(ASN1_INTEGER_get_uint64(&serial, X509_get_serialNumber(certificate)) == 1 && serial > 0)
        for offset in [0, -3600, 182 * 86_400] {
            var instant = time(nil) + offset
            let begin = X509_cmp_time(X509_get0_notBefore(certificate), &instant)
            let end = X509_cmp_time(X509_get0_notAfter(certificate), &instant)
            #expect(begin < 0 && end > 0, "\(offset) s from now")
        }
    }

    @Test("each has a key of its own")
    func ownKey() throws {
        let (first, second) = (try DTLSCertificate(), try DTLSCertificate())
        #expect(first.sha256Fingerprint.count == 32 && first.sha256Fingerprint != second.sha256Fingerprint)
    }
}
