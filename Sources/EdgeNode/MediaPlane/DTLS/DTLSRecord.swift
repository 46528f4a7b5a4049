/// The gate before OpenSSL: whether a datagram is a row of whole, plausible DTLS 1.2 records (RFC 6347 sections 4.1 and 4.2.2).
enum DTLSRecord {
    static let headerBytes = 13
    private static let handshakeHeaderBytes = 12
    private static let alert: UInt8 = 21
    private static let handshake: UInt8 = 22
    private static let applicationData: UInt8 = 23
    private static let recordBytesMax = 16384 + 256

    /// Handshake messages each side may send in plaintext; anything else from the peer would only abort the handshake.
    private static func mayCome(_ message: UInt8, toA role: DTLSRole) -> Bool {
        switch role {
        // ClientHello, Certificate, CertificateVerify, ClientKeyExchange.
        case .server: message == 1 || message == 11 || message == 15 || message == 16
        // ServerHello, HelloVerifyRequest, NewSessionTicket, Certificate to ServerHelloDone, CertificateStatus.
        case .client: (2...4).contains(message) || (11...14).contains(message) || message == 22
        }
    }

    /// Nil when every record is whole, every plaintext handshake fragment lies inside its message and is not empty without need,
    /// and nothing unauthenticated could abort the handshake: no plaintext alert, no message of our own side.
    static func refusal(_ datagram: UnsafeRawBufferPointer, role: DTLSRole) -> DropReason? {
        let span = datagram.assumingMemoryBound(to: UInt8.self).span
        var offset = 0
        while offset < span.count {
            guard span.count - offset >= headerBytes else { return .dtlsMalformed }
            let type = span[offset]
            let version = span.be16(offset + 1)
            let epoch = span.be16(offset + 3)
            let length = Int(span.be16(offset + 11))
            let body = offset + headerBytes
            guard (20...23).contains(type), version == 0xFEFD || version == 0xFEFF, epoch <= 1, length > 0,
                length <= recordBytesMax, length <= span.count - body
            else { return .dtlsMalformed }
            if epoch == 0 && (type == alert || type == applicationData) { return .dtlsUnexpected }
            if epoch == 0 && type == handshake, let reason = fragmentRefusal(span, from: body, to: body + length, role: role) {
                return reason
            }
            offset = body + length
        }
        return offset > 0 ? nil : .dtlsMalformed
    }

    private static func fragmentRefusal(_ span: Span<UInt8>, from start: Int, to end: Int, role: DTLSRole) -> DropReason? {
        var offset = start
        while offset < end {
            guard end - offset >= handshakeHeaderBytes else { return .dtlsMalformed }
            let messageBytes = Int(span.be24(offset + 1))
            let fragmentOffset = Int(span.be24(offset + 6))
            let fragmentBytes = Int(span.be24(offset + 9))
            guard messageBytes <= Limits.dtlsCertificateBytes, fragmentOffset + fragmentBytes <= messageBytes,
                fragmentBytes > 0 || messageBytes == 0, fragmentBytes <= end - offset - handshakeHeaderBytes
            else { return .dtlsMalformed }
            guard mayCome(span[offset], toA: role) else { return .dtlsUnexpected }
            offset += handshakeHeaderBytes + fragmentBytes
        }
        return nil
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
