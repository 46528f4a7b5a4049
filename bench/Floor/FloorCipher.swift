import COpenSSL
import MediaPlane

/// SRTP with OpenSSL and nothing around it: a context for each viewer, per packet only the nonce changes (RFC 3711, RFC 7714).
struct FloorCipher: ~Copyable {
    private let context: OpaquePointer
    private let saltHigh: UInt64
    private let saltLow: UInt64
    private let isGCM: Bool
    private let inner: UnsafeMutablePointer<SHA_CTX>
    private let outer: UnsafeMutablePointer<SHA_CTX>
    let tagBytes: Int

    init?(_ profile: SRTPProfile, _ keys: SRTPSessionKeys) {
        let isGCM = profile == .aeadAES128GCM
        guard let context = EVP_CIPHER_CTX_new(),
            EVP_EncryptInit_ex(context, isGCM ? EVP_aes_128_gcm() : EVP_aes_128_ctr(), nil, keys.cipher, nil) == 1
        else { return nil }
        self.context = context
        self.isGCM = isGCM
        tagBytes = isGCM ? 16 : 10
        let salt = keys.salt + [UInt8](repeating: 0, count: 16 - keys.salt.count)
        saltHigh = salt.withUnsafeBytes { UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)) }
        saltLow = salt.withUnsafeBytes { UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)) }
        inner = .allocate(capacity: 1)
        outer = .allocate(capacity: 1)
        Self.begin(inner, keys.authentication, 0x36)
        Self.begin(outer, keys.authentication, 0x5C)
    }

    deinit {
        EVP_CIPHER_CTX_free(context)
        inner.deallocate()
        outer.deallocate()
    }

    private static func begin(_ state: UnsafeMutablePointer<SHA_CTX>, _ key: [UInt8], _ mask: UInt8) {
        let block = key.map { $0 ^ mask } + [UInt8](repeating: mask, count: 64 - key.count)
        state.initialize(to: SHA_CTX())
        SHA1_Init(state)
        SHA1_Update(state, block, 64)
    }

    /// Encrypts `payload` behind the 12 bytes of header that stand at `place`; the bytes of the whole packet.
    @inline(__always)
    func protect(
        _ place: UnsafeMutablePointer<UInt8>, payload: UnsafePointer<UInt8>, count: Int, ssrc: UInt32, index: UInt64
    ) -> Int {
        isGCM
            ? seal(place, payload, count, ssrc, index)
            : sign(place, payload, count, ssrc, index)
    }

    @inline(__always)
    private func seal(
        _ place: UnsafeMutablePointer<UInt8>, _ payload: UnsafePointer<UInt8>, _ count: Int, _ ssrc: UInt32, _ index: UInt64
    ) -> Int {
        var nonce = (
            ((UInt64(ssrc) << 16 | index >> 32) ^ saltHigh).bigEndian, ((index & 0xFFFF_FFFF) << 32 ^ saltLow).bigEndian
        )
        var written: Int32 = 0
        _ = withUnsafeBytes(of: &nonce) {
            EVP_EncryptInit_ex(context, nil, nil, nil, $0.bindMemory(to: UInt8.self).baseAddress)
        }
        EVP_EncryptUpdate(context, nil, &written, place, 12)
        EVP_EncryptUpdate(context, place + 12, &written, payload, Int32(truncatingIfNeeded: count))
        EVP_EncryptFinal_ex(context, place + 12 + count, &written)
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, 16, place + 12 + count)
        return 12 + count + 16
    }

    @inline(__always)
    private func sign(
        _ place: UnsafeMutablePointer<UInt8>, _ payload: UnsafePointer<UInt8>, _ count: Int, _ ssrc: UInt32, _ index: UInt64
    ) -> Int {
        var counter = ((UInt64(ssrc) ^ saltHigh).bigEndian, (index << 16 ^ saltLow).bigEndian)
        var written: Int32 = 0
        _ = withUnsafeBytes(of: &counter) {
            EVP_EncryptInit_ex(context, nil, nil, nil, $0.bindMemory(to: UInt8.self).baseAddress)
        }
        EVP_EncryptUpdate(context, place + 12, &written, payload, Int32(truncatingIfNeeded: count))
        var rollover = UInt32(truncatingIfNeeded: index >> 16).bigEndian
        var state = inner.pointee
        SHA1_Update(&state, place, 12 + count)
        SHA1_Update(&state, &rollover, 4)
        var digest = (UInt64(0), UInt64(0), UInt32(0))
        withUnsafeMutableBytes(of: &digest) { raw in
            guard let bytes = raw.bindMemory(to: UInt8.self).baseAddress else { return }
            SHA1_Final(bytes, &state)
            state = outer.pointee
            SHA1_Update(&state, bytes, 20)
            SHA1_Final(bytes, &state)
            (place + 12 + count).update(from: bytes, count: 10)
        }
        return 12 + count + 10
    }
}
