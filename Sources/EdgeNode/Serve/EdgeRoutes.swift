import Auth
import Config
import HTTP
import MediaPlane
import Record
import State
import Store
import Streams

/// Every route of the node and what stands before them.
struct EdgeRoutes {
    let config: EdgeConfig
    let registry: StreamRegistry
    let plane: MediaPlane
    let node: NodeReporter
    let recorder: Recorder
    let following: RecordingFollower
    let store: any ObjectStore
    let state: StatePublisher?

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
        CascadeRoutes(gate: gate).add(to: &router)
        EventRoutes(registry: registry, node: node, gate: gate).add(to: &router)
        RecordRoutes(registry: registry, recorder: recorder, following: following, gate: gate).add(to: &router)
        ObjectRoutes(store: store, gate: gate).add(to: &router)
        MetricsRoutes(
            registry: registry, plane: plane, recorder: recorder, state: state, requests: requests, alias: config.node.alias,
            startedAtMs: StreamTime.system().wallMs
        ).add(to: &router)
        InfoRoutes(node: node, state: state, strategy: config.strategy).add(to: &router)
        AuthRoutes(gate: gate).add(to: &router)
        InfoRoutes.addDocument(to: &router)
        return router
    }
}
