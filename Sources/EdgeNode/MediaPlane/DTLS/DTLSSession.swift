import COpenSSL

/// One DTLS 1.2 association over memory BIOs (RFC 6347, RFC 5764). Owned by one loop.
///
/// OpenSSL writes a flight as one run of bytes; it leaves here cut at record borders into datagrams of at most 1200 bytes.
final class DTLSSession {
    enum Status: Equatable {
        case idle
        case handshaking
        case complete
        case failed(TransportCloseReason)
        case closedByPeer
    }

    private(set) var status = Status.idle
    /// When OpenSSL wants to retransmit.
    private(set) var deadlineNs: UInt64 = .max
    /// Records of the application data type that were authentic; a sign of life.
    private(set) var authenticCount = 0

    /// Gets authentic application data; without it that is thrown away.
    var onApplicationData: ((UnsafeRawBufferPointer) -> Void)?

    let role: DTLSRole
    private let certificate: DTLSCertificate
    private let fingerprints: [(hash: OpaquePointer, bytes: [UInt8])]
    private let profiles: String
    private var ssl: OpaquePointer
    private var restartsLeft = Limits.dtlsRestarts
    private var handshakeBytesLeft = Limits.dtlsHandshakeBytes
    private var hasMismatch = false
    /// The flight that ended the handshake, repeated a few times unasked. It is the only one whose sender has no timer: when it is lost,
    /// the peer must repeat its own flight first, which takes both directions. Same records, so whoever has them drops them as replays.
    private var lastFlight: [[UInt8]] = []
    private var repeatsLeft = 0

    init(
        role: DTLSRole, certificate: DTLSCertificate, fingerprints: [PeerFingerprint], profiles: [SRTPProfile]
    ) throws(TransportError) {
        self.role = role
        self.certificate = certificate
        self.profiles = profiles.map(\.name).joined(separator: ":")
        self.fingerprints = fingerprints.compactMap { fingerprint in
            guard let hash = Self.hash(named: fingerprint.algorithm), Int(EVP_MD_get_size(hash)) == fingerprint.bytes.count
            else { return nil }
            return (hash, fingerprint.bytes)
        }
        guard !self.fingerprints.isEmpty else { throw .noUsableFingerprint }
        ssl = try Self.makeSSL(role: role, certificate: certificate, profiles: self.profiles)
        SSL_set_ex_data(ssl, 0, Unmanaged.passUnretained(self).toOpaque())
    }

    deinit { SSL_free(ssl) }

    private static func hash(named name: String) -> OpaquePointer? {
        switch name.lowercased() {
        case "sha-256": EVP_sha256()
        case "sha-384": EVP_sha384()
        case "sha-512": EVP_sha512()
        default: nil
        }
    }

    private static func makeSSL(
        role: DTLSRole, certificate: DTLSCertificate, profiles: String
    ) throws(TransportError) -> OpaquePointer {
        guard let ssl = certificate.makeSession() else { throw .crypto(opensslError()) }
        guard let input = BIO_new(BIO_s_mem()), let output = BIO_new(BIO_s_mem()) else {
            SSL_free(ssl)
            throw .crypto(opensslError())
        }
        _ = tributary_bio_set_eof_retry(input)
        _ = tributary_bio_set_eof_retry(output)
        SSL_set_bio(ssl, input, output)
        _ = tributary_ssl_set_mtu(ssl, Limits.dtlsDatagramBytes)
        DTLS_set_timer_cb(ssl, nextDTLSTimer)
        // Unlike most calls this one returns 0 for success.
        guard SSL_set_tlsext_use_srtp(ssl, profiles) == 0 else {
            SSL_free(ssl)
            throw .crypto(opensslError())
        }
        if role == .client { SSL_set_connect_state(ssl) } else { SSL_set_accept_state(ssl) }
        return ssl
    }

    /// Whether a peer certificate has one of the signalled digests.
    func accepts(_ peer: OpaquePointer) -> Bool {
        let isMatch = fingerprints.contains { digest(of: peer, $0.hash) == $0.bytes }
        hasMismatch = !isMatch
        return isMatch
    }

