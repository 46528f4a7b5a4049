import COpenSSL

/// Master key and salt of one direction, as exported from DTLS (RFC 5764 section 4.2).
struct SRTPMasterKey {
    var key: [UInt8]
    var salt: [UInt8]

    /// Overwrites both; nothing else may hold them.
    mutating func wipe() {
        OPENSSL_cleanse(&key, key.count)
        OPENSSL_cleanse(&salt, salt.count)
    }
}

extension SRTPProfile {
    static let keyBytes = 16

    /// RFC 3711 section 8.2 and RFC 7714 section 12.
    var saltBytes: Int { self == .aeadAES128GCM ? 12 : 14 }
    /// Bytes of the authentication tag, the same for RTP and RTCP.
    var tagBytes: Int { self == .aeadAES128GCM ? 16 : 10 }
    static let tagBytesMax = 16
}

/// The session keys of one direction for RTP or for RTCP, in an OpenSSL context that is kept: per packet only the nonce changes.
struct SRTPCipher: ~Copyable {
    /// First of the three key derivation labels (RFC 3711 section 4.3.2): cipher key, then authentication key, then salt.
    enum Labels: UInt8 {
        case rtp = 0
        case rtcp = 3
    }

    private let context: OpaquePointer
    private struct Secrets {
        let saltHigh: UInt64
        let saltLow: UInt64
    }

    /// On the heap, so that it can be wiped. OpenSSL wipes its context by itself.
    private let secrets: UnsafeMutablePointer<Secrets>
    /// The same for what signs; nil with AEAD, which signs by itself.
    private let hmac: UnsafeMutablePointer<HMACSHA1>?

    /// Derives the session keys from a master key.
    init(profile: SRTPProfile, master: SRTPMasterKey, labels: Labels, encrypts: Bool) throws(TransportError) {
        var key = try Self.derive(master, label: labels.rawValue, count: SRTPProfile.keyBytes)
        var authenticationKey = try Self.derive(master, label: labels.rawValue + 1, count: HMACSHA1.bytes)
        var salt = try Self.derive(master, label: labels.rawValue + 2, count: profile.saltBytes)
        defer {
            OPENSSL_cleanse(&key, key.count)
            OPENSSL_cleanse(&authenticationKey, authenticationKey.count)
            OPENSSL_cleanse(&salt, salt.count)
        }
        try self.init(profile: profile, key: key, salt: salt, authenticationKey: authenticationKey, encrypts: encrypts)
    }

