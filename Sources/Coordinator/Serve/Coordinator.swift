import Auth
import Buckets
import Cluster
import Config
import Foundation
import HTTP
import Log
import Nodes
import Playback
import Program
import Records
import Redis
import Route
import Store

/// A running coordinator: everything its configuration asks for, put together.
public final class Coordinator: Server {
    private let server: HTTPServer
    private let client: HTTPClient
    private let objectClient: HTTPClient
    private let directory: NodeDirectory
    private let index: RecordingIndex
    private let sync: RecordingSync
    private let storeSync: StoreSync?
    private let follower: LiveFollower
    private let autoRecorder: AutoRecorder?
    private let clocks: ClockKeeper
    private let watch: ViewWatch
    private let log = Logger("coordinator")

    /// `http://host:port` it listens on.
    public var url: String { server.url }
    /// The port it listens on.
    public var port: UInt16 { server.port }

    /// Opens the index and the port. Nothing is answered or followed before `start()`.
    /// - Parameter webFolder: where the web page's files are; nil looks beside the program.
    /// - Throws: what can't be opened, in words: `IndexError`, `HTTPServerError`, `StoreError`.
    public init(_ config: CoordinatorConfig, webFolder: String? = nil) async throws {
        index = RecordingIndex(config.database.location)
        try await index.open()
        client = HTTPClient()
        // Players that read slowly hold connections; offers and records must not queue behind them.
        var settings = HTTPClient.Settings()
        settings.maxConnectionsPerHost = 2_048
        objectClient = HTTPClient(settings)
        let registry = try Self.registry(config.redis)
        directory = NodeDirectory(
            nodes: config.nodes.map { ConfiguredNode(alias: $0.alias, url: $0.url, token: $0.token) }, client: client,
            registry: registry, memory: registry ?? IndexMemory(index), sharedToken: config.auth.tokens.first)
        sync = RecordingSync(directory: directory, index: index, client: client)
        let wallUs: @Sendable () -> Int64 = { Int64(Date().timeIntervalSince1970 * 1e6) }
        clocks = ClockKeeper(directory: directory, index: index, wallUs: wallUs)
        autoRecorder = AutoRecordRules(config.autoRecord).map { [directory, index, client] rules in
            AutoRecorder(rules, directory: directory, index: index, client: client, wallUs: wallUs)
        }
        let web = webFolder.map { WebFolder($0) } ?? WebFolder.find()
        if web == nil { log.warning("the web page's files are not found; only the API is served") }
        let store = try Self.store(config.storage, objectClient)
        let stored = store.map { [index] in StoredRecordings(store: $0, index: index, nowUs: wallUs) }
        storeSync = stored.map { [directory, sync] in StoreSync($0, directory: directory, sync: sync) }
        let objects = ObjectProxy(
            index: index, directory: directory, client: objectClient, store: store,
            redirectSeconds: config.playback.isSignedRedirect ? config.playback.signedTTLSeconds : nil,
            cache: ObjectCache.make(bytes: config.playback.cacheBytes))
        follower = LiveFollower(
            directory: directory, client: objectClient, firstVersion: wallUs())
        let caller = NodeCaller(client: client, bodyBytesMax: config.http.maxBody)
        let desk = RouteDesk(cascades: CascadeStarter(caller: caller, settings: config.cascade))
        let cascades = CascadeKeeper(desk: desk, depthMax: config.cascade.depthMax)
        let drains = DrainKeeper(caller: caller)
        let rules = AutoRecordRules(config.autoRecord)
        let handover = RecordingHandover(caller: caller) { rules?.covers($0) ?? false }
        watch = ViewWatch(directory) { view in
            await cascades.look(view)
            await drains.look(view)
            await handover.look(view)
        }
        let metrics = CoordinatorMetrics(
            directory: directory, desk: desk, index: index, sync: sync, storeSync: storeSync, registry: registry,
            cache: objects.cache)
        let router = Self.router(config, desk, caller, directory, index, objects, stored, follower, metrics, web)
        server = try HTTPServer(HTTPServerSettings(config.http, config.limits), router: router)
    }

