#if canImport(Glibc)
    import Glibc
#endif

/// How a server listens and what it lets a client do. Units are in the names.
public struct HTTPServerSettings: Sendable {
    /// `host:port`; the host is a numeric address or a name, `[…]` around IPv6, empty for all interfaces; port 0 takes any free one.
    public var listen: String
    /// Path of a PEM certificate chain; with `tlsKey` it turns on TLS.
    public var tlsCertificate: String?
    /// Path of the PEM private key.
    public var tlsKey: String?
    /// Threads that serve connections; handlers that may wait don't run on them. By default one for each two processors: a thread that
    /// always has something to do wakes less often, and costs less for each request, than two that share it.
    public var threads = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)) / 2)
    /// Whose pages may read the answers.
    public var cors = CORS.off
    /// The limit of a request body when the handler names none, in bytes.
    public var maxBody = 1 << 20
    /// The longest time from a connection's or request's first byte to the end of its header. Of a further request it is the first byte that
    /// comes a quarter of a second or more after the answer before, or the end of its first line.
    public var headerSeconds = 5
    /// The longest time that a body may come in while there is room for it, unless it comes at 16 KiB/s or more.
    public var bodySeconds = 10
    /// The longest silence of a connection that is not waiting for a handler, in seconds.
    public var idleSeconds = 60
    /// The longest request header taken, and the longest target in it; more gets 431, and 414.
    public var headerBytesMax = 16 << 10
    /// Header and buffer memory of one connection in bytes. The library refuses what doesn't fit by itself, in HTML and without CORS, which a
    /// page of another origin can't read, so there is room for more than the header that is let in. Not for much more: it clears all of it
    /// after each answer, which for 96 KiB was a third of what a small answer costs, for 32 KiB a sixteenth.
    public var connectionMemoryBytes = 24 << 10
    /// The most connections at once.
    public var maxConnections = 4096
    /// Who may say in `X-Forwarded-For` whose request it passes on, by numeric address.
    public var isTrustedProxy: @Sendable (_ address: String) -> Bool = { _ in false }
    /// Whether a client's address is held to what one address may have.
    public var countsAddress: @Sendable (_ address: String) -> Bool = { _ in true }
    /// The most connections from one address that is counted; an IPv6 network of 64 bits is one. 0 for no limit.
    public var maxConnectionsPerAddress = 0
    /// What may be buffered of a request's body before its sender has to wait, in bytes.
    public var bodyBufferBytes = 256 << 10
    /// What may be buffered of a streamed answer before its writer has to wait, in bytes: so much memory costs a client that reads slowly.
    public var answerBufferBytes = 32 << 10
    /// Memory for small files that are sent often, in bytes; as much again may be on its way to slow clients. 0 for none.
    public var fileMemoryBytes = 32 << 20
    /// The longest WebSocket message taken, in bytes.
    public var webSocketMessageBytes = 1 << 20
    /// How long ``HTTPServer/stop()`` lets running handlers finish, in seconds.
    public var stopSeconds = 5

    /// Settings with the defaults above.
    public init(listen: String = "127.0.0.1:0") { self.listen = listen }

    /// What stands for an address in counts; nil when it isn't counted.
    func countedNetwork(of address: String) -> String? { countsAddress(address) ? ClientNetwork.name(of: address) : nil }
}

/// Why a server can't listen.
public enum HTTPServerError: Error, Sendable, CustomStringConvertible {
    /// `listen` is not `host:port`, or the host has no address.
    case badListenAddress(listen: String)
    /// Another program has the port.
    case addressInUse(listen: String)
    /// The system refused for another reason.
    case cannotListen(listen: String, reason: String)
    /// Certificate or key can't be read or don't fit.
    case badCertificate(reason: String)
    /// The library did not start.
    case cannotStart(listen: String)

    /// One line for the operator.
    public var description: String {
        switch self {
        case .badListenAddress(let listen): "http.listen = \"\(listen)\": not a host:port that can be listened on"
        case .addressInUse(let listen): "http.listen = \"\(listen)\": the port is in use by another program"
        case .cannotListen(let listen, let reason): "http.listen = \"\(listen)\": \(reason)"
        case .badCertificate(let reason): "http.tls_cert, http.tls_key: \(reason)"
        case .cannotStart(let listen): "http.listen = \"\(listen)\": the HTTP server did not start"
        }
    }
}
