import CLinux

/// An IPv4 or IPv6 address with a port as a fixed-size value.
///
/// IPv4 is kept as its v4-mapped IPv6 form, so the same peer is one hash key whether it arrived on an IPv4 or a dual-stack socket.
/// Any thread; no heap.
public struct SocketAddress: Hashable, Sendable {
    /// Address bytes 0–7 and 8–15, network order read as big-endian numbers.
    let high: UInt64
    let low: UInt64
    let scope: UInt32
    /// The port in host order.
    public let port: UInt16
    /// How the peer is reached: 0 as the system likes, up to 0x7FFF by a TCP connection of its loop, above from one of our addresses
    /// (``OwnAddresses``). Each is a way of its own, as a pair of addresses is in ICE.
    let way: UInt16

    private static let mappedPrefix: UInt64 = 0x0000_FFFF_0000_0000

    init(high: UInt64, low: UInt64, scope: UInt32 = 0, port: UInt16, way: UInt16 = 0) {
        self.high = high
        self.low = low
        self.scope = scope
        self.port = port
        self.way = way
    }

    /// The same address, reached in this way.
    @inline(__always)
    func by(_ way: UInt16) -> SocketAddress {
        SocketAddress(high: high, low: low, scope: scope, port: port, way: way)
    }

    /// The number of the TCP connection; 0 for UDP.
    @inline(__always)
    var stream: UInt16 { way < OwnAddresses.firstWay ? way : 0 }

    /// From four address bytes given as one host-order number (127.0.0.1 = 0x7F000001).
    public init(ipv4: UInt32, port: UInt16) {
        self.init(high: 0, low: Self.mappedPrefix | UInt64(ipv4), port: port)
    }

    /// Parses a literal such as "127.0.0.1" or "::1"; nil for anything else. No name is ever looked up.
    public init?(_ literal: String, port: UInt16) {
        var four = in_addr()
        if inet_pton(AF_INET, literal, &four) == 1 {
            self.init(ipv4: UInt32(bigEndian: four.s_addr), port: port)
            return
        }
        var six = in6_addr()
        guard inet_pton(AF_INET6, literal, &six) == 1 else { return nil }
        let halves = withUnsafeBytes(of: six) { raw in
            (raw.loadUnaligned(as: UInt64.self), raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
        self.init(high: UInt64(bigEndian: halves.0), low: UInt64(bigEndian: halves.1), port: port)
    }

    /// What counts as one host: an IPv4 address, or the /64 that one IPv6 customer has at least (RFC 6177 section 2).
    var host64: UInt64 { isIPv4 ? low : high }

    /// Whether one host is meant: no multicast group (RFC 5771, RFC 4291 section 2.7), no broadcast, not the unspecified address.
    public var isUnicast: Bool {
        guard isIPv4 else { return high >> 56 != 0xFF && (high | low) != 0 }
        let first = UInt8(truncatingIfNeeded: low >> 24)
        return first != 0 && first < 224
    }

    /// From what `recvmsg` or `getsockname` filled in; nil for a family other than IPv4 and IPv6.
    public init?(_ storage: UnsafePointer<sockaddr_storage>) {
        let raw = UnsafeRawPointer(storage)
        switch Int32(storage.pointee.ss_family) {
        case AF_INET:
            let address = raw.load(as: sockaddr_in.self)
            self.init(ipv4: UInt32(bigEndian: address.sin_addr.s_addr), port: UInt16(bigEndian: address.sin_port))
        case AF_INET6:
            let address = raw.load(as: sockaddr_in6.self)
            let high = raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
            let low = raw.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
            self.init(
                high: UInt64(bigEndian: high), low: UInt64(bigEndian: low), scope: address.sin6_scope_id,
                port: UInt16(bigEndian: address.sin6_port))
        default:
            return nil
        }
    }

    /// True for IPv4, however it arrived.
    public var isIPv4: Bool { high == 0 && low & 0xFFFF_FFFF_0000_0000 == Self.mappedPrefix }

    /// The IPv4 address as a host-order number; meaningful only when ``isIPv4``.
    public var ipv4: UInt32 { UInt32(truncatingIfNeeded: low) }

    /// Fills `storage` for `sendmsg` and returns its length in bytes.
    ///
    /// - Parameter dualStack: the socket is AF_INET6, so IPv4 is written in its mapped form.
    public func encode(into storage: UnsafeMutablePointer<sockaddr_storage>, dualStack: Bool) -> socklen_t {
        let raw = UnsafeMutableRawPointer(storage)
        if isIPv4 && !dualStack {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = ipv4.bigEndian
            raw.storeBytes(of: address, as: sockaddr_in.self)
            return socklen_t(MemoryLayout<sockaddr_in>.size)
        }
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = port.bigEndian
        address.sin6_scope_id = scope
        raw.storeBytes(of: address, as: sockaddr_in6.self)
        raw.storeBytes(of: high.bigEndian, toByteOffset: 8, as: UInt64.self)
        raw.storeBytes(of: low.bigEndian, toByteOffset: 16, as: UInt64.self)
        return socklen_t(MemoryLayout<sockaddr_in6>.size)
    }

    /// The address without its port, as text; for logs and candidates, never per packet.
    public var host: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN) + 1)
        if isIPv4 {
            var four = in_addr(s_addr: ipv4.bigEndian)
            inet_ntop(AF_INET, &four, &text, socklen_t(text.count))
        } else {
            var six = (high.bigEndian, low.bigEndian)
            inet_ntop(AF_INET6, &six, &text, socklen_t(text.count))
        }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension SocketAddress: CustomStringConvertible {
    /// `host:port`, IPv6 in brackets.
    public var description: String { isIPv4 ? "\(host):\(port)" : "[\(host)]:\(port)" }
}
