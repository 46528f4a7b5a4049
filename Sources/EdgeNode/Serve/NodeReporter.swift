import Cluster
import Config
import MediaPlane
import Program
import Streams

#if canImport(Glibc)
    import Glibc
#endif

/// Makes the node's own record: who it is and how busy it was over the last second.
actor NodeReporter {
    private let settings: NodeSettings
    private(set) var url: String
    private let registry: StreamRegistry
    private let plane: MediaPlane
    nonisolated let startedAtMs: Int64
    nonisolated var alias: String { settings.alias }
    private var status = NodeStatus.running
    private var isDrained = false
    private var order: DrainOrder?
    private var listeners: [Int: AsyncStream<Void>.Continuation] = [:]
    private var lastListener = 0
    private var recordings = 0
    private var last: Sample
    private var load = NodeLoad()

    private struct Sample {
        var monotonicNs: UInt64
        var cpuNs: UInt64
        var sentBytes: UInt64
        var receivedBytes: UInt64
    }

    init(settings: NodeSettings, url: String, registry: StreamRegistry, plane: MediaPlane) {
        self.settings = settings
        self.url = url
        self.registry = registry
        self.plane = plane
        let now = StreamTime.system()
        startedAtMs = now.wallMs
        last = Sample(monotonicNs: now.monotonicNs, cpuNs: ProcessUsage.cpuNs(), sentBytes: 0, receivedBytes: 0)
    }

    /// The URL that others reach the node at, once the port is known.
    func setURL(_ url: String) { self.url = url }

    func setStatus(_ status: NodeStatus) {
        self.status = status
        isDrained = false
        tell()
    }

    /// The node is to be drained, or to go on, because somebody says so.
    func take(order isDrained: Bool) {
        order = DrainOrder(drained: isDrained, number: (order?.number ?? 0) + 1)
        setStatus(isDrained ? .draining : .running)
    }

    /// While the node is drained: whether nothing is left on it.
    func setDrained(_ isDrained: Bool) {
        let isDrained = isDrained && status == .draining
        guard self.isDrained != isDrained else { return }
        self.isDrained = isDrained
        tell()
    }

    /// A value whenever the node's status has changed, or whether it is drained. Any number of readers.
    func changes() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        lastListener += 1
        let id = lastListener
        listeners[id] = continuation
        continuation.onTermination = { [weak self] _ in
            Task { [weak self] in await self?.forget(id) }
        }
        return stream
    }

    private func forget(_ id: Int) { listeners[id] = nil }

    private func tell() { listeners.values.forEach { $0.yield() } }

    func setRecordings(_ count: Int) { recordings = count }

    /// The record as of now; rates are measured again when the last measurement is older than 900 ms.
    func record() async -> NodeRecord {
        let now = StreamTime.system()
        if now.monotonicNs &- last.monotonicNs > 900_000_000 { measure(await plane.snapshot().loops, StreamTime.system()) }
        let counts = await registry.counts
        load.publishers = counts.publishers
        load.viewers = counts.viewers
        return NodeRecord(
            alias: settings.alias, url: url, region: settings.region, labels: settings.labels, status: status,
            startedAtMs: startedAtMs, updatedAtMs: now.wallMs, load: load, pubMax: settings.pubMax, subMax: settings.subMax,
            recordings: recordings, drained: isDrained, drainOrder: order,
            mediaPorts: (0..<plane.loopCount).compactMap { plane.candidates(loop: $0).first?.port })
    }

    private func measure(_ loops: [LoopSnapshot], _ now: StreamTime) {
        let elapsed = now.monotonicNs &- last.monotonicNs
        // Two callers may have waited for the same snapshot; the second finds nothing to measure.
        guard elapsed > 100_000_000 else { return }
        let sample = Sample(
            monotonicNs: now.monotonicNs, cpuNs: ProcessUsage.cpuNs(), sentBytes: loops.reduce(0) { $0 &+ $1.sentBytes },
            receivedBytes: loops.reduce(0) { $0 &+ $1.receivedBytes })
        func bitsPerSecond(_ from: UInt64, _ to: UInt64) -> Int64 {
            to < from ? 0 : Int64(Double(to - from) * 8e9 / Double(elapsed))
        }
        let cores = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        load = NodeLoad(
            cpu: Double(sample.cpuNs &- last.cpuNs) / Double(elapsed) / Double(cores),
            egressBitsPerSecond: bitsPerSecond(last.sentBytes, sample.sentBytes),
            ingressBitsPerSecond: bitsPerSecond(last.receivedBytes, sample.receivedBytes))
        last = sample
    }
}
