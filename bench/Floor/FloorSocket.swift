import CLinux
import Glibc

/// The one socket that a floor needs.
enum FloorSocket {
    enum Failure: Error { case noSocket(Int32) }

    /// An IPv4 socket, not blocking, on the port, or on any when that is 0.
    static func open(port: UInt16) throws -> (descriptor: Int32, port: UInt16) {
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw Failure.noSocket(errno) }
        var bytes: Int32 = 8 << 20
        let length = socklen_t(MemoryLayout<Int32>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, length)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, length)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 ? getsockname(descriptor, $0, &size) : -1
            }
        }
        guard result == 0 else { throw Failure.noSocket(errno) }
        return (descriptor, UInt16(bigEndian: address.sin_port))
    }
}
