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
        // All interfaces: an IPv6 socket takes IPv4 as well, where the kernel has IPv6 at all.
        let hosts = host.isEmpty ? ["::", "0.0.0.0"] : [host]
        var failure = HTTPServerError.badListenAddress(listen: listen)
        for host in hosts {
            do throws(HTTPServerError) {
                descriptor = try Self.open(host, number, listen)
                self.host = host
                port = Self.port(of: descriptor) ?? number
                return
            } catch {
                failure = error
            }
        }
        throw failure
    }

    private static func open(_ host: String, _ port: UInt16, _ listen: String) throws(HTTPServerError) -> Int32 {
        var hints = addrinfo()
        hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, String(port), &hints, &found) == 0, let found else { throw .badListenAddress(listen: listen) }
        defer { freeaddrinfo(found) }
        let all = sequence(first: found) { $0.pointee.ai_next }
        // A name such as localhost means its IPv4 address first, which is what people type elsewhere.
        let address = all.first { $0.pointee.ai_family == AF_INET } ?? found
        let descriptor = cmicrohttpd_stream_socket(address.pointee.ai_family, 0)
        guard descriptor >= 0 else { throw .cannotListen(listen: listen, reason: reason()) }
        var (on, off): (Int32, Int32) = (1, 0)
        let size = socklen_t(MemoryLayout<Int32>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, size)
        if address.pointee.ai_family == AF_INET6 { setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &off, size) }
        guard bind(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen) == 0, Glibc.listen(descriptor, 1024) == 0
        else {
            let isTaken = errno == EADDRINUSE
            let reason = reason()
            close(descriptor)
            throw isTaken ? .addressInUse(listen: listen) : .cannotListen(listen: listen, reason: reason)
        }
        return descriptor
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
