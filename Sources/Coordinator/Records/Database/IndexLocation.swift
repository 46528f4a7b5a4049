import CPostgreSQL

/// Where a recording index is kept, from `database.url`.
public enum IndexLocation: Sendable, Hashable {
    /// In a file of this path.
    case sqlite(path: String)
    /// In a PostgreSQL database, which any number of coordinators may share.
    case postgresql(PostgresAddress)

    /// Reads `sqlite:PATH`, `sqlite://PATH`, `postgresql://…` or `postgres://…`; nil when it is none of them.
    public init?(_ url: String) {
        if let address = PostgresAddress(url) {
            self = .postgresql(address)
        } else if url.hasPrefix("sqlite:") {
            let rest = url.dropFirst("sqlite:".count)
            let path = rest.hasPrefix("//") ? rest.dropFirst(2) : rest
            guard !path.isEmpty, !path.hasSuffix("/") else { return nil }
            self = .sqlite(path: String(path))
        } else {
            return nil
        }
    }
}

/// Where a PostgreSQL database is and who we are there: a connection URI as libpq knows it (PostgreSQL manual, 34.1.1.2), with
/// several hosts, `sslmode` and the like.
public struct PostgresAddress: Sendable, Hashable, CustomStringConvertible {
    /// For libpq only: it may hold a password.
    let url: String
    /// For logs: hosts, ports and database, without user and password.
    public let description: String

    /// Nil when libpq does not understand it, or when it would take a piece of the password for the host.
    public init?(_ url: String) {
        guard ["postgresql://", "postgres://"].contains(where: { url.hasPrefix($0) }), !url.utf8.contains(0) else { return nil }
        // Its words on what it does not understand would repeat it.
        guard let options = PQconninfoParse(url, nil) else { return nil }
        defer { PQconninfoFree(options) }
        var values: [String: String] = [:]
        var option = options
        while let name = option.pointee.keyword {
            if let value = option.pointee.val { values[String(cString: name)] = String(cString: value) }
            option += 1
        }
        let hosts = values["host"] ?? values["hostaddr"] ?? ""
        let ports = values["port"] ?? ""
        // One for each host, or none.
        let areNumbers = ports.split(separator: ",").allSatisfy { UInt16($0) != nil }
        guard !hosts.contains("@"), areNumbers else { return nil }
        self.url = url
        let shown = ports.contains(where: \.isNumber) ? ":\(ports)" : ""
        description = "postgresql://\(hosts)\(shown)/\(values["dbname"] ?? "")"
    }
}