    /// Lets the handshake begin; a client sends its ClientHello.
    func start(to address: SocketAddress, now: UInt64, output: inout TransportOutput) {
        guard status == .idle else { return }
        status = .handshaking
        advance(now: now)
        flush(to: address, output: &output)
    }

    /// Feeds one datagram that passed ``DTLSRecord/refusal(_:role:)``.
    func receive(_ datagram: UnsafeRawBufferPointer, from: SocketAddress, now: UInt64, output: inout TransportOutput) {
        guard let input = SSL_get_rbio(ssl), let base = datagram.baseAddress else { return }
        switch status {
        case .idle, .handshaking:
            handshakeBytesLeft -= datagram.count
            guard handshakeBytesLeft >= 0 else {
                status = .failed(.dtlsFailed)
                return
            }
            status = .handshaking
        case .complete: break
        case .failed, .closedByPeer: return
        }
        _ = tributary_bio_reset(input)
        BIO_write(input, base, Int32(datagram.count))
        let wasHandshaking = status == .handshaking
        if wasHandshaking { advance(now: now) } else { drain(now: now) }
        let sent = output.count
        flush(to: from, output: &output)
        if wasHandshaking && status == .complete && role == .server {
            lastFlight = (sent..<output.count).map { Array(output.bytes(at: $0)) }
            repeatsLeft = Limits.dtlsLastFlightRepeats
            deadlineNs = now &+ Limits.dtlsLastFlightNs
        }
    }

    /// Retransmits when due.
    func handleTimeout(to address: SocketAddress, now: UInt64, output: inout TransportOutput) {
        guard deadlineNs <= now else { return }
        guard status == .handshaking else { return repeatLastFlight(to: address, now: now, output: &output) }
        ERR_clear_error()
        if tributary_dtls_handle_timeout(ssl) < 0 { status = .failed(.dtlsTimeout) }
        updateDeadline(now: now)
        flush(to: address, output: &output)
    }

    private func repeatLastFlight(to address: SocketAddress, now: UInt64, output: inout TransportOutput) {
        repeatsLeft -= 1
        guard status == .complete, repeatsLeft >= 0 else {
            deadlineNs = .max
            lastFlight = []
            return
        }
        deadlineNs = now &+ Limits.dtlsLastFlightNs
        for datagram in lastFlight {
            datagram.withUnsafeBytes { output.append(to: address, bytes: $0) }
        }
    }

    private func advance(now: UInt64) {
        ERR_clear_error()
        let result = SSL_do_handshake(ssl)
        if result == 1 {
            status = .complete
            deadlineNs = .max
            // Application data or an alert may already follow in the same datagram.
            drain(now: now)
            return
        }
        let error = SSL_get_error(ssl, result)
        if error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE {
            updateDeadline(now: now)
        } else if hasMismatch {
            status = .failed(.fingerprintMismatch)
        } else {
            needsRestart = true
        }
    }

    /// A failed SSL object is dead, but its last alert is still to be sent before another takes its place.
    private var needsRestart = false

    /// A bad hello or a forged alert must not end the session: a few times the handshake starts afresh.
    private func restart() {
        needsRestart = false
        guard restartsLeft > 0, let fresh = try? Self.makeSSL(role: role, certificate: certificate, profiles: profiles) else {
            status = .failed(.dtlsFailed)
            return
        }
        restartsLeft -= 1
        SSL_free(ssl)
        ssl = fresh
        SSL_set_ex_data(ssl, 0, Unmanaged.passUnretained(self).toOpaque())
        deadlineNs = .max
    }

    /// After the handshake: alerts, the peer's repeated last flight (which OpenSSL answers), and application data.
    private func drain(now: UInt64) {
        withUnsafeTemporaryAllocation(byteCount: 2048, alignment: 8) { scratch in
            for _ in 0..<16 {
                ERR_clear_error()
                let count = SSL_read(ssl, scratch.baseAddress, Int32(scratch.count))
                if count <= 0 { break }
                authenticCount += 1
                onApplicationData?(UnsafeRawBufferPointer(rebasing: scratch[..<Int(count)]))
            }
        }
        if SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN != 0 { status = .closedByPeer }
    }

