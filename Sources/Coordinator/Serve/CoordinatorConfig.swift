import Cluster
import Config
import Program
import Records
import Redis

/// The configuration of a coordinator; every key is described in `cluster/coordinator.toml`.
public struct CoordinatorConfig: ServerConfig, Hashable {
    /// `[http]`.
    public var http: ListenSettings
    /// `[auth]`.
    public var auth: CredentialSettings
    /// `[redis]`.
    public var redis: RedisSettings
    /// `[[nodes]]`.
    public var nodes: [StaticNode]
    /// `[routing]`.
    public var routing: RoutingSettings
    /// `[cascade]`.
    public var cascade: CascadeSettings
    /// `[extra_ice]`.
    public var extraICE: ExtraICESettings
    /// `[recorder.storage]`: where objects are; nil: each node has its own and is asked for them.
    public var storage: StorageSettings?
    /// `[database]`.
    public var database: DatabaseSettings
    /// `[auto_record]`.
    public var autoRecord: AutoRecordSettings
    /// `[playback]`.
    public var playback: PlaybackSettings
    /// `[limits]`.
    public var limits: LimitSettings
    /// `[log]`.
    public var log: LogSettings

    /// Reads every section.
    public init(reading root: ConfigSection) {
        http = ListenSettings(reading: root, port: 8888)
        auth = CredentialSettings(reading: root, listen: http.listen)
        redis = RedisSettings(
            reading: root, check: RedisAddress.problem(of:), checkSentinel: RedisAddress.problem(ofSentinel:))
        nodes = StaticNode.all(reading: root)
        routing = RoutingSettings(reading: root)
        cascade = CascadeSettings(reading: root)
        extraICE = ExtraICESettings(reading: root)
        let recorder = root.section("recorder")
        let read = StorageSettings(reading: recorder)
        storage = recorder.isSet("storage.type") || recorder.isSet("storage.root") ? read : nil
        database = DatabaseSettings(reading: root)
        autoRecord = AutoRecordSettings(reading: root)
        playback = PlaybackSettings(reading: root, storage: storage)
        limits = LimitSettings(reading: root)
        log = LogSettings(reading: root)
    }

    /// Directories and the database writable, certificates readable, port free.
    public func check(_ machine: ConfigChecks) {
        http.check(machine)
        redis.check(machine)
        storage?.check(machine)
        if case .sqlite(let path) = database.location { machine.writable(file: path, key: "database.url") }
    }
}

/// One of `[[nodes]]`: a node that is followed over SSE and needn't register anywhere.
public struct StaticNode: Sendable, Hashable {
    /// `alias`, as the node itself says it.
    public var alias: String
    /// `url` of its HTTP API.
    public var url: String
    /// `token` sent to it; may be empty.
    public var token: String

    static func all(reading root: ConfigSection) -> [StaticNode] {
        var nodes: [StaticNode] = []
        for section in root.sections("nodes") {
            let rule = "must be 1 to 64 of A-Z a-z 0-9 _ . - and not start with a dot"
            let node = StaticNode(
                alias: section.string("alias") { NodeAlias.isValid($0) ? nil : rule },
                url: section.baseURL("url", isOptional: false),
                token: section.string("token") {
                    $0.utf8.allSatisfy { (0x21...0x7E).contains($0) } ? nil : "must be visible ASCII without spaces"
                })
            for key in ["alias", "url"] where !section.isSet(key) { section.problem(key, "must be set") }
            if !node.alias.isEmpty, nodes.contains(where: { $0.alias == node.alias }) { section.problem("alias", "stands twice") }
            if !node.url.isEmpty, nodes.contains(where: { $0.url == node.url }) { section.problem("url", "stands twice") }
            nodes.append(node)
        }
        return nodes
    }
}

/// `[routing]`: how sessions are spread over nodes.
public struct RoutingSettings: Sendable, Hashable {
    /// How a client gets to its node.
    public enum Mode: String, Sendable, CaseIterable {
        /// The coordinator passes SDP on.
        case proxy
        /// The client is sent to the node (307).
        case redirect
    }

    /// Which node is taken.
    public enum Policy: String, Sendable, CaseIterable {
        /// The one with the least load altogether.
        case leastLoaded = "least_loaded"
        /// The least loaded one of the client's region.
        case nearest
    }

    /// `mode`.
    public var mode: Mode
    /// `policy`.
    public var policy: Policy

