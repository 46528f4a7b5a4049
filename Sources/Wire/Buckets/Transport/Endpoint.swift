import Glibc

/// An absolute `http` or `https` address of a service: `scheme://host[:port][/prefix]`.
struct Endpoint: Sendable, Equatable {
    /// `https`.
    let isTLS: Bool
    /// The name or numeric address, IPv6 without brackets, in lower case.
    let host: String
    /// Where it is not the scheme's.
    let port: UInt16?
    /// A path that goes before all others, such as `/store`; empty or without a slash at its end.
    let prefix: String

    /// Nil for anything else, such as an address with a user or a query.
    init?(_ text: String) {
        let lowered = text.lowercased()
        guard lowered.hasPrefix("http://") || lowered.hasPrefix("https://") else { return nil }
        isTLS = lowered.hasPrefix("https://")
        let rest = text.dropFirst(isTLS ? 8 : 7)
        let authority = rest.prefix { $0 != "/" }
        let path = rest.dropFirst(authority.count)
        guard path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x3F && $0 != 0x23 }) else { return nil }
        prefix = path.split(separator: "/").map { "/" + $0 }.joined()
        guard let (name, port) = Self.split(authority) else { return nil }
        host = name.lowercased()
        self.port = port == (isTLS ? 443 : 80) ? nil : port
        guard host.utf8.allSatisfy(Self.isHostByte), !host.isEmpty else { return nil }
    }

    private init(_ other: Endpoint, host: String) {
        (isTLS, self.host, port, prefix) = (other.isTLS, host, other.port, other.prefix)
    }

    /// Such as a bucket's own host: `label` before the name.
    func sub(_ label: String) -> Endpoint { Endpoint(self, host: "\(label).\(host)") }

    private static func split(_ authority: Substring) -> (Substring, UInt16?)? {
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            let name = authority[authority.index(after: authority.startIndex)..<end]
            let rest = authority[authority.index(after: end)...]
            guard name.contains(":"), rest.isEmpty || rest.hasPrefix(":") else { return nil }
            return port(rest.dropFirst()).map { (name, $0) }
        }
        let sides = authority.split(separator: ":", omittingEmptySubsequences: false)
        guard let name = sides.first, sides.count <= 2 else { return nil }
        return port(sides.count > 1 ? sides[1] : "").map { (name, $0) }
    }

    /// Nil for a number that is no port.
    private static func port(_ text: Substring) -> UInt16?? {
        if text.isEmpty { return .some(nil) }
        guard let port = UInt16(text), port > 0 else { return nil }
        return .some(port)
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x61...0x7A, 0x2D, 0x2E, 0x3A, 0x5F, 0x25: true
        default: false
        }
    }

    /// As `Host` has it.
    var authority: String {
        (host.contains(":") ? "[\(host)]" : host) + (port.map { ":\($0)" } ?? "")
    }

    /// `scheme://authority`.
    var origin: String { (isTLS ? "https://" : "http://") + authority }

    /// A numeric address, which can have no name before it.
    var isNumeric: Bool {
        host.contains(":") || host.split(separator: ".").allSatisfy { UInt8($0) != nil }
    }

    /// This machine.
    var isLoopback: Bool {
        host == "localhost" || host == "::1" || (isNumeric && host.hasPrefix("127."))
    }
}
