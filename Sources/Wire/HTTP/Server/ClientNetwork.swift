#if canImport(Glibc)
    import Glibc
#endif

/// Whose request it is, for counting: who has one IPv6 address has the 2^64 of its network too.
public enum ClientNetwork {
    /// What stands for a client's numeric address in counts: an IPv4 address as it is, of an IPv6 one its first 64 bits. Nil for what
    /// is no address.
    public static func name(of address: String) -> String? {
        // An IPv4 address in its mapped form is one all the same.
        let address = address.hasPrefix("::ffff:") && address.contains(".") ? String(address.dropFirst(7)) : address
        guard address.contains(":") else {
            var four = in_addr()
            return inet_pton(AF_INET, address, &four) == 1 ? address : nil
        }
        var bytes = [UInt8](repeating: 0, count: 16)
        guard inet_pton(AF_INET6, address, &bytes) == 1 else { return nil }
        let groups = (0..<4).map { String(UInt16(bytes[$0 * 2]) << 8 | UInt16(bytes[$0 * 2 + 1]), radix: 16) }
        return groups.joined(separator: ":") + "::/64"
    }

    /// Whether a numeric address is this machine's own.
    public static func isLoopback(_ address: String) -> Bool { address.hasPrefix("127.") || address == "::1" }

    /// The address that the client of a chain of proxies has: the last one told that is no proxy of ours. Who stands before that could be
    /// anybody's invention. Nil when a proxy of ours tells something that is no address.
    ///
    /// - Parameters:
    ///   - peer: where the connection comes from.
    ///   - told: the values of `X-Forwarded-For`, in order.
    static func client(behind peer: String, told: [String], isTrusted: (String) -> Bool) -> String? {
        guard isTrusted(peer) else { return peer }
        var client = peer
        for part in told.flatMap({ $0.split(separator: ",") }).map({ trimBlanks(String($0)) }).reversed() where !part.isEmpty {
            let address = withoutPort(part)
            guard name(of: address) != nil else { return nil }
            client = address
            guard isTrusted(address) else { break }
        }
        return client
    }

    /// Some proxies tell the port, too: `192.0.2.1:4711` or `[2001:db8::1]:4711`.
    private static func withoutPort(_ text: String) -> String {
        if text.hasPrefix("["), let end = text.firstIndex(of: "]") { return String(text[..<end].dropFirst()) }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        return parts.count == 2 ? String(parts[0]) : text
    }
}
