import Cluster
import Nodes
import Playback
import Program
import Records
import Redis
import Route

/// Every metric of the coordinator except those that all programs have (``SystemRoutes``).
enum CoordinatorMetric {
    static let prefix = "tributary_coordinator"

    static let nodes = gauge("nodes", "Nodes by state.")
    static let streams = gauge("streams", "Streams on nodes that answer.")
    static let nodeCPU = gauge("node_cpu_ratio", "CPU of a node, 0 to 1.")
    static let nodePublishers = gauge("node_publishers", "Publishers on a node.")
    static let nodeViewers = gauge("node_viewers", "Viewers on a node.")
    static let nodeEgress = gauge("node_egress_bits_per_second", "Media a node sends.")
    static let nodeCopies = gauge("node_copies", "Streams that a node has from another node.")
    static let cascades = counter(
        "cascades_total", "Cascades begun: for viewers (started), for copies that lost their source (moved); failed of both.")
    static let redisConnected = gauge(
        "redis_connected", "1 while Redis answers; while it doesn't, nodes are shown as they were last.")
    static let indexConnected = gauge("index_connected", "Whether the recording index answers.")
    static let recordings = gauge("recordings", "Recordings in the index.")
    static let recordingsActive = gauge("recordings_active", "Recordings that were growing when last heard of.")
    static let cacheRequests = counter(
        "object_cache_requests_total",
        "Objects asked for: kept (hit), on their way to others already (joined), fetched (miss); passed of these without room. "
            + "A manifest is kept for a quarter of a second.")
    static let cacheBytes = gauge("object_cache_bytes", "Objects in memory, those included that are being fetched and sent.")
    static let cacheObjects = gauge("object_cache_objects", "Objects in memory or known to be absent.")
    static let syncFailures = counter("sync_failures_total", "Rounds of reading a node's recordings that failed.")
    static let syncRows = counter("sync_rows_total", "Rows read from a node's recordings.")

    static let storeFailures = counter("store_sync_failures_total", "Looks at the shared store's journals that failed.")
    static let storeJournals = counter("store_sync_journals_total", "Journals read from the shared store.")
    static let storeRecordings = counter("store_sync_recordings_total", "Recordings taken from journals in the shared store.")

    private static func counter(_ name: String, _ help: String) -> Metric { .counter("\(prefix)_\(name)", help) }
    private static func gauge(_ name: String, _ help: String) -> Metric { .gauge("\(prefix)_\(name)", help) }
}

/// What the coordinator adds to `/metrics`.
struct CoordinatorMetrics: Sendable {
    let directory: NodeDirectory
    let desk: RouteDesk
    let index: RecordingIndex
    let sync: RecordingSync
    let storeSync: StoreSync?
    let registry: RedisRegistry?
    let cache: ObjectCache?

    func add(to text: inout MetricText) async throws {
        let view = await directory.view()
        text.add(
            CoordinatorMetric.nodes,
            ["running", "draining", "lost"].map { status in
                MetricSample(["status": status], Double(view.nodes.count { $0.status.rawValue == status }))
            })
        text.add(CoordinatorMetric.streams, Double(view.mergedStreams().count { !$0.isLost }))
        func each(_ metric: Metric, _ value: (NodeView) -> Double) {
            text.add(metric, view.reachable.map { MetricSample(["node": $0.alias], value($0)) })
        }
        each(CoordinatorMetric.nodeCPU) { $0.record.load.cpu }
        each(CoordinatorMetric.nodePublishers) { Double($0.publisherCount) }
        each(CoordinatorMetric.nodeViewers) { Double($0.viewerCount) }
        each(CoordinatorMetric.nodeEgress) { Double($0.record.load.egressBitsPerSecond) }
        each(CoordinatorMetric.nodeCopies) { node in Double(node.streams.count { $0.presence == .copy }) }
        let tally = await desk.counts
        let begun = [("started", tally.started), ("moved", tally.moved), ("failed", tally.failed)]
        text.add(CoordinatorMetric.cascades, begun.map { MetricSample(["result": $0], Double($1)) })
        if let registry { text.add(CoordinatorMetric.redisConnected, registry.status == .ready ? 1 : 0) }
        let recordings = try? await index.counts()
        text.add(CoordinatorMetric.indexConnected, recordings == nil ? 0 : 1)
        if let recordings {
            text.add(CoordinatorMetric.recordings, Double(recordings.all))
            text.add(CoordinatorMetric.recordingsActive, Double(recordings.active))
        }
        if let counts = cache?.counts {
            let results = [("hit", counts.hits), ("joined", counts.joined), ("miss", counts.misses), ("passed", counts.passed)]
            text.add(CoordinatorMetric.cacheRequests, results.map { MetricSample(["result": $0], Double($1)) })
            text.add(CoordinatorMetric.cacheBytes, Double(counts.bytes))
            text.add(CoordinatorMetric.cacheObjects, Double(counts.objects))
        }
        let nodes = await sync.status().sorted { $0.key < $1.key }
        text.add(CoordinatorMetric.syncFailures, nodes.map { MetricSample(["node": $0.key], Double($0.value.failures)) })
        text.add(CoordinatorMetric.syncRows, nodes.map { MetricSample(["node": $0.key], Double($0.value.rows)) })
        if let status = await storeSync?.status() {
            text.add(CoordinatorMetric.storeFailures, Double(status.failures))
            text.add(CoordinatorMetric.storeJournals, Double(status.journals))
            text.add(CoordinatorMetric.storeRecordings, Double(status.recordings))
        }
    }
}
