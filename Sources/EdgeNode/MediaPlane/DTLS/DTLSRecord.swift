/// The gate before OpenSSL: whether a datagram is a row of whole, plausible DTLS 1.2 records (RFC 6347 sections 4.1 and 4.2.2).
enum DTLSRecord {
    static let headerBytes = 13
    private static let handshakeHeaderBytes = 12
    private static let handshake: UInt8 = 22
    private static let recordBytesMax = 16384 + 256

    /// True when every record is whole and every plaintext handshake fragment lies inside its message and is not empty without need.
    static func isPlausible(_ datagram: UnsafeRawBufferPointer) -> Bool {
        let span = datagram.assumingMemoryBound(to: UInt8.self).span
        var offset = 0
        while offset < span.count {
            guard span.count - offset >= headerBytes else { return false }
            let type = span[offset]
            let version = span.be16(offset + 1)
            let epoch = span.be16(offset + 3)
            let length = Int(span.be16(offset + 11))
            let body = offset + headerBytes
            guard (20...23).contains(type), version == 0xFEFD || version == 0xFEFF, epoch <= 1, length > 0,
                length <= recordBytesMax, length <= span.count - body
            else { return false }
            if type == handshake && epoch == 0 {
                guard areFragmentsPlausible(span, from: body, to: body + length) else { return false }
            }
            offset = body + length
        }
        return offset > 0
    }

    private static func areFragmentsPlausible(_ span: Span<UInt8>, from start: Int, to end: Int) -> Bool {
        var offset = start
        while offset < end {
            guard end - offset >= handshakeHeaderBytes else { return false }
            let messageBytes = Int(span.be24(offset + 1))
            let fragmentOffset = Int(span.be24(offset + 6))
            let fragmentBytes = Int(span.be24(offset + 9))
            guard messageBytes <= Limits.dtlsCertificateBytes, fragmentOffset + fragmentBytes <= messageBytes,
                fragmentBytes > 0 || messageBytes == 0, fragmentBytes <= end - offset - handshakeHeaderBytes
            else { return false }
            offset += handshakeHeaderBytes + fragmentBytes
        }
        return true
    }

    /// Length of the run of whole records at the start of `bytes` that fits `limit`; at least one record, 0 when there is none.
    static func runBytes(_ bytes: UnsafeRawBufferPointer, limit: Int) -> Int {
        let span = bytes.assumingMemoryBound(to: UInt8.self).span
        var run = 0
        while span.count - run >= headerBytes {
            let record = headerBytes + Int(span.be16(run + 11))
            guard record <= span.count - run else { break }
            if run > 0 && run + record > limit { break }
            run += record
        }
        return run
    }
}