    /// Begins to follow nodes and to answer requests.
    public func start() async throws {
        await directory.start()
        await sync.start()
        await storeSync?.start()
        await clocks.start()
        await autoRecorder?.start()
        await watch.start()
        try server.start()
    }

    /// Stops answering, lets running requests end, and closes everything. Safe to call twice.
    public func stop() async {
        let latestAnswer = StopTime.latestAnswer()
        // The feeds end first: an event stream would otherwise hold the server open.
        await watch.stop()
        await autoRecorder?.stop()
        await clocks.stop()
        await storeSync?.stop()
        await sync.stop()
        await directory.stop()
        await follower.stop()
        await server.stop(by: latestAnswer)
        await client.shutdown()
        await objectClient.shutdown()
        await index.close()
    }

    private static func registry(_ settings: RedisSettings) throws -> RedisRegistry? {
        try RedisAddress(settings).map { RedisRegistry($0, prefix: settings.prefix) }
    }

    private static func router(
        _ config: CoordinatorConfig, _ desk: RouteDesk, _ caller: NodeCaller, _ directory: NodeDirectory, _ index: RecordingIndex,
        _ objects: ObjectProxy, _ stored: StoredRecordings?, _ follower: LiveFollower, _ metrics: CoordinatorMetrics,
        _ web: WebFolder?
    ) -> Router {
        let gate = Gate(Authorizer(AuthSettings(config.auth)))
        let requests = RequestMetrics()
        var router = GuardedRouter(gate)
        router.add { $0.use(requests, config.limits) }
        SignalingRoutes(
            directory: directory, desk: desk, gate: gate, caller: caller, routing: config.routing, limits: config.limits,
            extraICE: ExtraICE(config.extraICE)
        ).add(to: &router)
        ClusterRoutes(directory: directory, desk: desk, caller: caller).add(to: &router)
        RecordRoutes(directory: directory, caller: caller).add(to: &router)
        let recorded = ClusterPlayback(
            catalog: PlaybackCatalog(index: index, directory: directory), directory: directory, client: objects.client,
            store: objects.store, follower: follower)
        RecordedRoutes(source: recorded, objects: objects, index: index, stored: stored, caller: caller).add(to: &router)
        StorageRoutes(store: objects.store).add(to: &router)
        router.add { TokenRoutes(gate).add(to: &$0) }
        router.add { TimeRoute.add(to: &$0) }
        let system = SystemRoutes(
            CoordinatorProgram.description, requests: requests, metricsGate: config.auth.guardsMetrics ? gate : nil,
            health: {
                do throws(IndexError) {
                    _ = try await index.counts()
                } catch {
                    throw HTTPError(.serviceUnavailable, "the recording index can't be read: \(error)")
                }
            },
            info: { CoordinatorInfo(features: config.features) }, metrics: { try await metrics.add(to: &$0) })
        router.add { system.add(to: &$0) }
        web?.add(to: &router)
        return router.router
    }

    private static func store(_ settings: StorageSettings?, _ client: HTTPClient) throws -> (any ObjectStore)? {
        guard let settings else { return nil }
        return try BucketStore.open(settings, client: client, environment: ProcessInfo.processInfo.environment)
    }
}

extension CoordinatorConfig {
    fileprivate var features: [String] {
        var features = ["whip", "whep", "playback", routing.mode == .proxy ? "proxy" : "redirect"]
        if redis.isEnabled { features.append("redis") }
        if storage != nil { features.append("storage") }
        if autoRecord.isEnabled { features.append("auto_record") }
        return features
    }
}

extension AutoRecordRules {
    fileprivate init?(_ settings: AutoRecordSettings) {
        guard settings.isEnabled else { return nil }
        self.init(
            patterns: settings.autoStreams.compactMap { StreamPattern($0) }, basePrefix: settings.basePrefix,
            tickMs: settings.tickMs, maxSeconds: settings.maxRecordingSeconds)
    }
}

/// What `/api/info` tells.
private struct CoordinatorInfo: Encodable {
    let name = CoordinatorProgram.description.name
    let program = CoordinatorProgram.description.name
    let version = ProgramVersion.current
    let features: [String]
}
