import Auth
import Config
import HTTP

/// The STUN and TURN servers that WHIP and WHEP clients are told of.
public struct ICEServers: Sendable {
    private let servers: [ICEServerSettings]
    private let coturn: CoturnSettings

    /// The configured servers, and those that share a secret with us.
    public init(_ servers: [ICEServerSettings], _ coturn: CoturnSettings) { (self.servers, self.coturn) = (servers, coturn) }

    /// `Link` values (RFC 9725 section 4.6) for a client of `stream`, with credentials that last from now on.
    public func links(stream: String) -> [String] { links(stream: stream, nowSeconds: WallClock.seconds()) }

    /// - Parameter nowSeconds: the time of day, Unix seconds.
    func links(stream: String, nowSeconds: Int64) -> [String] {
        var links = servers.flatMap { server in
            server.urls.map { Self.link($0, username: server.username, password: server.credential) }
        }
        guard !coturn.urls.isEmpty else { return links }
        let credential = TURNCredential(
            secret: coturn.secret, user: stream, expiresAt: nowSeconds &+ Int64(coturn.ttlSeconds))
        links += coturn.urls.map { url in
            url.hasPrefix("turn")
                ? Self.link(url, username: credential.username, password: credential.password)
                : Self.link(url, username: "", password: "")
        }
        return links
    }

    /// Whether a `Link` value names an ICE server.
    public static func isServer(link: String) -> Bool {
        link.split(separator: ";").dropFirst().contains { part in
            let text = part.filter { !$0.isWhitespace && $0 != "\"" }.lowercased()
            return text == "rel=ice-server"
        }
    }

    /// In the spelling and order that MediaMTX's reader matches by regular expression.
    private static func link(_ url: String, username: String, password: String) -> String {
        let link = "<\(url)>; rel=\"ice-server\""
        guard !username.isEmpty else { return link }
        return link + "; username=\(quoted(username)); credential=\(quoted(password)); credential-type=\"password\""
    }

    /// A quoted-string (RFC 9110 section 5.6.4); what cannot stand in a header is left out.
    private static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars where scalar.value >= 0x20 && scalar.value != 0x7F {
            if scalar == "\"" || scalar == "\\" { out += "\\" }
            out.unicodeScalars.append(scalar)
        }
        return out + "\""
    }
}
