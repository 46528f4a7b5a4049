import Cluster
import Glibc

/// This machine's name.
enum HostName {
    /// As the kernel has it; `localhost` when there is none.
    static var current: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "localhost" }
        let text = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return text.isEmpty ? "localhost" : text
    }

    /// A node alias that two nodes of one machine don't share: with the port, or the process when the port isn't known yet.
    static func alias(port: UInt16) -> String {
        let suffix = port == 0 ? "p\(getpid())" : String(port)
        let plain = current.map { NodeAlias.isValid(String($0)) || $0 == "." ? $0 : "-" }
        let start = String(plain.prefix(NodeAlias.bytesMax - suffix.count - 1))
        let alias = "\(start)-\(suffix)"
        return NodeAlias.isValid(alias) ? alias : "edge-\(suffix)"
    }
}

/// Text forms of IP addresses.
enum IPLiteral {
    /// Whether `text` is an IPv4 or IPv6 address, without brackets or zone.
    static func isValid(_ text: String) -> Bool {
        var buffer = in6_addr()
        return inet_pton(AF_INET, text, &buffer) == 1 || inet_pton(AF_INET6, text, &buffer) == 1
    }
}
