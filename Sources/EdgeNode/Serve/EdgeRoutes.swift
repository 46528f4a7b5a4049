import Auth
import Cascade
import Config
import HTTP
import MediaPlane
import Program
import Record
import State
import Store
import Streams

/// Every route of the node and what stands before them.
struct EdgeRoutes {
    let config: EdgeConfig
    let registry: StreamRegistry
    let cascades: CascadeDesk
    let plane: MediaPlane
    let node: NodeReporter
    let recorder: Recorder
    let following: RecordingFollower
    let drain: NodeDrain
    let store: any ObjectStore
    let state: StatePublisher?

    func router() -> Router {
        var router = Router()
        let requests = RequestMetrics()
        router.use(requests, config.limits)
        let gate = Gate(Authorizer(AuthSettings(config.auth)))
        WHIPRoutes(
            registry: registry, gate: gate, node: node, iceServers: ICEServers(config.webrtc.iceServers, config.webrtc.coturn)
        ).add(to: &router)
        StreamRoutes(registry: registry, gate: gate).add(to: &router)
        CascadeRoutes(desk: cascades, gate: gate).add(to: &router)
        DrainRoutes(drain: drain, node: node, gate: gate).add(to: &router)
        EventRoutes(registry: registry, node: node, gate: gate).add(to: &router)
        RecordRoutes(
            registry: registry, recorder: recorder, following: following, gate: gate, isEnabled: config.recorder.isEnabled
        ).add(to: &router)
        ObjectRoutes(store: store, recorder: recorder, gate: gate).add(to: &router)
        PlaybackRoutes(source: RecordedPlayback(recorder: recorder, store: store, alias: config.recorder.nodeAlias))
            .add(to: &router, gate)
        LiveEdgeRoute(recorder: recorder, gate: gate).add(to: &router)
        TimeRoute.add(to: &router)
        TokenRoutes(gate).add(to: &router)
        let info = NodeInfo(node: node, state: state, strategy: config.strategy)
        info.add(to: &router)
        let metrics = EdgeMetrics(registry: registry, cascades: cascades, plane: plane, recorder: recorder, state: state)
        SystemRoutes(
            EdgeProgram.description, alias: config.node.alias, requests: requests,
            metricsGate: config.auth.guardsMetrics ? gate : nil,
            info: { await info.read() }, metrics: { await metrics.add(to: &$0) }
        ).add(to: &router)
        return router
    }
}
