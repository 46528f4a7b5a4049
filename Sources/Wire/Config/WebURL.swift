import Foundation

/// A checked `http` or `https` URL of a server.
struct WebURL {
    private let parts: URLComponents

    init?(_ text: String) {
        guard let parts = URLComponents(string: text), let scheme = parts.scheme, ["http", "https"].contains(scheme),
            let host = parts.host, !host.isEmpty, parts.fragment == nil, parts.port.map({ (1...65535).contains($0) }) ?? true
        else { return nil }
        self.parts = parts
    }

    /// Scheme, host and port and nothing else (RFC 6454 section 6.2).
    var isOrigin: Bool { parts.path.isEmpty && parts.query == nil && parts.user == nil }

    /// No user or password.
    var isPage: Bool { parts.user == nil && parts.password == nil }

    /// Nothing that would end up in logs or be lost when a path is put behind it.
    var isBase: Bool { parts.query == nil && parts.user == nil && parts.password == nil }
}

extension ConfigSection {
    /// The URL of an HTTP server that paths are put behind, without the slash at its end; may be empty when `isOptional`.
    public func baseURL(_ key: String, isOptional: Bool = true) -> String {
        let text = string(key) { text in
            if text.isEmpty { return isOptional ? nil : "must be set" }
            return BaseURL.problem(of: text)
        }
        return text.hasSuffix("/") ? String(text.dropLast()) : text
    }

    /// The whole URL of a page, which may have a query; empty when it is not set.
    public func pageURL(_ key: String) -> String {
        string(key) { text in
            text.isEmpty || WebURL(text)?.isPage == true ? nil : "expected http://host:port/path or https://host:port/path"
        }
    }
}

/// The address that the paths of another program's API are put behind.
public enum BaseURL {
    /// What is wrong with it, or nil.
    public static func problem(of text: String) -> String? {
        guard let url = WebURL(text) else { return "expected http://host:port or https://host:port" }
        return url.isBase ? nil : "must have no user, password or query"
    }
}
