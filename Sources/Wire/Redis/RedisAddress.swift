import Config
import Foundation

/// Where a Redis server is and who we are there, from `redis.url`; or who we are at servers of which Sentinels know the master.
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

    /// How the server is known under TLS; nil: in the clear.
    public var tls: RedisTLS?
    /// Who tells where the server is; then `endpoint` counts for nothing.
    public var sentinels: RedisSentinels?

    /// Makes an address from its parts.
    public init(endpoint: Endpoint, user: String = "", password: String = "", database: Int = 0, tls: RedisTLS? = nil) {
        self.endpoint = endpoint
        self.user = user
        self.password = password
        self.database = database
        self.tls = tls
    }

    /// What a configuration says, which has checked the parts; nil without Redis.
    public init?(_ settings: RedisSettings) throws(Malformed) {
        guard settings.isEnabled else { return nil }
        let tls = RedisTLS(
            authority: settings.tlsAuthority, certificate: settings.tlsCertificate, key: settings.tlsKey)
        try self.init(settings.url.isEmpty ? "redis://master" : settings.url)
        if self.tls != nil { self.tls = tls }
        guard !settings.sentinels.isEmpty else { return }
        var addresses: [RedisAddress] = []
        for text in settings.sentinels {
            var address = try Self.sentinel(text)
            if address.tls != nil { address.tls = tls }
            addresses.append(address)
        }
        sentinels = RedisSentinels(master: settings.master, addresses: addresses)
    }

    /// The same, at the server that has turned out to be the master.
    func server(at endpoint: Endpoint) -> RedisAddress {
        RedisAddress(endpoint: endpoint, user: user, password: password, database: database, tls: tls)
    }

    static func sentinel(_ text: String) throws(Malformed) -> RedisAddress {
        let address = try RedisAddress(text.contains("://") ? text : "redis://\(text)", port: 26_379)
        guard case .tcp = address.endpoint, address.database == 0 else {
            throw Malformed(description: "expected host:port or redis://[user:password@]host:port")
        }
        return address
    }

    /// Reads `redis://[[user]:password@]host[:port][/db]`, the same with `rediss` for TLS, or `unix://[[user]:password@]/path[?db=n]`;
    /// user and password are percent-decoded.
    public init(_ text: String) throws(Malformed) { try self.init(text, port: 6_379) }

    private init(_ text: String, port defaultPort: Int) throws(Malformed) {
        let form = "expected redis://[user:password@]host:port/db, rediss://… or unix:///path"
        guard !text.utf8.contains(0), let parts = URLComponents(string: text), parts.fragment == nil else {
            throw Malformed(description: form)
        }
        user = parts.user ?? ""
        password = parts.password ?? ""
        switch parts.scheme {
        case "redis", "rediss":
            guard let host = parts.host, !host.isEmpty, parts.query == nil else { throw Malformed(description: form) }
            guard let port = UInt16(exactly: parts.port ?? defaultPort), port > 0 else {
                throw Malformed(description: "port must be 1 to 65535")
            }
            let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
            endpoint = .tcp(host: isBracketed ? String(host.dropFirst().dropLast()) : host, port: port)
            database = try Self.database(parts.path.hasPrefix("/") ? String(parts.path.dropFirst()) : parts.path)
            if parts.scheme == "rediss" { tls = RedisTLS() }
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
        if let sentinels {
            return "the master \(sentinels.master) of \(sentinels.addresses.map(\.safeDescription).joined(separator: ", "))"
        }
        return switch endpoint {
        case .tcp(let host, let port):
            "redis\(tls == nil ? "" : "s")://\(host.contains(":") ? "[\(host)]" : host):\(port)/\(database)"
        case .unix(let path): "unix://\(path)" + (database == 0 ? "" : "?db=\(database)")
        }
    }
}

extension RedisAddress {
    /// What is wrong with a URL, or nil.
    public static func problem(of text: String) -> String? {
        problem { () throws(Malformed) in try RedisAddress(text) }
    }

    /// What is wrong with one of `redis.sentinels`, or nil.
    public static func problem(ofSentinel text: String) -> String? {
        problem { () throws(Malformed) in try sentinel(text) }
    }

    private static func problem(_ read: () throws(Malformed) -> RedisAddress) -> String? {
        do {
            _ = try read()
            return nil
        } catch {
            return error.description
        }
    }
}