    /// Takes session keys as they are.
    init(
        profile: SRTPProfile, key: [UInt8], salt: [UInt8], authenticationKey: [UInt8], encrypts: Bool
    ) throws(TransportError) {
        guard key.count == SRTPProfile.keyBytes, salt.count == profile.saltBytes else { throw .crypto("key or salt size") }
        var salt = salt + [UInt8](repeating: 0, count: 16 - salt.count)
        defer { OPENSSL_cleanse(&salt, salt.count) }
        let cipher = profile == .aeadAES128GCM ? EVP_aes_128_gcm() : EVP_aes_128_ctr()
        // Counter mode is its own inverse.
        let direction: Int32 = encrypts || profile == .aes128CMSHA1_80 ? 1 : 0
        guard let context = EVP_CIPHER_CTX_new() else { throw .crypto(opensslError()) }
        guard EVP_CipherInit_ex(context, cipher, nil, key, nil, direction) == 1 else {
            EVP_CIPHER_CTX_free(context)
            throw .crypto(opensslError())
        }
        self.context = context
        secrets = .allocate(capacity: 1)
        secrets.initialize(
            to: Secrets(
                saltHigh: salt.withUnsafeBytes { UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)) },
                saltLow: salt.withUnsafeBytes { UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)) }))
        guard profile != .aeadAES128GCM else {
            hmac = nil
            return
        }
        let hmac = UnsafeMutablePointer<HMACSHA1>.allocate(capacity: 1)
        hmac.initialize(to: HMACSHA1())
        authenticationKey.withUnsafeBytes { hmac.pointee.setKey($0) }
        self.hmac = hmac
    }

    deinit {
        EVP_CIPHER_CTX_free(context)
        OPENSSL_cleanse(secrets, MemoryLayout<Secrets>.size)
        secrets.deallocate()
        guard let hmac else { return }
        OPENSSL_cleanse(hmac, MemoryLayout<HMACSHA1>.size)
        hmac.deallocate()
    }

    /// HMAC-SHA1 over two pieces, 20 bytes to `digest` (RFC 3711 section 4.2.1).
    @inline(__always)
    func sign(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, into digest: UnsafeMutableRawPointer) {
        hmac?.pointee.sign(first, second, into: digest)
    }

    /// AES-CM key derivation with rate 0 (RFC 3711 section 4.3); a 96-bit salt counts as padded with zeros (RFC 7714 section 11).
    static func derive(_ master: SRTPMasterKey, label: UInt8, count: Int) throws(TransportError) -> [UInt8] {
        var counter = [UInt8](repeating: 0, count: 16)
        defer { OPENSSL_cleanse(&counter, counter.count) }
        for (index, byte) in master.salt.prefix(14).enumerated() { counter[index] = byte }
        counter[7] ^= label
        var out = [UInt8](repeating: 0, count: count)
        let zeros = out
        var written: Int32 = 0
        guard let context = EVP_CIPHER_CTX_new() else { throw .crypto(opensslError()) }
        defer { EVP_CIPHER_CTX_free(context) }
        guard master.key.count == SRTPProfile.keyBytes,
            EVP_EncryptInit_ex(context, EVP_aes_128_ctr(), nil, master.key, counter) == 1,
            EVP_EncryptUpdate(context, &out, &written, zeros, Int32(count)) == 1
        else { throw .crypto(opensslError()) }
        return out
    }

    /// Sets the AEAD nonce of RFC 7714 sections 8.1 and 9.1.
    @inline(__always)
    private func setGCMNonce(ssrc: UInt32, index: UInt64) -> Bool {
        var nonce = (
            ((UInt64(ssrc) << 16 | index >> 32) ^ secrets.pointee.saltHigh).bigEndian,
            ((index & 0xFFFF_FFFF) << 32 ^ secrets.pointee.saltLow).bigEndian
        )
        return withUnsafeBytes(of: &nonce) { raw in
            EVP_CipherInit_ex(context, nil, nil, nil, raw.baseAddress?.assumingMemoryBound(to: UInt8.self), -1) == 1
        }
    }

    /// Feeds bytes that are authenticated but not encrypted.
    @inline(__always)
    private func authenticate(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var written: Int32 = 0
        return EVP_CipherUpdate(
            context, nil, &written, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), Int32(bytes.count)) == 1
    }

    @inline(__always)
    private func transform(_ input: UnsafeRawPointer?, count: Int, into out: UnsafeMutableRawPointer) -> Bool {
        guard count > 0 else { return true }
        var written: Int32 = 0
        return EVP_CipherUpdate(
            context, out.assumingMemoryBound(to: UInt8.self), &written, input?.assumingMemoryBound(to: UInt8.self),
            Int32(count)) == 1
    }

    /// AEAD-encrypts `plain` to `out` and puts the 16-byte tag behind it; `header` and `trailer` are authenticated.
    @inline(__always)
    func seal(
        ssrc: UInt32, index: UInt64, header: UnsafeRawBufferPointer, trailer: UnsafeRawBufferPointer?,
        plain: UnsafeRawBufferPointer, into out: UnsafeMutableRawPointer
    ) -> Bool {
        var written: Int32 = 0
        guard setGCMNonce(ssrc: ssrc, index: index), authenticate(header) else { return false }
        if let trailer, !authenticate(trailer) { return false }
        let end = out + plain.count
        return transform(plain.baseAddress, count: plain.count, into: out)
            && EVP_CipherFinal_ex(context, end.assumingMemoryBound(to: UInt8.self), &written) == 1
            && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, 16, end) == 1
    }

    /// AEAD-decrypts `count` bytes where they stand; the tag is behind them. False when it does not match, and the bytes are then garbage.
    @inline(__always)
    func open(
        ssrc: UInt32, index: UInt64, header: UnsafeRawBufferPointer, trailer: UnsafeRawBufferPointer?,
        body: UnsafeMutableRawPointer, count: Int
    ) -> Bool {
        var written: Int32 = 0
        guard setGCMNonce(ssrc: ssrc, index: index), authenticate(header) else { return false }
        if let trailer, !authenticate(trailer) { return false }
        let tag = body + count
        return transform(body, count: count, into: body)
            && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, 16, tag) == 1
            && EVP_CipherFinal_ex(context, tag.assumingMemoryBound(to: UInt8.self), &written) == 1
    }

    /// Counter mode (RFC 3711 section 4.1.1), both directions; `out` may be the input.
    @inline(__always)
    func counterMode(
        ssrc: UInt32, index: UInt64, input: UnsafeRawPointer?, count: Int, into out: UnsafeMutableRawPointer
    ) -> Bool {
        var counter = ((UInt64(ssrc) ^ secrets.pointee.saltHigh).bigEndian, (index << 16 ^ secrets.pointee.saltLow).bigEndian)
        let isSet = withUnsafeBytes(of: &counter) { raw in
            EVP_CipherInit_ex(context, nil, nil, nil, raw.baseAddress?.assumingMemoryBound(to: UInt8.self), -1) == 1
        }
        return isSet && transform(input, count: count, into: out)
    }
}
