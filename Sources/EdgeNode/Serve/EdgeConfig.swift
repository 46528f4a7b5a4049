import Cluster
import Config
import Program
import Redis
import SDP

/// The configuration of an edge node; every key is described in `cluster/edge-node.toml`.
public struct EdgeConfig: ServerConfig, Hashable {
    /// `[node]`.
    public var node: NodeSettings
    /// `[http]`.
    public var http: ListenSettings
    /// `[webrtc]`.
    public var webrtc: WebRTCSettings
    /// `[auth]`.
    public var auth: CredentialSettings
    /// `[strategy]`.
    public var strategy: StrategySettings
    /// `[cascade]`.
    public var cascade: CascadeOptions
    /// `[recorder]`.
    public var recorder: RecorderSettings
    /// `[redis]`.
    public var redis: RedisSettings
    /// `[limits]`.
    public var limits: LimitSettings
    /// `[log]`.
    public var log: LogSettings

    /// Reads every section.
    public init(reading root: ConfigSection) {
        http = ListenSettings(reading: root, port: 7777)
        node = NodeSettings(reading: root, http: http)
        webrtc = WebRTCSettings(reading: root)
        auth = CredentialSettings(reading: root, listen: http.listen)
        strategy = StrategySettings(reading: root)
        cascade = CascadeOptions(reading: root)
        recorder = RecorderSettings(reading: root, node: node)
        redis = RedisSettings(
            reading: root, check: RedisAddress.problem(of:), checkSentinel: RedisAddress.problem(ofSentinel:))
        limits = LimitSettings(reading: root, isNode: true)
        log = LogSettings(reading: root)
    }

    /// Directories writable, certificates readable, ports free.
    public func check(_ machine: ConfigChecks) {
        http.check(machine)
        redis.check(machine)
        webrtc.check(machine)
        recorder.check(machine)
    }
}

/// `[node]`: who this node is in the cluster.
public struct NodeSettings: Sendable, Hashable {
    /// `alias`; made from host name and port when not set.
    public var alias: String
    /// `alias` was set: another machine of the same name does not have it by chance.
    public var isAliasGiven: Bool
    /// `url`: how others reach its HTTP API; empty when not set, see `advertisedURL`.
    public var url: String
    /// `region`, for the `nearest` policy.
    public var region: String
    /// `pub_max`: most publishers; 0 means no limit.
    public var pubMax: Int
    /// `sub_max`: most viewers; 0 means no limit.
    public var subMax: Int
    /// `labels`.
    public var labels: [String: String]

    init(reading root: ConfigSection, http: ListenSettings) {
        let node = root.section("node")
        let rule = "must be 1 to 64 of A-Z a-z 0-9 _ . - and not start with a dot"
        alias = node.string("alias") { $0.isEmpty || NodeAlias.isValid($0) ? nil : rule }
        isAliasGiven = !alias.isEmpty
        if alias.isEmpty { alias = HostName.alias(port: http.listen.port) }
        url = node.baseURL("url")
        region = node.string("region") { $0.utf8.count > 64 ? "must be at most 64 bytes" : nil }
        pubMax = node.integer("pub_max", default: 0, in: 0...1_000_000)
        subMax = node.integer("sub_max", default: 0, in: 0...1_000_000)
        labels = node.pairs("labels") { name, value in
            name.utf8.count > 64 || value.utf8.count > 256 ? "names are at most 64 bytes, values at most 256" : nil
        }
    }

    /// How others reach this node: `url`, or what `http.listen` says with the port really bound.
    public func advertisedURL(http: ListenSettings, port: UInt16) -> String {
        if !url.isEmpty { return url }
        let host = http.listen.isWildcard ? HostName.current : http.listen.host
        return "\(http.isTLS ? "https" : "http")://\(ListenAddress(host: host, port: port))"
    }
}

