import CMicrohttpd

#if canImport(Glibc)
    import Glibc
#endif

/// A bound and listening TCP socket.
struct ListenSocket {
    let descriptor: Int32
    let port: UInt16
    let host: String

    /// - Parameter listen: `host:port` as in ``HTTPServerSettings/listen``.
    init(_ listen: String) throws(HTTPServerError) {
        guard let (host, service) = Self.split(listen), let number = UInt16(service) else {
            throw .badListenAddress(listen: listen)
        }
        var hints = addrinfo()
        hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        // An empty host means all interfaces; an IPv6 socket takes IPv4 as well.
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host.isEmpty ? "::" : host, String(number), &hints, &found) == 0, let address = found else {
            throw .badListenAddress(listen: listen)
        }
        defer { freeaddrinfo(address) }
        let descriptor = cmicrohttpd_stream_socket(address.pointee.ai_family, 0)
        guard descriptor >= 0 else { throw .cannotListen(listen: listen, reason: Self.reason()) }
        var (on, off): (Int32, Int32) = (1, 0)
        let size = socklen_t(MemoryLayout<Int32>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, size)
        if address.pointee.ai_family == AF_INET6 { setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &off, size) }
        guard bind(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen) == 0, Glibc.listen(descriptor, 1024) == 0
        else {
            let isTaken = errno == EADDRINUSE
            let reason = Self.reason()
            close(descriptor)
            throw isTaken ? .addressInUse(listen: listen) : .cannotListen(listen: listen, reason: reason)
        }
        self.descriptor = descriptor
        self.host = host
        port = Self.port(of: descriptor) ?? number
    }

    /// Host without brackets, and the port's text.
    static func split(_ listen: String) -> (host: String, service: String)? {
        guard let colon = listen.lastIndex(of: ":") else { return nil }
        var host = String(listen[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = String(host.dropFirst().dropLast())
        } else if host.contains(":") {
            return nil
        }
        return (host, String(listen[listen.index(after: colon)...]))
    }

    private static func port(of descriptor: Int32) -> UInt16? {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutableBytes(of: &storage) { bytes -> UInt16? in
            guard let base = bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), getsockname(descriptor, base, &size) == 0
            else { return nil }
            // Both address families have the port right after the family.
            return UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
        }
    }

    private static func reason() -> String { String(cString: strerror(errno)) }
}
