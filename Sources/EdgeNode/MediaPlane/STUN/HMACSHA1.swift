import COpenSSL

/// A password's key on the heap, overwritten when nobody holds it any more.
final class WipedKey {
    let pointer: UnsafeMutablePointer<HMACSHA1>

    init(password: String) {
        pointer = .allocate(capacity: 1)
        pointer.initialize(to: HMACSHA1())
        pointer.pointee.setKey(password)
    }

    deinit {
        OPENSSL_cleanse(pointer, MemoryLayout<HMACSHA1>.size)
        pointer.deallocate()
    }
}

/// HMAC-SHA1 with the key already worked in (RFC 2104 section 4): two hash states on the stack, nothing on the heap.
///
/// Serves STUN's MESSAGE-INTEGRITY and SRTP's 80-bit tags, where a key signs many messages.
struct HMACSHA1 {
    static let bytes = 20

    /// A 20-byte digest as words in memory order.
    typealias Digest = (UInt64, UInt64, UInt32)

    private var inner = SHA_CTX()
    private var outer = SHA_CTX()

    /// Without a key yet.
    init() {}

    /// A value that need not be gone afterwards.
    init(key: String) { setKey(key) }

    /// Works the key in where this lies: a value that is made elsewhere and moved leaves a copy on the stack.
    mutating func setKey(_ key: UnsafeRawBufferPointer) {
        var block = [UInt8](repeating: 0, count: 64)
        if key.count > 64, let base = key.baseAddress {
            SHA1(base.assumingMemoryBound(to: UInt8.self), key.count, &block)
        } else {
            for index in 0..<key.count { block[index] = key[index] }
        }
        defer { OPENSSL_cleanse(&block, block.count) }
        for index in block.indices { block[index] ^= 0x36 }
        SHA1_Init(&inner)
        SHA1_Update(&inner, block, 64)
        for index in block.indices { block[index] ^= 0x36 ^ 0x5C }
        SHA1_Init(&outer)
        SHA1_Update(&outer, block, 64)
    }

    mutating func setKey(_ key: String) {
        var key = key
        key.withUTF8 { setKey(UnsafeRawBufferPointer($0)) }
    }

    /// Runs over up to three pieces as if they stood in one buffer and writes 20 bytes to `digest`.
    @inline(__always)
    func sign(
        _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer = .init(start: nil, count: 0),
        _ third: UnsafeRawBufferPointer = .init(start: nil, count: 0), into digest: UnsafeMutableRawPointer
    ) {
        var hash = inner
        SHA1_Update(&hash, first.baseAddress, first.count)
        if second.count > 0 { SHA1_Update(&hash, second.baseAddress, second.count) }
        if third.count > 0 { SHA1_Update(&hash, third.baseAddress, third.count) }
        let place = digest.assumingMemoryBound(to: UInt8.self)
        SHA1_Final(place, &hash)
        hash = outer
        SHA1_Update(&hash, digest, Self.bytes)
        SHA1_Final(place, &hash)
    }
}