/// `[webrtc]`: the media side.
public struct WebRTCSettings: Sendable, Hashable {
    /// `udp_port`: of the first loop, the next ones take the ports after it; 0: any free ports.
    public var udpPort: UInt16
    /// `tcp_port`: for peers without UDP, of the first loop as `udp_port`; 0: any free ports; nil, written as -1: no TCP.
    public var tcpPort: UInt16?
    /// `public_ips`: put into answers instead of the local addresses (NAT 1:1).
    public var publicIPs: [String]
    /// `ice_udp_addrs`: local addresses to receive on; `auto`: all.
    public var iceUDPAddresses: [String]
    /// `loops`: media threads; 0: one per core.
    public var loops: Int
    /// `publisher_bitrate_max`: bit/s that publishers who know REMB only are told to keep below.
    public var publisherBitrateMax: UInt64
    /// `path_reports`: which viewers are asked to tell what their path carries (transport-wide congestion control, REMB).
    public var pathReports: PathReportPolicy
    /// `late_video`: whether who asks for video of a stream that has only sound is sent it once it comes.
    public var acceptsLateVideo: Bool
    /// `require_if_match`: whether a PATCH of a session without `If-Match` is refused.
    public var requiresIfMatch: Bool
    /// `[[webrtc.ice_servers]]`.
    public var iceServers: [ICEServerSettings]
    /// `[webrtc.coturn]`.
    public var coturn: CoturnSettings
    /// `data_channels`: whether messages pass between publishers and viewers.
    public var dataChannels: Bool

    init(reading root: ConfigSection) {
        let webrtc = root.section("webrtc")
        udpPort = UInt16(webrtc.integer("udp_port", default: 0, in: 0...65_535))
        let tcp = webrtc.integer("tcp_port", default: -1, in: -1...65_535)
        tcpPort = tcp < 0 ? nil : UInt16(tcp)
        publicIPs = webrtc.strings("public_ips") { IPLiteral.isValid($0) ? nil : "not an IP address" }
        iceUDPAddresses = webrtc.strings("ice_udp_addrs", default: ["auto"]) {
            $0 == "auto" || IPLiteral.isValid($0) ? nil : #"expected "auto" or an IP address"#
        }
        loops = webrtc.integer("loops", default: 0, in: 0...256)
        for (key, port) in [("udp_port", udpPort), ("tcp_port", tcpPort ?? 0)] where Int(port) + max(loops, 1) - 1 > 65_535 {
            webrtc.problem(key, "leaves no port for each of \(loops) loops")
        }
        publisherBitrateMax = UInt64(webrtc.integer("publisher_bitrate_max", default: 20_000_000, in: 100_000...1_000_000_000))
        pathReports = webrtc.choice("path_reports", default: .layers)
        acceptsLateVideo = webrtc.flag("late_video", default: false)
        requiresIfMatch = webrtc.flag("require_if_match", default: true)
        iceServers = ICEServerSettings.all(reading: webrtc)
        coturn = CoturnSettings(reading: webrtc)
        dataChannels = webrtc.flag("data_channels", default: true)
    }

    func check(_ machine: ConfigChecks) {
        let host = iceUDPAddresses.first { $0 != "auto" } ?? ""
        for loop in 0..<UInt16(max(loops, 1)) {
            if udpPort != 0 { machine.bindableUDP(host: host, port: udpPort + loop, key: "webrtc.udp_port") }
            if let tcpPort, tcpPort != 0 {
                machine.listenable(ListenAddress(host: host, port: tcpPort + loop), key: "webrtc.tcp_port")
            }
        }
    }
}

/// `[strategy]`: live777's names.
public struct StrategySettings: Sendable, Hashable {
    /// `auto_create_whip`: a publisher makes the stream.
    public var autoCreateWhip: Bool
    /// `auto_create_whep`: a viewer may wait for a stream that doesn't exist.
    public var autoCreateWhep: Bool
    /// `auto_delete_whip`: milliseconds after the publisher left until the stream goes; -1: never.
    public var autoDeleteWhip: Int
    /// `auto_delete_whep`: milliseconds after the last viewer left until the stream goes; -1: never.
    public var autoDeleteWhep: Int
    /// `each_stream_max_sub`: viewers of one stream.
    public var eachStreamMaxSub: Int
    /// `override_publisher`: a second publisher takes over without the same credential.
    public var overridePublisher: Bool

    init(reading root: ConfigSection) {
        let strategy = root.section("strategy")
        autoCreateWhip = strategy.flag("auto_create_whip", default: true)
        autoCreateWhep = strategy.flag("auto_create_whep", default: false)
        autoDeleteWhip = strategy.integer("auto_delete_whip", default: -1, in: -1...86_400_000)
        autoDeleteWhep = strategy.integer("auto_delete_whep", default: -1, in: -1...86_400_000)
        eachStreamMaxSub = strategy.integer("each_stream_max_sub", default: 65_535, in: 0...1_000_000)
        overridePublisher = strategy.flag("override_publisher", default: false)
    }
}
