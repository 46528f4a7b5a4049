import Cluster
import HTTP
import State

/// Health, identity and the OpenAPI document.
struct InfoRoutes {
    let node: NodeReporter
    let state: StatePublisher?
    let strategy: StrategySettings

    /// What `/api/info` tells; the first field is live777's.
    private struct Info: Encodable {
        let version: String
        let program: String
        let alias: String
        let url: String
        let region: String
        let status: NodeStatus
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
        router.get("/healthz", RouteDescription("ok while the node serves", tag: "node")) { _ in
            .text("ok", headers: ["Cache-Control": "no-store"])
        }
        router.get("/api/info", RouteDescription("Who this is", tag: "node")) { _ in
            let record = await node.record()
            return try .json(
                Info(
                    version: EdgeVersion.current, program: EdgeVersion.program, alias: record.alias, url: record.url,
                    region: record.region, status: record.status, startedAtMs: record.startedAtMs,
                    features: ["whip", "whep", "recorder"], redis: redisStatus))
        }
        router.get("/api/strategy", RouteDescription("How streams come and go", tag: "node")) { _ in
            try .json(
                Strategy(
                    each_stream_max_sub: strategy.eachStreamMaxSub, auto_create_whip: strategy.autoCreateWhip,
                    auto_create_whep: strategy.autoCreateWhep, auto_delete_whip: strategy.autoDeleteWhip,
                    auto_delete_whep: strategy.autoDeleteWhep, override_publisher: strategy.overridePublisher))
        }
    }

    private var redisStatus: String {
        switch state?.status {
        case nil: "off"
        case .connecting: "connecting"
        case .connected: "connected"
        case .degraded: "degraded"
        }
    }

    /// Added last: it describes every route before it.
    static func addDocument(to router: inout Router) {
        let path = "/api/openapi.json"
        router.get(path, RouteDescription("This document", tag: "node")) { _ in HTTPResponse(.noContent) }
        let document = router.openAPI(title: EdgeVersion.program, version: EdgeVersion.current)
        router.get(path, RouteDescription("This document", tag: "node")) { _ in
            .text(document, contentType: "application/json")
        }
    }
}
