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
    /// anybody's invention.
    ///
    /// - Parameters:
    ///   - peer: where the connection comes from.
    ///   - told: the values of `X-Forwarded-For`, in order.
    static func client(behind peer: String, told: [String], isTrusted: (String) -> Bool) -> String {
        guard isTrusted(peer) else { return peer }
        var client = peer
        for part in told.flatMap({ $0.split(separator: ",") }).reversed() {
            let address = trimBlanks(String(part))
            guard name(of: address) != nil else { break }
            client = address
            guard isTrusted(address) else { break }
        }
        return client
    }
}
