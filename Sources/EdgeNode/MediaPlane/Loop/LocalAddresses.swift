import CLinux
import Glibc

/// Which addresses to announce when nobody configured any.
enum LocalAddresses {
    /// The configured public addresses, else the one bound to, else every address of the machine; IPv4 first, loopback last.
    static func announced(_ settings: MediaSettings) throws(MediaPlaneError) -> [String] {
        for text in settings.publicIPs where SocketAddress(text, port: 0) == nil { throw .address(text) }
        if !settings.publicIPs.isEmpty { return ordered(settings.publicIPs.compactMap { SocketAddress($0, port: 0) }) }
        guard let bound = SocketAddress(settings.bindAddress, port: 0) else { throw .address(settings.bindAddress) }
        let isWildcard = settings.bindAddress == "::" || settings.bindAddress == "0.0.0.0"
        if !isWildcard { return [bound.host] }
        let all = ofInterfaces().filter { !bound.isIPv4 || $0.isIPv4 }
        let others = all.filter { !isLoopback($0) }
        return ordered(others.isEmpty ? all : others)
    }

    private static func ordered(_ addresses: [SocketAddress]) -> [String] {
        (addresses.filter(\.isIPv4) + addresses.filter { !$0.isIPv4 }).map(\.host)
    }

    private static func isLoopback(_ address: SocketAddress) -> Bool {
        address.isIPv4 ? address.ipv4 >> 24 == 127 : address.host == "::1"
    }

    /// Addresses of interfaces that are up; link-local IPv6 is left out, as it means nothing without a scope.
    private static func ofInterfaces() -> [SocketAddress] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return [] }
        defer { freeifaddrs(list) }
        var found: [SocketAddress] = []
        var entry = list
        while let interface = entry?.pointee {
            entry = interface.ifa_next
            guard let raw = interface.ifa_addr, interface.ifa_flags & UInt32(IFF_UP) != 0 else { continue }
            let address = raw.withMemoryRebound(to: sockaddr_storage.self, capacity: 1) { SocketAddress($0) }
            guard let address, !address.host.hasPrefix("fe80:") else { continue }
            found.append(address)
        }
        return found
    }
}
