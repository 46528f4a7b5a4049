import COpenSSL
import TestThreads
import Testing

@testable import MediaPlane

/// The other end of an association as OpenSSL itself makes it, with whatever suites and groups it is told to use.
private final class OpenSSLPeer {
    /// `SSL_CTRL_SET_GROUPS_LIST` and `SSL_CTRL_GET_NEGOTIATED_GROUP`, which Swift sees through macros only.
    private static let setGroups: Int32 = 92
    private static let getGroup: Int32 = 134
    private static let noQueryMTU: UInt64 = 1 << 12

    let certificate: DTLSCertificate
    private let ssl: OpaquePointer
    private let here: OpaquePointer
    private let there: OpaquePointer

    init(isServer: Bool, suites: String? = nil, groups: String? = nil) throws {
        certificate = try DTLSCertificate()
        ssl = try #require(certificate.makeSession())
        (here, there) = (try #require(BIO_new(BIO_s_mem())), try #require(BIO_new(BIO_s_mem())))
        for bio in [here, there] { _ = tributary_bio_set_eof_retry(bio) }
        SSL_set_bio(ssl, here, there)
        _ = tributary_ssl_set_mtu(ssl, 1200)
        SSL_set_verify(ssl, SSL_VERIFY_NONE, nil)
        // All of our restrictions but the one that lets the MTU be told.
        SSL_clear_options(ssl, tributary_ssl_options() & ~Self.noQueryMTU)
        if let suites { #expect(SSL_set_cipher_list(ssl, suites) == 1) }
        if let groups {
            let isKnown = groups.withCString { SSL_ctrl(ssl, Self.setGroups, 0, UnsafeMutableRawPointer(mutating: $0)) }
            #expect(isKnown == 1, "\(groups)")
        }
        if isServer { SSL_set_accept_state(ssl) } else { SSL_set_connect_state(ssl) }
    }

    deinit { SSL_free(ssl) }

    /// Every suite that OpenSSL has for DTLS.
    static func suites() throws -> [String] {
        let peer = try OpenSSLPeer(isServer: false, suites: "ALL:COMPLEMENTOFALL:@SECLEVEL=0")
        let names = (0...).lazy.map { SSL_get_cipher_list(peer.ssl, $0) }.prefix { $0 != nil }.compactMap {
            $0.map(String.init(cString:))
        }
        // Those of TLS 1.3 are set apart, and DTLS has none.
        return names.filter { !$0.hasPrefix("TLS_") }
    }

    var suite: String? { SSL_get_current_cipher(ssl).flatMap(SSL_CIPHER_get_name).map(String.init(cString:)) }
    var group: Int { SSL_ctrl(ssl, Self.getGroup, 0, nil) }

    /// Goes on with the handshake; whether it is complete.
    func advance() -> Bool { SSL_do_handshake(ssl) == 1 }

    /// Wants another handshake within this association.
    func renegotiate() {
        #expect(SSL_renegotiate(ssl) == 1)
        _ = SSL_do_handshake(ssl)
    }

    /// Reads what came; OpenSSL's reason for not going on, nil when there is nothing wrong.
    func read() -> String? {
        var bytes = [UInt8](repeating: 0, count: 2048)
        ERR_clear_error()
        let count = SSL_read(ssl, &bytes, Int32(bytes.count))
        return count > 0 || SSL_get_error(ssl, count) == SSL_ERROR_WANT_READ ? nil : opensslError()
    }

    /// What it has to send, nil when nothing: everything in one datagram.
    func take() -> [UInt8]? {
        var bytes: UnsafePointer<UInt8>?
        let count = tributary_bio_peek(there, &bytes)
        defer { _ = tributary_bio_reset(there) }
        return count > 0 ? Array(UnsafeBufferPointer(start: bytes, count: count)) : nil
    }

    func feed(_ datagram: [UInt8]) { BIO_write(here, datagram, Int32(datagram.count)) }
}

/// Our side and OpenSSL's, face to face.
private final class Encounter {
    private static let address = SocketAddress(ipv4: 0x7F00_0001, port: 9)
    private static let alert: UInt8 = 21

    let ours: DTLSSession
    let peer: OpenSSLPeer
    private var output = TransportOutput()
    /// The code of the first alert that we sent in clear.
    private(set) var refusal: UInt8?

    init(as role: DTLSRole, suites: String? = nil, groups: String? = nil) throws {
        peer = try OpenSSLPeer(isServer: role == .client, suites: suites, groups: groups)
        ours = try DTLSSession(
            role: role, certificate: DTLSCertificate(),
            fingerprints: [PeerFingerprint(algorithm: "sha-256", bytes: peer.certificate.sha256Fingerprint)],
            profiles: SRTPProfile.allCases)
    }

    /// Whether both ends complete the handshake.
    func shake() -> Bool {
        var isComplete = peer.advance()
        ours.start(to: Self.address, now: 1, output: &output)
        for _ in 0..<8 where !isComplete || ours.status != .complete {
            pass()
            isComplete = peer.advance() || isComplete
            if refusal != nil { return false }
        }
        return isComplete && ours.status == .complete
    }

    /// Carries what either end has to say.
    func pass() {
        if let sent = peer.take() {
            sent.withUnsafeBytes { ours.receive($0, from: Self.address, now: 1, output: &output) }
        }
        for index in 0..<output.count {
            let datagram = Array(output.bytes(at: index))
            if datagram[0] == Self.alert, datagram[4] == 0 { refusal = refusal ?? datagram.last }
            peer.feed(datagram)
        }
        output.removeAll()
    }

    /// The epoch of what we send now.
    func epoch() throws -> Int {
        [UInt8(1)].withUnsafeBytes { ours.send($0, to: Self.address, output: &output) }
        let record = Array(output.bytes(at: 0))
        output.removeAll()
        try #require(record.count > 4)
        return Int(record[3]) << 8 | Int(record[4])
    }
}

@Suite("What a DTLS peer may choose (RFC 8827 section 6.5), with OpenSSL as the peer", .offThePool)
struct DTLSRulesTests {
    private static let handshakeFailure: UInt8 = 40
    private static let forOurCertificate: Set = [
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES256-GCM-SHA384",
    ]
    /// With OpenSSL's own numbers of them.
    private static let groups = ["P-256": 415, "X25519": 1034, "P-384": 715, "P-521": 716, "P-224": 713]
    private static let otherGroups = ["X448", "brainpoolP256r1", "brainpoolP384r1", "secp256k1", "P-192"]

    @Test("of all suites that OpenSSL has each is offered alone: three are taken, the others get handshake_failure")
    func suites() throws {
        var taken: Set<String> = []
        var refused = 0
        for suite in try OpenSSLPeer.suites() {
            let meeting = try Encounter(as: .server, suites: "\(suite):@SECLEVEL=0")
            if meeting.shake() {
                taken.insert(suite)
                #expect(meeting.peer.suite == suite)
            } else if meeting.refusal == Self.handshakeFailure {
                refused += 1
            }
        }
        #expect(taken == Self.forOurCertificate)
        // The rest are such as a peer without a pre-shared key or a password doesn't offer.
        #expect(refused >= 40)
    }

    @Test("a peer that chooses has the same three, and no others, for a certificate as ours")
    func chosenSuites() throws {
        let taken = try OpenSSLPeer.suites().filter { try Encounter(as: .client, suites: "\($0):@SECLEVEL=0").shake() }
        #expect(Set(taken) == Self.forOurCertificate)
    }

    @Test("who prefers 256 bits or has it alone gets what we prefer of what it has")
    func preference() throws {
        let meeting = try Encounter(as: .server, suites: "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256")
        #expect(meeting.shake() && meeting.peer.suite == "ECDHE-ECDSA-AES128-GCM-SHA256")
    }

    @Test("a server may choose one of five groups", arguments: Array(groups.keys))
    func group(name: String) throws {
        let meeting = try Encounter(as: .client, groups: name)
        #expect(meeting.shake() && meeting.peer.group == Self.groups[name])
    }

    @Test("and no other", arguments: otherGroups)
    func otherGroup(name: String) throws {
        #expect(try !Encounter(as: .client, groups: name).shake())
    }

    @Test("a client that prefers another group gets P-256, without it nothing", arguments: otherGroups)
    func offered(name: String) throws {
        let meeting = try Encounter(as: .server, groups: "\(name):P-256")
        #expect(meeting.shake() && meeting.peer.group == Self.groups["P-256"])
        let other = try Encounter(as: .server, groups: name)
        #expect(!other.shake() && other.refusal == Self.handshakeFailure)
    }

    @Test(
        "another handshake within an association is refused, and the association goes on", arguments: [DTLSRole.server, .client])
    func renegotiation(role: DTLSRole) throws {
        let meeting = try Encounter(as: role)
        #expect(meeting.shake())
        let keys = try meeting.ours.exportKeys(.aeadAES128GCM)
        meeting.peer.renegotiate()
        meeting.pass()
        #expect(meeting.peer.read() == "no renegotiation")
        #expect(meeting.ours.status == .complete)
        let after = try meeting.ours.exportKeys(.aeadAES128GCM)
        #expect(after.ours.key == keys.ours.key && after.theirs.key == keys.theirs.key)
        #expect(try meeting.epoch() == 1)
    }
}
