import COpenSSL
import TestThreads
import Testing

@testable import MediaPlane

@Suite("DTLS versions (RFC 8827 section 6.5)", .offThePool)
struct DTLSVersionTests {
    private static let dtls10 = 0xFEFF
    private static let dtls12 = 0xFEFD
    private static let protocolVersionAlert: UInt8 = 70
    /// `SSL_CTRL_SET_MIN_PROTO_VERSION` and `…_MAX_…`, which Swift sees through macros only.
    private static let setLowest: Int32 = 123
    private static let setHighest: Int32 = 124

    /// What our server says first to a client of these versions.
    private static func firstRecord(lowest: Int, highest: Int) throws -> [UInt8] {
        let certificate = try DTLSCertificate()
        let server = try #require(certificate.makeSession())
        defer { SSL_free(server) }
        let context = try #require(SSL_CTX_new(DTLS_method()))
        defer { SSL_CTX_free(context) }
        SSL_CTX_set_options(context, tributary_ssl_options())
        #expect(SSL_CTX_ctrl(context, setLowest, lowest, nil) == 1 && SSL_CTX_ctrl(context, setHighest, highest, nil) == 1)
        // Old versions need it.
        #expect(SSL_CTX_set_cipher_list(context, "ALL:@SECLEVEL=0") == 1)
        let client = try #require(SSL_new(context))
        defer { SSL_free(client) }
        let there = try #require(BIO_new(BIO_s_mem()))
        let back = try #require(BIO_new(BIO_s_mem()))
        for bio in [there, back] {
            _ = tributary_bio_set_eof_retry(bio)
            // One for each end.
            BIO_up_ref(bio)
        }
        SSL_set_bio(client, back, there)
        SSL_set_bio(server, there, back)
        for end in [client, server] { _ = tributary_ssl_set_mtu(end, 1200) }
        SSL_set_connect_state(client)
        SSL_set_accept_state(server)
        _ = SSL_do_handshake(client)
        _ = SSL_do_handshake(server)
        var bytes: UnsafePointer<UInt8>?
        let count = tributary_bio_peek(back, &bytes)
        return Array(UnsafeBufferPointer(start: bytes, count: count))
    }

    @Test("who has 1.2 gets it, whatever else it has")
    func taken() throws {
        for lowest in [Self.dtls10, Self.dtls12] {
            let record = try Self.firstRecord(lowest: lowest, highest: Self.dtls12)
            // A handshake record with a ServerHello, whose version follows the headers of both.
            #expect(record.count > 27 && record[0] == 22 && record[13] == 2)
            #expect(record.count > 27 && record[25...26] == [0xFE, 0xFD])
        }
    }

    @Test("who has 1.0 alone is told so")
    func refused() throws {
        let record = try Self.firstRecord(lowest: Self.dtls10, highest: Self.dtls10)
        #expect(record.count == 15 && record[0] == 21 && record.last == Self.protocolVersionAlert)
    }
}
