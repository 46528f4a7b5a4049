import Auth
import Config
import HTTP
import MediaPlane
import Streams

/// Every route of the node and what stands before them.
struct EdgeRoutes {
    let config: EdgeConfig
    let registry: StreamRegistry
    let plane: MediaPlane
    let node: NodeReporter

    func router() -> Router {
        var router = Router()
        let requests = RequestMetrics()
        router.use(requests.middleware)
        if config.limits.rateRPS > 0 {
            router.use(RateLimiter(perSecond: config.limits.rateRPS, burst: config.limits.rateBurst).middleware)
        }
        let gate = Gate(authorizer: Authorizer(AuthSettings(config.auth)))
        WHIPRoutes(registry: registry, gate: gate, iceServers: config.webrtc.iceServers).add(to: &router)
        StreamRoutes(registry: registry, gate: gate).add(to: &router)
        EventRoutes(registry: registry, node: node, gate: gate).add(to: &router)
        MetricsRoutes(
            registry: registry, plane: plane, requests: requests, alias: config.node.alias,
            startedAtMs: StreamTime.system().wallMs
        ).add(to: &router)
        InfoRoutes(node: node).add(to: &router)
        InfoRoutes.addDocument(to: &router)
        return router
    }
}
