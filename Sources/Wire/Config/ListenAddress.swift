/// Where a server listens: `host:port`, `[v6]:port` or `:port` for every address.
public struct ListenAddress: Sendable, Hashable, CustomStringConvertible {
    /// An IPv4 or IPv6 literal without brackets, a host name, or empty for every address.
    public let host: String
    /// 0 means any free port.
    public var port: UInt16

    /// - Parameters:
    ///   - host: literal without brackets, name, or empty.
    ///   - port: 0 means any free port.
    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Reads the text form; nil when it has none.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let portText = text[text.index(after: colon)...]
        guard let port = UInt16(portText), portText.allSatisfy({ $0.isASCII && $0.isNumber }) else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard host.contains(":"), host.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." || $0 == "%" }) else {
                return nil
            }
        } else {
            guard host.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "." || $0 == "-" || $0 == "_") }) else {
                return nil
            }
        }
        self.init(host: String(host), port: port)
    }

    /// Whether only programs on this machine can reach it.
    public var isLoopback: Bool {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        let isIPv4 = parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
        return host == "localhost" || host == "::1" || (isIPv4 && parts[0] == "127")
    }

    /// Whether it stands for every address of the machine, so that it can't be put into a URL.
    public var isWildcard: Bool { host.isEmpty || host == "0.0.0.0" || host == "::" }

    /// The text form.
    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
