import HTTP

/// The other node's WHEP or WHIP endpoint and what to show there.
public struct CascadeAddress: Sendable, Hashable {
    /// An absolute `http` or `https` URL.
    public let url: String
    /// For logs: without the query, in which many servers want a token or a stream key.
    public var safeURL: String { url.prefix { $0 != "?" } + (url.contains("?") ? "?…" : "") }
    /// The `Authorization` header's value; nil for none. A secret: never logged or shown.
    let authorization: String?

    /// - Parameters:
    ///   - text: an `http` or `https` URL. `whep` and `whip` mean `http`, `wheps` and `whips` mean `https`.
    ///   - token: a bearer token, or a whole `Authorization` value with its scheme, as live777 wants it.
    public init?(_ text: String, token: String?) {
        guard let separator = text.firstIndex(of: ":"), text[separator...].hasPrefix("://") else { return nil }
        let scheme: String
        switch text[..<separator].lowercased() {
        case "http", "whep", "whip": scheme = "http"
        case "https", "wheps", "whips": scheme = "https"
        default: return nil
        }
        let rest = text[separator...].dropFirst(3)
        let host = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        // Credentials in the URL would end up in records and logs.
        guard !host.isEmpty, text.utf8.count <= Self.bytesMax, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }),
            !host.contains("@"), !host.hasPrefix(":"), !rest.contains("#")
        else { return nil }
        url = "\(scheme)://\(rest)"
        guard let token, !token.isEmpty else {
            authorization = nil
            return
        }
        guard token.utf8.allSatisfy({ (0x20...0x7E).contains($0) }), token.utf8.count <= Self.bytesMax else { return nil }
        authorization = token.contains(" ") ? token : "Bearer \(token)"
    }

    /// What servers that refuse us may repeat, and nobody else should read: the token, and the values of the query, as they are sent and as
    /// they are read. What is shorter than six bytes is taken for no secret; it stands in other words.
    ///
    /// - Parameter target: where a redirect has led.
    func secrets(at target: String) -> [String] {
        let token = authorization?.split(separator: " ").last.map(String.init) ?? ""
        let all = [token] + Self.queryValues(url) + Self.queryValues(target)
        return Set(all.filter { $0.utf8.count >= 6 }).sorted { $0.utf8.count > $1.utf8.count }
    }

    private static func queryValues(_ url: String) -> [String] {
        let query = url.drop { $0 != "?" }.dropFirst()
        let sent = query.split(separator: "&").map { String($0.drop { $0 != "=" }.dropFirst()) }
        // A plus may be one, or a space.
        return sent + [false, true].flatMap { isSpace in sent.compactMap { PercentCoding.decode($0, plusIsSpace: isSpace) } }
    }

    private static let bytesMax = 4096

    /// Scheme, host and port, by which a token's reach is judged.
    static func origin(of url: String) -> Substring {
        guard let colon = url.firstIndex(of: ":"), url[colon...].hasPrefix("://") else { return "" }
        let rest = url[colon...].dropFirst(3)
        return url[..<(rest.firstIndex { $0 == "/" || $0 == "?" } ?? url.endIndex)]
    }

    /// An absolute URL, an absolute path or a relative one, against the URL that answered (RFC 3986 section 5, without dot segments);
    /// nil for another scheme.
    static func resolve(_ location: String, against base: String) -> String? {
        let lower = location.lowercased()
        if lower.hasPrefix("http://") || lower.hasPrefix("https://") { return location }
        guard !location.isEmpty, !location.contains("://") else { return nil }
        let origin = origin(of: base)
        if location.hasPrefix("//") { return base.prefix { $0 != "/" } + location }
        if location.hasPrefix("/") { return origin + location }
        let path = base[origin.endIndex...].prefix { $0 != "?" }
        guard let slash = path.lastIndex(of: "/") else { return origin + "/" + location }
        return String(origin + path[...slash]) + location
    }
}

/// The nodes that a stream has been through, or that ask for it one for the other, the nearest first: the header that nodes send
/// each other with an offer and its answer.
public enum CascadePath {
    /// The header's name.
    public static let header = "Tributary-Cascade"
    /// Beside it when a coordinator has a stream pushed: seconds that the copy stays without use.
    public static let idleHeader = "Tributary-Cascade-Idle"
    /// Entries of one header; the depth limit of the streams is far below.
    public static let nodesMax = 32

    /// Reads the header's value; nil when it isn't a list of node aliases. Empty when the other side is no node of ours.
    public static func parse(_ value: String?, isAlias: (String) -> Bool) -> [String]? {
        guard let value else { return [] }
        guard value.utf8.count <= nodesMax * 66 else { return nil }
        let nodes = value.split(separator: ",", omittingEmptySubsequences: false).map { part in
            String(part.drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
        }
        guard nodes.count <= nodesMax, nodes.allSatisfy(isAlias) else { return nil }
        return nodes
    }

    /// The header's value.
    public static func text(_ nodes: [String]) -> String { nodes.joined(separator: ",") }
}
