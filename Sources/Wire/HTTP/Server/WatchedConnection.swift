import CMicrohttpd

#if canImport(Glibc)
    import Glibc
#endif

/// A connection as the watcher sees it, and what is known of it as long as it is open. Any thread.
final class WatchedConnection: Sendable {
    enum Phase {
        /// Waiting for a request, or reading its header.
        case idle
        /// A request is answered on the server's thread, which waits for nobody.
        case answering
        /// A request runs.
        case busy(Exchange)
        /// A WebSocket has it.
        case upgraded
    }

    struct State {
        var phase = Phase.idle
        /// When waiting for a header ends, monotonic nanoseconds.
        var headerDeadlineNs: UInt64
        /// A request has ended, and nothing is known of another one.
        var isBetweenRequests = false
        /// Bytes that the client had sent when the watcher first looked after that; nil until then.
        var bytesBefore: UInt64?
        /// How long a body has been coming in while there was room for it.
        var receivingNs: UInt64 = 0
        var lingers = false
        /// When the client closed its sending side, monotonic nanoseconds.
        var halfClosedNs: UInt64?
    }

    let id: UInt64
    let descriptor: Int32
    /// The client's numeric address.
    let remoteAddress: String
    /// What stands for it in counts by address; nil when it isn't counted.
    let countedNetwork: String?
    let state: Locked<State>

    init(id: UInt64, _ connection: OpaquePointer, headerDeadlineNs: UInt64, _ settings: HTTPServerSettings) {
        self.id = id
        descriptor = cmicrohttpd_socket(connection)
        remoteAddress = Self.address(connection)
        countedNetwork = settings.countedNetwork(of: remoteAddress)
        state = Locked(State(headerDeadlineNs: headerDeadlineNs))
    }

    private static func address(_ raw: OpaquePointer) -> String {
        guard let address = cmicrohttpd_address(raw) else { return "" }
        return text(of: address)
    }

    /// The numeric form, without the zone of a link-local address, which is ours and not the client's.
    static func text(of address: UnsafePointer<sockaddr>) -> String {
        let isIPv6 = Int32(address.pointee.sa_family) == AF_INET6
        let size = socklen_t(isIPv6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size)
        let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(NI_MAXHOST)) { buffer -> String in
            guard let base = buffer.baseAddress,
                getnameinfo(address, size, base, socklen_t(NI_MAXHOST), nil, 0, NI_NUMERICHOST) == 0
            else { return "" }
            return String(String(cString: base).prefix { $0 != "%" })
        }
        // An IPv6 socket shows IPv4 clients as mapped addresses.
        return text.hasPrefix("::ffff:") ? String(text.dropFirst(7)) : text
    }
}
