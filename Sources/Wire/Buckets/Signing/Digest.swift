import COpenSSL

/// Hashes and message codes on OpenSSL, on bytes in memory.
enum Digest {
    /// SHA-256 (FIPS 180-4), 32 bytes.
    static func sha256(_ bytes: [UInt8]) -> [UInt8] { hash(bytes, EVP_sha256()) }

    /// MD5 (RFC 1321), 16 bytes; against accidents on the way, not against forgers.
    static func md5(_ bytes: [UInt8]) -> [UInt8] { hash(bytes, EVP_md5()) }

    /// HMAC-SHA-256 (RFC 2104), 32 bytes.
    static func hmacSHA256(_ key: [UInt8], _ bytes: [UInt8]) -> [UInt8] { hmac(key, bytes, EVP_sha256()) }

    /// HMAC-SHA-1 (RFC 2104), 20 bytes; for signatures of old protocols.
    static func hmacSHA1(_ key: [UInt8], _ bytes: [UInt8]) -> [UInt8] { hmac(key, bytes, EVP_sha1()) }

    /// Lower-case hexadecimal digits.
    static func hex(_ bytes: some Sequence<UInt8>) -> String {
        var out: [UInt8] = []
        out.reserveCapacity(2 * bytes.underestimatedCount)
        func digit(_ half: UInt8) -> UInt8 { half < 10 ? 0x30 + half : 0x57 + half }
        for byte in bytes {
            out.append(digit(byte >> 4))
            out.append(digit(byte & 15))
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// Base64 with padding (RFC 4648 section 4).
    static func base64(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var out: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = (0..<3).reduce(UInt32(0)) { $0 << 8 | (start + $1 < bytes.count ? UInt32(bytes[start + $1]) : 0) }
            let sextets = [18, 12, 6, 0].map { alphabet[Int(group >> UInt32($0) & 63)] }
            let used = min(bytes.count - start, 3) + 1
            out += sextets[..<used] + [UInt8](repeating: 0x3D, count: 4 - used)
        }
        return String(decoding: out, as: UTF8.self)
    }

    private static func hash(_ bytes: [UInt8], _ kind: OpaquePointer?) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Int(EVP_MAX_MD_SIZE)) { out, filled in
            var count: UInt32 = 0
            let isDone = EVP_Digest(bytes, bytes.count, out.baseAddress, &count, kind, nil) == 1
            precondition(isDone, "a digest that OpenSSL always has")
            filled = Int(count)
        }
    }

    private static func hmac(_ key: [UInt8], _ bytes: [UInt8], _ kind: OpaquePointer?) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Int(EVP_MAX_MD_SIZE)) { out, filled in
            var count: UInt32 = 0
            // An empty key is a key; OpenSSL wants an address for it.
            let result = HMAC(kind, key.isEmpty ? [0] : key, Int32(key.count), bytes, bytes.count, out.baseAddress, &count)
            precondition(result != nil, "a digest that OpenSSL always has")
            filled = Int(count)
        }
    }
}

/// What a store is told about a body so that it can check it, or tells so that we can: computed before anything is sent.
struct PayloadDigest: Equatable, Sendable {
    /// What is computed besides the MD5.
    enum Kind: Sendable {
        /// What S3 signs.
        case sha256
        /// What OSS answers.
        case crc64
    }

    /// SHA-256 in lower-case hexadecimal; empty where it was not asked for.
    let sha256: String
    /// CRC-64; nil where it was not asked for.
    let crc64: UInt64?
    /// MD5, 16 bytes; of the parts' MD5s where there are parts.
    let md5: [UInt8]
    /// How many parts it was joined of, 0 for a body in one piece.
    let parts: Int

    /// Of a body in memory.
    init(_ bytes: [UInt8], _ kind: Kind = .sha256) {
        sha256 = kind == .sha256 ? Digest.hex(Digest.sha256(bytes)) : ""
        crc64 = kind == .crc64 ? bytes.withUnsafeBytes { CRC64.update(0, $0) } : nil
        (md5, parts) = (Digest.md5(bytes), 0)
    }

    fileprivate init(sha256: [UInt8], crc64: UInt64?, md5: [UInt8]) {
        (self.sha256, self.crc64, self.md5, parts) = (Digest.hex(sha256), crc64, md5, 0)
    }

    /// Of an object that was sent in parts, each given with its bytes.
    init(joining parts: [(digest: PayloadDigest, bytes: Int64)]) {
        sha256 = ""
        crc64 = parts.reduce(UInt64?(0)) { sum, part in
            guard let sum, let next = part.digest.crc64 else { return nil }
            return CRC64.joined(sum, next, secondBytes: part.bytes)
        }
        (md5, self.parts) = (Digest.md5(parts.flatMap(\.digest.md5)), parts.count)
    }

    /// Of no body.
    static let empty = PayloadDigest([])

    /// As `Content-MD5` wants it (RFC 1864).
    var contentMD5: String { Digest.base64(md5) }
    /// As most stores write the entity tag: the MD5, or the MD5 of the parts' MD5s and how many there are.
    var etag: String { parts == 0 ? "\"\(Digest.hex(md5))\"" : "\"\(Digest.hex(md5))-\(parts)\"" }
}

/// Computes a `PayloadDigest` piece by piece.
struct RunningDigest: ~Copyable {
    /// Nil where the CRC is computed instead.
    private let sha: OpaquePointer?
    private let md5: OpaquePointer?
    private var crc: UInt64 = 0

    init(_ kind: PayloadDigest.Kind = .sha256) {
        sha = kind == .sha256 ? EVP_MD_CTX_new() : nil
        md5 = EVP_MD_CTX_new()
        let isReady =
            (sha == nil || EVP_DigestInit_ex(sha, EVP_sha256(), nil) == 1) && EVP_DigestInit_ex(md5, EVP_md5(), nil) == 1
        precondition(isReady, "digests that OpenSSL always has")
    }

    deinit {
        EVP_MD_CTX_free(sha)
        EVP_MD_CTX_free(md5)
    }

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        if let sha { EVP_DigestUpdate(sha, bytes.baseAddress, bytes.count) } else { crc = CRC64.update(crc, bytes) }
        EVP_DigestUpdate(md5, bytes.baseAddress, bytes.count)
    }

    consuming func finish() -> PayloadDigest {
        var (first, second) = ([UInt8](repeating: 0, count: sha == nil ? 0 : 32), [UInt8](repeating: 0, count: 16))
        if let sha { EVP_DigestFinal_ex(sha, &first, nil) }
        EVP_DigestFinal_ex(md5, &second, nil)
        return PayloadDigest(sha256: first, crc64: sha == nil ? crc : nil, md5: second)
    }
}