    init(reading root: ConfigSection) {
        let routing = root.section("routing")
        mode = routing.choice("mode", default: .proxy)
        policy = routing.choice("policy", default: .leastLoaded)
    }
}

/// `[cascade]`: how a stream gets from one node to another.
public struct CascadeSettings: Sendable, Hashable {
    /// Which of the two nodes connects.
    public enum Mode: String, Sendable, CaseIterable {
        /// The node that needs the stream plays it from the one that has it.
        case pull
        /// The node that has the stream publishes it to the one that needs it.
        case push
    }

    /// `mode`.
    public var mode: Mode
    /// `idle_seconds` without viewers until a cascade ends.
    public var idleSeconds: Int
    /// `max_depth`: nodes that a stream may go through after the one it was published on.
    public var depthMax: Int

    init(reading root: ConfigSection) {
        let cascade = root.section("cascade")
        mode = cascade.choice("mode", default: .pull)
        idleSeconds = cascade.integer("idle_seconds", default: 60, in: 1...86_400)
        depthMax = cascade.integer("max_depth", default: 4, in: 1...16)
    }
}

/// `[database]`: the recording index.
public struct DatabaseSettings: Sendable, Hashable {
    /// `url`.
    public var location: IndexLocation

    static let defaultPath = "./coordinator.db"

    init(reading root: ConfigSection) {
        let url = root.section("database").string("url", default: "sqlite:\(Self.defaultPath)") {
            IndexLocation($0) == nil ? "expected sqlite:PATH or postgresql://user:password@host/database" : nil
        }
        location = IndexLocation(url) ?? .sqlite(path: Self.defaultPath)
    }
}

/// `[auto_record]`: recordings the coordinator asks nodes for.
public struct AutoRecordSettings: Sendable, Hashable {
    /// `enabled`.
    public var isEnabled: Bool
    /// `auto_streams`: patterns of stream names.
    public var autoStreams: [String]
    /// `base_prefix` of the directories asked for; empty: the node's own layout.
    public var basePrefix: String
    /// `tick_ms` between two looks at the streams.
    public var tickMs: Int
    /// `max_recording_seconds` until a new recording begins, 60 at least; 0: never.
    public var maxRecordingSeconds: Int

    init(reading root: ConfigSection) {
        let section = root.section("auto_record")
        isEnabled = section.flag("enabled", default: false)
        autoStreams = section.strings("auto_streams") {
            StreamPattern($0) == nil ? "not a pattern of stream names: * is any text, ? one character" : nil
        }
        basePrefix = section.string("base_prefix") { text in
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            let isPlain = text.isEmpty || parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." && !$0.contains("\\") }
            return isPlain ? nil : "must be a relative path without . and .."
        }
        tickMs = section.integer("tick_ms", default: 5_000, in: 100...3_600_000)
        let range = RecordingOrder.secondsRange
        maxRecordingSeconds = section.integer("max_recording_seconds", default: 86_400, in: 0...range.upperBound)
        if !RecordingOrder.accepts(seconds: maxRecordingSeconds) {
            section.problem("max_recording_seconds", "must be 0 or from \(range.lowerBound) to \(range.upperBound)")
        }
        if isEnabled, autoStreams.isEmpty { section.problem("enabled", "records nothing without auto_record.auto_streams") }
    }
}

/// `[playback]`: how objects get to players.
public struct PlaybackSettings: Sendable, Hashable {
    /// `signed_redirect`: players are sent to the object store with a signed URL (307).
    public var isSignedRedirect: Bool
    /// `signed_ttl_seconds`: how long such a URL works.
    public var signedTTLSeconds: Int
    /// `cache_bytes`: memory for objects that many players ask for at once, manifests for a quarter of a second each; 0: none.
    public var cacheBytes: Int

    init(reading root: ConfigSection, storage: StorageSettings?) {
        let playback = root.section("playback")
        isSignedRedirect = playback.flag("signed_redirect", default: false)
        signedTTLSeconds = playback.integer("signed_ttl_seconds", default: 60, in: 30...604_800)
        cacheBytes = playback.bytes("cache_bytes", default: 64 << 20, in: 0...1 << 40)
        guard isSignedRedirect else { return }
        switch storage {
        case .s3, .oss: break
        case .fs, nil: playback.problem("signed_redirect", #"needs recorder.storage.type = "s3" or "oss""#)
        }
    }
}
