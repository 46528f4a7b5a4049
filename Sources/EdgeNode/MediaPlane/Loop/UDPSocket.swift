import CLinux
import Glibc

/// One bound, non-blocking UDP socket; IPv4 and IPv6 on the wildcard address where the machine has both.
struct UDPSocket: ~Copyable {
    let descriptor: Int32
    let port: UInt16
    let isDualStack: Bool

    /// - Throws: ``MediaPlaneError`` naming the port that is taken or the address that can't be used.
    init(bindAddress: String, port: UInt16, bufferBytes: Int) throws(MediaPlaneError) {
        let bound = try BoundSocket(Int32(SOCK_DGRAM.rawValue), bindAddress: bindAddress, port: port)
        descriptor = bound.descriptor
        self.port = bound.port
        isDualStack = bound.isDualStack
        Self.setBuffers(descriptor, bufferBytes)
        if bindAddress == "::" || bindAddress == "0.0.0.0" { tributary_want_own_address(descriptor, isDualStack ? 1 : 0) }
    }

    deinit { close(descriptor) }

    /// Asks for big buffers: past the administrator's limit with the right to, else up to it.
    private static func setBuffers(_ descriptor: Int32, _ bytes: Int) {
        var size = Int32(clamping: bytes)
        let length = socklen_t(MemoryLayout<Int32>.size)
        for (forced, plain) in [(SO_RCVBUFFORCE, SO_RCVBUF), (SO_SNDBUFFORCE, SO_SNDBUF)]
        where setsockopt(descriptor, SOL_SOCKET, forced, &size, length) != 0 {
            setsockopt(descriptor, SOL_SOCKET, plain, &size, length)
        }
    }
}

/// A new non-blocking socket of either kind with its address; whoever makes it owns the descriptor.
struct BoundSocket {
    let descriptor: Int32
    let port: UInt16
    let isDualStack: Bool

    /// - Parameter type: `SOCK_DGRAM` or `SOCK_STREAM`; the latter may take the port of connections that have just ended.
    init(_ type: Int32, bindAddress: String, port: UInt16) throws(MediaPlaneError) {
        guard let address = SocketAddress(bindAddress, port: port) else { throw .address(bindAddress) }
        let wantsSix = !address.isIPv4
        var descriptor = wantsSix ? Self.open(AF_INET6, type) : -1
        let isSix = descriptor >= 0
        // A machine without IPv6 still serves the wildcard, on IPv4.
        let isWildcard = bindAddress == "::"
        if !isSix, !wantsSix || isWildcard { descriptor = Self.open(AF_INET, type) }
        guard descriptor >= 0 else { throw .system(call: "socket", errno: errno) }
        let bound = isSix || !wantsSix ? address : SocketAddress(ipv4: 0, port: port)
        if type == tributary_sock_stream() {
            var on: Int32 = 1
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        }
        do throws(MediaPlaneError) {
            self.port = try Self.bind(descriptor, to: bound, isSix: isSix, text: bindAddress)
        } catch {
            close(descriptor)
            throw error == .portInUse(port) && type == tributary_sock_stream() ? .tcpPortInUse(port) : error
        }
        self.descriptor = descriptor
        isDualStack = isSix
    }

    private static func open(_ family: Int32, _ type: Int32) -> Int32 {
        socket(family, type | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    }

    private static func bind(_ descriptor: Int32, to address: SocketAddress, isSix: Bool, text: String) throws(MediaPlaneError)
        -> UInt16
    {
        if isSix {
            var off: Int32 = 0
            setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &off, socklen_t(MemoryLayout<Int32>.size))
        }
        var storage = sockaddr_storage()
        let length = address.encode(into: &storage, dualStack: isSix)
        let result = withUnsafePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.bind(descriptor, $0, length) }
        }
        guard result == 0 else {
            switch errno {
            case EADDRINUSE: throw .portInUse(address.port)
            case EADDRNOTAVAIL: throw .address(text)
            default: throw .system(call: "bind", errno: errno)
            }
        }
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let named = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
        }
        guard named == 0, let bound = SocketAddress(&storage) else { throw .system(call: "getsockname", errno: errno) }
        return bound.port
    }
}