    /// Sends `bytes` as one record of application data.
    func send(_ bytes: UnsafeRawBufferPointer, to address: SocketAddress, output: inout TransportOutput) {
        guard status == .complete, !bytes.isEmpty, lendBuffers() else { return }
        ERR_clear_error()
        _ = SSL_write(ssl, bytes.baseAddress, Int32(bytes.count))
        flush(to: address, output: &output)
    }

    private func updateDeadline(now: UInt64) {
        var left = timeval()
        guard tributary_dtls_get_timeout(ssl, &left) == 1 else {
            deadlineNs = .max
            return
        }
        let ns = UInt64(max(left.tv_sec, 0)) &* Limits.secondNs &+ UInt64(max(left.tv_usec, 0)) &* 1000
        // A millisecond at least, so that a timer OpenSSL already holds due cannot make the loop spin.
        deadlineNs = now &+ max(ns, Limits.millisecondNs)
    }

    /// Sends what OpenSSL wrote, cut at record borders.
    private func flush(to address: SocketAddress, output: inout TransportOutput) {
        if let written = SSL_get_wbio(ssl) {
            var start: UnsafePointer<UInt8>?
            let count = tributary_bio_peek(written, &start)
            var rest = UnsafeRawBufferPointer(start: start, count: count)
            while rest.count > 0 {
                let run = DTLSRecord.runBytes(rest, limit: Limits.dtlsDatagramBytes)
                guard run > 0 else { break }
                output.append(to: address, bytes: UnsafeRawBufferPointer(rebasing: rest[..<run]))
                rest = UnsafeRawBufferPointer(rebasing: rest[run...])
            }
            _ = tributary_bio_reset(written)
        }
        if needsRestart { restart() }
        releaseBuffers()
    }

    /// OpenSSL's two record buffers, 33 KB, are only there while there is something to read or to write: with DTLS it gives them back by
    /// request alone, whatever `SSL_MODE_RELEASE_BUFFERS` says. The BIOs keep room for the longest flights, 1.5 KB, until they get new memory.
    private func releaseBuffers() {
        guard status == .complete else { return }
        _ = SSL_free_buffers(ssl)
        tributary_bio_renew(SSL_get_rbio(ssl))
        tributary_bio_renew(SSL_get_wbio(ssl))
    }

    /// Must come before every write after the handshake; a read gets its buffers by itself.
    private func lendBuffers() -> Bool { SSL_alloc_buffers(ssl) == 1 }

    /// Sends close_notify, or the alert that goes with a broken handshake.
    func close(to address: SocketAddress, output: inout TransportOutput) {
        guard status == .complete || status == .closedByPeer, lendBuffers() else { return }
        ERR_clear_error()
        _ = SSL_shutdown(ssl)
        flush(to: address, output: &output)
    }

    /// The negotiated profile; nil when the peer has none of ours.
    var profile: SRTPProfile? {
        guard let selected = SSL_get_selected_srtp_profile(ssl) else { return nil }
        return SRTPProfile(rawValue: UInt16(truncatingIfNeeded: selected.pointee.id))
    }

    /// Both directions' master keys (RFC 5764 section 4.2): ours is the client's when we are the client.
    func exportKeys(_ profile: SRTPProfile) throws(TransportError) -> (ours: SRTPMasterKey, theirs: SRTPMasterKey) {
        let key = SRTPProfile.keyBytes
        let salt = profile.saltBytes
        var material = [UInt8](repeating: 0, count: 2 * (key + salt))
        defer { OPENSSL_cleanse(&material, material.count) }
        let label = "EXTRACTOR-dtls_srtp"
        guard SSL_export_keying_material(ssl, &material, material.count, label, label.utf8.count, nil, 0, 0) == 1 else {
            throw .crypto(opensslError())
        }
        let client = SRTPMasterKey(key: Array(material[..<key]), salt: Array(material[(2 * key)..<(2 * key + salt)]))
        let server = SRTPMasterKey(key: Array(material[key..<(2 * key)]), salt: Array(material[(2 * key + salt)...]))
        return role == .client ? (client, server) : (server, client)
    }
}
