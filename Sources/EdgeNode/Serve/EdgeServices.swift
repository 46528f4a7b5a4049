import Buckets
import Cascade
import Cluster
import Config
import Foundation
import HTTP
import Log
import MediaPlane
import Program
import Record
import Redis
import State
import Store
import Streams
import Synchronization

/// Why the node cannot start, in one line that names the key.
struct StartError: Error, CustomStringConvertible {
    let message: String
    var description: String { message }
}

/// Everything that runs in an edge node, put together.
///
/// HTTP starts last, so that whoever is let in finds everything there. Stopping goes by what clients see: no new sessions,
/// recordings finished, sessions ended with a goodbye, and the HTTP server last.
public final class EdgeServices: Server {
    let registry: StreamRegistry
    let plane: MediaPlane
    let node: NodeReporter
    let recorder: Recorder
    let cascades: CascadeDesk
    private let drain: NodeDrain
    private let following: RecordingFollower
    private let config: EdgeConfig
    let router: Router
    private let server: HTTPServer
    private let state: StatePublisher?
    private let lock: PublisherLock?
    private let followers = Mutex<[Task<Void, Never>]>([])

    /// Where the HTTP API is, with the port really bound.
    public var url: String { server.url }

    /// Binds every socket; nothing is served yet.
    init(_ config: EdgeConfig) async throws(StartError) {
        self.config = config
        let (store, remote) = try Self.stores(config.recorder)
        plane = try Self.plane(config.webrtc)
        // The configuration has been checked, so that nothing is thrown.
        let redis = (try? RedisAddress(config.redis)).map { RedisConnection($0) }
        let keys = StateKeys(prefix: config.redis.prefix)
        let lock = redis.map { PublisherLock(redis: $0, keys: keys, alias: config.node.alias) }
        self.lock = lock
        registry = StreamRegistry(plane: plane, settings: StreamSettings(config), claims: lock)
        cascades = CascadeDesk(registry: registry, settings: CascadeDesk.Settings(config.cascade))
        node = NodeReporter(
            settings: config.node, url: config.node.advertisedURL(http: config.http, port: config.http.listen.port),
            registry: registry, plane: plane)
        recorder = try await Self.recorder(config.recorder, plane: plane, store: store, remote: remote)
        following = RecordingFollower(recorder: recorder, registry: registry, node: node)
        drain = NodeDrain(registry: registry, recorder: recorder, node: node, following: following)
        state = redis.map { [node, registry] redis in
            StatePublisher(redis: redis, keys: keys, afterSilence: { await lock?.renew(for: registry) }) {
                NodeState(node: await node.record(), streams: await registry.records())
            }
        }
        do throws(HTTPServerError) {
            router = EdgeRoutes(
                config: config, registry: registry, cascades: cascades, plane: plane, node: node, recorder: recorder,
                following: following, drain: drain,
                store: remote.map { SpooledStore(spool: store, remote: $0) } ?? store, state: state
            ).router()
            server = try HTTPServer(HTTPServerSettings(config.http, config.limits), router: router)
        } catch {
            await state?.stop()
            await recorder.stopAll()
            await plane.shutdown()
            throw StartError(message: error.description)
        }
        await node.setURL(config.node.advertisedURL(http: config.http, port: server.port))
    }

    /// Begins to serve.
    public func start() async throws {
        do {
            try await state?.claimAlias()
        } catch {
            await stop()
            throw StartError(message: error.description)
        }
        await registry.start()
        await cascades.start(config.cascade.declared)
        if config.recorder.isEnabled {
            // Not before the alias is this node's: what was recorded under it goes by this node's rules.
            recorder.startKeeping()
            await following.start()
        }
        do throws(HTTPServerError) {
            try server.start()
        } catch {
            await stop()
            throw error
        }
        followers.withLock { [registry] in $0.append(Task { await FreedMemory.follow(registry) }) }
        guard let state else { return }
        state.start()
        let (changes, orders) = (await registry.changes(), await node.changes())
        followers.withLock { followers in
            followers += [
                Task { for await _ in changes { state.changed() } },
                Task { for await _ in orders { state.changed() } },
                Task { await self.keepClaims() },
            ]
        }
    }

