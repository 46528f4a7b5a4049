import Auth
import Config
import HTTP
import Log
import MediaPlane
import SDP
import Streams

/// Why the node cannot start, in one line that names the key.
struct StartError: Error {
    let message: String
}

/// Everything that runs in an edge node, put together.
///
/// HTTP starts last, so that whoever is let in finds everything there. Stopping goes by what clients see: no new sessions,
/// recordings finished, sessions ended with a goodbye, and the HTTP server last.
final class EdgeServices: Sendable {
    let registry: StreamRegistry
    let plane: MediaPlane
    let node: NodeReporter
    private let config: EdgeConfig
    private let server: HTTPServer

    /// Where the HTTP API is, with the port really bound.
    var url: String { server.url }

    /// Binds every socket; nothing is served yet.
    init(_ config: EdgeConfig) async throws(StartError) {
        self.config = config
        plane = try Self.plane(config.webrtc)
        registry = StreamRegistry(plane: plane, settings: StreamSettings(config))
        node = NodeReporter(
            settings: config.node, url: config.node.advertisedURL(http: config.http, port: config.http.listen.port),
            registry: registry, plane: plane)
        do throws(HTTPServerError) {
            server = try HTTPServer(
                HTTPServerSettings(config.http),
                router: EdgeRoutes(config: config, registry: registry, plane: plane, node: node).router())
        } catch {
            await plane.shutdown()
            throw StartError(message: error.description)
        }
        await node.setURL(config.node.advertisedURL(http: config.http, port: server.port))
    }

    /// Begins to serve.
    func start() async throws(StartError) {
        await registry.start()
        do throws(HTTPServerError) {
            try server.start()
        } catch {
            await stop()
            throw StartError(message: error.description)
        }
    }

    /// Takes no new sessions, ends those that are there and stops everything.
    func stop() async {
        await node.setDraining()
        await registry.drain()
        await registry.stop()
        await plane.shutdown()
        await server.stop()
    }

    private static func plane(_ webrtc: WebRTCSettings) throws(StartError) -> MediaPlane {
        var settings = MediaSettings()
        settings.udpPort = webrtc.udpPort
        settings.publicIPs = webrtc.publicIPs
        settings.loops = webrtc.loops
        if let address = webrtc.iceUDPAddresses.first(where: { $0 != "auto" }) { settings.bindAddress = address }
        do throws(MediaPlaneError) {
            return try MediaPlane(settings)
        } catch {
            let key =
                switch error {
                case .portInUse: "webrtc.udp_port"
                case .address: "webrtc.ice_udp_addrs"
                default: "webrtc"
                }
            throw StartError(message: "\(key): \(error.description)")
        }
    }
}

extension StreamSettings {
    init(_ config: EdgeConfig) {
        self.init()
        func limit(_ value: Int) -> Int? { value > 0 ? value : nil }
        autoCreateWHIP = config.strategy.autoCreateWhip
        autoCreateWHEP = config.strategy.autoCreateWhep
        autoDeleteWHIPMs = config.strategy.autoDeleteWhip < 0 ? nil : config.strategy.autoDeleteWhip
        autoDeleteWHEPMs = config.strategy.autoDeleteWhep < 0 ? nil : config.strategy.autoDeleteWhep
        overridePublisher = config.strategy.overridePublisher
        subscribersPerStreamMax = min(config.strategy.eachStreamMaxSub, limit(config.limits.maxSubsPerStream) ?? .max)
        sessionsMax = limit(config.limits.maxSessions)
        publishersMax = limit(config.node.pubMax)
        subscribersMax = limit(config.node.subMax)
    }
}

extension HTTPServerSettings {
    init(_ http: ListenSettings) {
        self.init(listen: http.listen.description)
        tlsCertificate = http.isTLS ? http.tlsCert : nil
        tlsKey = http.isTLS ? http.tlsKey : nil
        cors = !http.corsOrigins.isEmpty
        maxBody = http.maxBody
    }
}

extension AuthSettings {
    init(_ auth: CredentialSettings) {
        self.init(
            tokens: auth.tokens, secret: auth.secret, roomTokens: auth.roomTokens,
            accounts: Dictionary(auth.accounts.map { ($0.username, $0.password) }, uniquingKeysWith: { first, _ in first }))
    }
}
