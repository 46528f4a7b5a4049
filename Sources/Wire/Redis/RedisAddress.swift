import Foundation

/// Where a Redis server is and who we are there, from `redis.url`.
public struct RedisAddress: Sendable, Hashable {
    /// How the server is reached.
    public enum Endpoint: Sendable, Hashable {
        /// A host name or an address without brackets.
        case tcp(host: String, port: UInt16)
        /// Path of a Unix socket.
        case unix(path: String)
    }

    /// Why a URL can't be used. The text never repeats the URL, which may hold a password.
    public struct Malformed: Error, Sendable, Hashable, CustomStringConvertible {
        /// One line.
        public let description: String
    }

    /// How the server is reached.
    public let endpoint: Endpoint
    /// ACL user; empty: the default user.
    public let user: String
    /// Password; empty: no `AUTH` is sent.
    public let password: String
    /// Database number for `SELECT`.
    public let database: Int

    /// Makes an address from its parts.
    public init(endpoint: Endpoint, user: String = "", password: String = "", database: Int = 0) {
        self.endpoint = endpoint
        self.user = user
        self.password = password
        self.database = database
    }

    /// Reads `redis://[[user]:password@]host[:port][/db]` or `unix://[[user]:password@]/path[?db=n]`; user and password are
    /// percent-decoded.
    public init(_ text: String) throws(Malformed) {
        let form = "expected redis://[user:password@]host:port/db or unix:///path"
        guard !text.utf8.contains(0), let parts = URLComponents(string: text), parts.fragment == nil else {
            throw Malformed(description: form)
        }
        user = parts.user ?? ""
        password = parts.password ?? ""
        switch parts.scheme {
        case "redis":
            guard let host = parts.host, !host.isEmpty, parts.query == nil else { throw Malformed(description: form) }
            guard let port = UInt16(exactly: parts.port ?? 6379), port > 0 else {
                throw Malformed(description: "port must be 1 to 65535")
            }
            let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
            endpoint = .tcp(host: isBracketed ? String(host.dropFirst().dropLast()) : host, port: port)
            database = try Self.database(parts.path.hasPrefix("/") ? String(parts.path.dropFirst()) : parts.path)
        case "unix":
            guard (parts.host ?? "").isEmpty, parts.path.hasPrefix("/"), parts.path.count > 1 else {
                throw Malformed(description: "expected unix:///path, with three slashes")
            }
            // sockaddr_un holds 107 bytes and a NUL.
            guard parts.path.utf8.count <= 107 else { throw Malformed(description: "socket path is longer than 107 bytes") }
            endpoint = .unix(path: parts.path)
            let items = parts.queryItems ?? []
            guard items.allSatisfy({ $0.name == "db" }), items.count <= 1 else {
                throw Malformed(description: "only ?db=n may follow the path")
            }
            database = try Self.database(items.first?.value ?? "")
        default:
            throw Malformed(description: form)
        }
    }

    private static func database(_ text: String) throws(Malformed) -> Int {
        if text.isEmpty { return 0 }
        guard let number = Int(text), (0...65_535).contains(number) else {
            throw Malformed(description: "database must be a number, 0 to 65535")
        }
        return number
    }

    /// For logs: without user and password.
    public var safeDescription: String {
        switch endpoint {
        case .tcp(let host, let port): "redis://\(host.contains(":") ? "[\(host)]" : host):\(port)/\(database)"
        case .unix(let path): "unix://\(path)" + (database == 0 ? "" : "?db=\(database)")
        }
    }
}

extension RedisAddress {
    /// What is wrong with a URL, or nil.
    public static func problem(of text: String) -> String? {
        do {
            _ = try RedisAddress(text)
            return nil
        } catch {
            return error.description
        }
    }
}