    private func keepClaims() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(StateKeys.heartbeatMs))
            await lock?.renew(for: registry)
        }
    }

    /// Takes no new sessions, ends those that are there and stops everything.
    public func stop() async {
        let latestAnswer = StopTime.latestAnswer()
        await drain.stop()
        await node.setStatus(.draining)
        await registry.drain()
        state?.changed()
        await recorder.stopAll()
        await cascades.stop()
        following.stop()
        await registry.stop()
        await plane.shutdown()
        followers.withLock { $0.forEach { $0.cancel() } }
        await state?.stop()
        await server.stop(by: latestAnswer)
    }

    /// Where recordings are written, and where they go from there.
    private static func stores(
        _ settings: RecorderSettings
    ) throws(StartError) -> (local: FileStore, remote: (any ObjectStore)?) {
        if case .fs(let root) = settings.storage { return (try directory(root, key: "recorder.storage.root"), nil) }
        let spool = try directory(settings.spoolDirectory, key: "recorder.spool.dir")
        do throws(StoreError) {
            return (
                spool,
                try BucketStore.open(settings.storage, client: HTTPClient(), environment: ProcessInfo.processInfo.environment)
            )
        } catch {
            throw StartError(message: "recorder.storage: \(error)")
        }
    }

    private static func directory(_ root: String, key: String) throws(StartError) -> FileStore {
        do throws(StoreError) {
            return try FileStore(root: root)
        } catch {
            throw StartError(message: "\(key): \(root): \(error)")
        }
    }

    /// The recorder, with recordings of a killed process finished before anything new is written.
    private static func recorder(
        _ settings: RecorderSettings, plane: MediaPlane, store: FileStore, remote: (any ObjectStore)?
    ) async throws(StartError) -> Recorder {
        do throws(RecordError) {
            let recorder = try Recorder(
                settings: RecordSettings(settings), plane: plane, store: store, remote: remote,
                nodeAlias: settings.nodeAlias)
            guard settings.isEnabled else { return recorder }
            let found = try await recorder.recover()
            if found.recordings > 0 {
                Logger("edge").info(
                    "recordings were found", ["count": String(found.recordings), "finished": String(found.repaired)])
            }
            return recorder
        } catch {
            await plane.shutdown()
            throw StartError(message: "recorder: \(HTTPError(error).message)")
        }
    }

    private static func plane(_ webrtc: WebRTCSettings) throws(StartError) -> MediaPlane {
        var settings = MediaSettings()
        settings.udpPort = webrtc.udpPort
        settings.tcpPort = webrtc.tcpPort
        settings.publicIPs = webrtc.publicIPs
        settings.loops = webrtc.loops
        settings.publisherBitrateMax = webrtc.publisherBitrateMax
        settings.hasDataChannels = webrtc.dataChannels
        if let address = webrtc.iceUDPAddresses.first(where: { $0 != "auto" }) { settings.bindAddress = address }
        do throws(MediaPlaneError) {
            return try MediaPlane(settings)
        } catch {
            let key =
                switch error {
                case .portInUse: "webrtc.udp_port"
                case .tcpPortInUse: "webrtc.tcp_port"
                case .address: "webrtc.ice_udp_addrs"
                default: "webrtc"
                }
            throw StartError(message: "\(key): \(error.description)")
        }
    }
}

extension PublisherLock {
    /// Renews the claims on streams that are published here, and ends publishers whose claim is lost.
    fileprivate func renew(for registry: StreamRegistry) async {
        for change in await renew() {
            switch change {
            case .fenced(let stream, let fence): await registry.claimed(stream: stream, fence: fence)
            case .lost(let stream, let node): await registry.lostClaim(stream: stream, to: node)
            }
        }
    }
}

extension StreamSettings {
    init(_ config: EdgeConfig) {
        self.init()
        func limit(_ value: Int) -> Int? { value > 0 ? value : nil }
        alias = config.node.alias
        relayDepthMax = config.cascade.depthMax
        autoCreateWHIP = config.strategy.autoCreateWhip
        autoCreateWHEP = config.strategy.autoCreateWhep
        autoDeleteWHIPMs = config.strategy.autoDeleteWhip < 0 ? nil : config.strategy.autoDeleteWhip
        autoDeleteWHEPMs = config.strategy.autoDeleteWhep < 0 ? nil : config.strategy.autoDeleteWhep
        overridePublisher = config.strategy.overridePublisher
        requiresIfMatch = config.webrtc.requiresIfMatch
        subscribersPerStreamMax = min(config.strategy.eachStreamMaxSub, limit(config.limits.maxSubsPerStream) ?? .max)
        sessionsMax = limit(config.limits.maxSessions)
        sessionsPerAddressMax = limit(config.limits.maxSessionsPerAddress)
        sessionsPerCredentialMax = limit(config.limits.maxSessionsPerToken)
        publishersMax = limit(config.node.pubMax)
        subscribersMax = limit(config.node.subMax)
        pathReports = config.webrtc.pathReports
        acceptsLateVideo = config.webrtc.acceptsLateVideo
    }
}

extension RecordSettings {
    init(_ settings: RecorderSettings) {
        self.init(
            autoStreams: settings.autoStreams.compactMap(StreamPattern.init), segmentSeconds: settings.segmentSeconds,
            recordingSecondsMax: settings.maxRecordingSeconds, freeBytesMin: Int64(settings.minFreeSpace),
            freePercentMin: settings.minFreePercent, makesRoom: settings.whenFull == .deleteOldest,
            spoolBytesMax: Int64(settings.spoolBytesMax), soundTarget: settings.transcodeAudio.target,
            retention: Retention(
                days: settings.retentionDays,
                rules: settings.retention.compactMap { rule in
                    StreamPattern(rule.pattern).map { Retention.Rule(pattern: $0, days: rule.days) }
                }),
            ownsAlias: settings.ownsAlias, hooks: HookSettings(settings.hooks))
    }
}

extension HookSettings {
    init(_ options: HookOptions) {
        self.init(
            url: options.url, command: options.command, events: options.events, timeoutMs: Int(options.timeoutSeconds * 1000),
            secret: options.secret)
    }
}
