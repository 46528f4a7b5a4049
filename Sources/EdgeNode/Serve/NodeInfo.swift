import Cluster
import HTTP
import Program
import State

/// Who the node is, and how streams come and go on it.
struct NodeInfo {
    let node: NodeReporter
    let state: StatePublisher?
    let strategy: StrategySettings

    /// What `/api/info` tells; the first field is live777's.
    struct Info: Encodable {
        let version: String
        let program: String
        let alias: String
        let url: String
        let region: String
        let status: NodeStatus
        /// Whether it is drained and nothing is left on it.
        let drained: Bool
        let startedAtMs: Int64
        let features: [String]
        /// `off`, `connecting`, `connected` or `degraded`.
        let redis: String
    }

    /// live777's `/api/strategy`.
    private struct Strategy: Encodable {
        let each_stream_max_sub: Int
        let auto_create_whip: Bool
        let auto_create_whep: Bool
        let auto_delete_whip: Int
        let auto_delete_whep: Int
        let override_publisher: Bool
    }

    func add(to router: inout Router) {
        router.get("/api/strategy", RouteDescription("How streams come and go", tag: "node")) { _ in
            try .json(
                Strategy(
                    each_stream_max_sub: strategy.eachStreamMaxSub, auto_create_whip: strategy.autoCreateWhip,
                    auto_create_whep: strategy.autoCreateWhep, auto_delete_whip: strategy.autoDeleteWhip,
                    auto_delete_whep: strategy.autoDeleteWhep, override_publisher: strategy.overridePublisher))
        }
    }

    /// What `/api/info` tells now.
    func read() async -> Info {
        let record = await node.record()
        return Info(
            version: ProgramVersion.current, program: EdgeProgram.description.name, alias: record.alias, url: record.url,
            region: record.region, status: record.status, drained: record.drained, startedAtMs: record.startedAtMs,
            features: ["whip", "whep", "recorder"], redis: redisStatus)
    }

    private var redisStatus: String {
        switch state?.status {
        case nil: "off"
        case .connecting: "connecting"
        case .connected: "connected"
        case .degraded: "degraded"
        }
    }
}
