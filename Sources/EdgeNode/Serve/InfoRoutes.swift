import Cluster
import HTTP

/// Health, identity and the OpenAPI document.
struct InfoRoutes {
    let node: NodeReporter

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
                    features: ["whip", "whep", "recorder"]))
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
