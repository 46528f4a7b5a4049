import CLinux
import Glibc

/// The listening socket of one loop for peers that cannot use UDP (RFC 6544: a passive candidate).
final class TCPListener {
    let descriptor: Int32
    let port: UInt16

    /// - Throws: ``MediaPlaneError`` naming the port that is taken or the address that can't be used.
    init(bindAddress: String, port: UInt16) throws(MediaPlaneError) {
        let bound = try BoundSocket(tributary_sock_stream(), bindAddress: bindAddress, port: port)
        guard listen(bound.descriptor, Int32(MediaLimits.tcpBacklog)) == 0 else {
            let code = errno
            close(bound.descriptor)
            throw code == EADDRINUSE ? .tcpPortInUse(bound.port) : .system(call: "listen", errno: code)
        }
        descriptor = bound.descriptor
        self.port = bound.port
    }

    deinit { close(descriptor) }

    /// What came of looking for a connection.
    enum Accepted {
        case connection(Int32, SocketAddress)
        case none
        /// The process has no descriptor left: looking again at once would only burn time.
        case exhausted
    }

    /// Takes a connection that waits.
    func accept() -> Accepted {
        var storage = sockaddr_storage()
        while true {
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let accepted = withUnsafeMutablePointer(to: &storage) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { tributary_accept(descriptor, $0, &length) }
            }
            if accepted >= 0 {
                guard let address = SocketAddress(&storage) else {
                    close(accepted)
                    continue
                }
                tributary_prepare_stream(accepted, Int32(MediaLimits.tcpUnsentBytes))
                return .connection(accepted, address)
            }
            switch errno {
            case EINTR, ECONNABORTED: continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted
            default: return .none
            }
        }
    }
}
