import CLinux
import MediaPlane

/// A client's own UDP socket, not blocking; IPv4 and IPv6 through one dual-stack descriptor where there is IPv6.
final class PeerSocket {
    let descriptor: Int32
    private let isDualStack: Bool

    /// Nil when the system gives no socket or port.
    init?() {
        let six = socket(AF_INET6, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        if six >= 0 {
            var off: Int32 = 0
            setsockopt(six, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &off, socklen_t(MemoryLayout<Int32>.size))
        }
        isDualStack = six >= 0
        descriptor = six >= 0 ? six : socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        var bytes: Int32 = 1 << 20
        // A load generator that is late for a moment must not look like a server that loses packets.
        if setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, socklen_t(MemoryLayout<Int32>.size)) != 0 {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
        }
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
        var any = sockaddr_storage()
        let length = SocketAddress(isDualStack ? "::" : "0.0.0.0", port: 0)?.encode(into: &any, dualStack: isDualStack) ?? 0
        let isBound = withUnsafePointer(to: &any) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) == 0 }
        }
        guard isBound else { return nil }
    }

    deinit { close(descriptor) }

    /// For a socket that nobody reads any more: what still comes is dropped at once. Filling a buffer with it would be memory that the
    /// server's kernel has to find for each datagram, which no reading viewer costs.
    func dropAll() {
        var bytes: Int32 = 0
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Sends one datagram; false when the kernel had no room or no way.
    @discardableResult
    func send(_ bytes: UnsafeRawBufferPointer, to address: SocketAddress) -> Bool {
        var storage = sockaddr_storage()
        let length = address.encode(into: &storage, dualStack: isDualStack)
        let sent = withUnsafePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, bytes.baseAddress, bytes.count, 0, $0, length)
            }
        }
        return sent == bytes.count
    }

    /// Sends what a transport wrote and empties it.
    func flush(_ output: inout TransportOutput) {
        for index in 0..<output.count { send(output.bytes(at: index), to: output.address(at: index)) }
        output.removeAll()
    }

    /// Receives one datagram into `buffer`; nil when there is none.
    func receive(_ buffer: UnsafeMutableRawBufferPointer) -> (count: Int, from: SocketAddress)? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let count = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                recvfrom(descriptor, buffer.baseAddress, buffer.count, 0, $0, &length)
            }
        }
        guard count >= 0, let from = SocketAddress(&storage) else { return nil }
        return (count, from)
    }
}

/// Waits for many descriptors (epoll).
final class Poller {
    private let descriptor: Int32
    private var events: [epoll_event]

    init(capacity: Int) {
        descriptor = epoll_create1(0)
        events = Array(repeating: epoll_event(), count: max(capacity, 1))
    }

    deinit { close(descriptor) }

    /// Watches `socket` for input and reports it as `tag`.
    func add(_ socket: Int32, tag: Int) {
        var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data_t(u64: UInt64(tag)))
        epoll_ctl(descriptor, EPOLL_CTL_ADD, socket, &event)
    }

    /// Stops watching `socket`.
    func remove(_ socket: Int32) { epoll_ctl(descriptor, EPOLL_CTL_DEL, socket, nil) }

    /// Waits until something is readable or `untilNs`, at most 100 ms so that an interrupt is seen; calls `body` with each tag.
    func wait(untilNs: UInt64, _ body: (Int) -> Void) {
        let now = tributary_monotonic_ns()
        let left = untilNs > now ? min((untilNs - now + 999_999) / 1_000_000, 100) : 0
        let count = epoll_wait(descriptor, &events, Int32(events.count), Int32(left))
        guard count > 0 else { return }
        for index in 0..<Int(count) { body(Int(events[index].data.u64)) }
    }
}
