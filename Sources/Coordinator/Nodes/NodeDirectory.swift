import Cluster
import HTTP
import Log

/// A node named in the configuration.
public struct ConfiguredNode: Sendable, Equatable {
    /// What the coordinator calls it, whatever it calls itself.
    public var alias: String
    /// How the coordinator reaches its HTTP API.
    public var url: String
    /// Sent to it as bearer token.
    public var token: String?

    /// A node; a slash at the end of `url` is left off.
    public init(alias: String, url: String, token: String? = nil) {
        self.alias = alias
        self.url = url.hasSuffix("/") ? String(url.dropLast()) : url
        self.token = token
    }
}

/// One view of all nodes, whether they are followed over SSE or write themselves into Redis.
public actor NodeDirectory {
    /// Changes within this time are told together.
    static let coalesce = Duration.milliseconds(100)

    private let configured: [ConfiguredNode]
    private let client: HTTPClient
    private let registry: (any NodeRegistry)?
    private let log = Logger("nodes")
    private var table: NodeTable
    private var told = ClusterView()
    private var listeners: [Int: AsyncStream<ClusterView>.Continuation] = [:]
    private var nextListener = 0
    private var tasks: [Task<Void, Never>] = []

    /// A directory of the configured nodes and, when there is one, of those in the registry. Nothing runs before `start()`.
    /// - Parameter sharedToken: sent to nodes that are known through the registry alone, for they bring no token.
    public init(
        nodes: [ConfiguredNode], client: HTTPClient, registry: (any NodeRegistry)? = nil, sharedToken: String? = nil
    ) {
        table = NodeTable(sharedToken: sharedToken)
        configured = nodes
        self.client = client
        self.registry = registry
        for node in nodes { table.configure(alias: node.alias, url: node.url, token: node.token) }
    }

    /// Begins to follow all nodes.
    public func start() {
        guard tasks.isEmpty else { return }
        for node in configured {
            let follower = EventFollower(node: node, client: client, directory: self)
            tasks.append(Task { await follower.run() })
        }
        if let registry { tasks.append(Task { await registry.follow(into: self) }) }
        tasks.append(
            Task { [weak self] in
                while !Task.isCancelled {
                    try? await Task.sleep(for: Self.coalesce)
                    await self?.tell()
                }
            })
    }

    /// Stops following and ends every change feed.
    public func stop() async {
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
        tasks = []
        for listener in listeners.values { listener.finish() }
        listeners = [:]
    }

    /// All nodes as they are this moment.
    public func view() -> ClusterView { table.view(nowNs: Monotonic.nowNs()) }

    /// The view now and after each change; a slow reader skips to the newest.
    public func changes() -> AsyncStream<ClusterView> {
        let (stream, continuation) = AsyncStream.makeStream(of: ClusterView.self, bufferingPolicy: .bufferingNewest(1))
        let id = nextListener
        nextListener += 1
        listeners[id] = continuation
        continuation.onTermination = { [weak self] _ in
            Task { [weak self] in await self?.forget(id) }
        }
        continuation.yield(view())
        return stream
    }

    /// Takes a node out of service (it keeps its sessions and gets no new ones) or puts it back.
    /// - Returns: the node as it is now; nil when there is none of that alias.
    public func setDraining(_ alias: String, _ isDraining: Bool) async -> NodeView? {
        guard table.knows(alias) else { return nil }
        table.setDrained(alias, isDraining)
        await registry?.setDrained(alias, isDraining)
        log.info(isDraining ? "node is being drained" : "node is back in service", ["node": alias])
        return view().node(alias)
    }

    private func forget(_ id: Int) { listeners[id] = nil }

    private func tell() {
        let nowNs = Monotonic.nowNs()
        table.forgetOld(nowNs: nowNs)
        let view = table.view(nowNs: nowNs)
        guard view != told else { return }
        for node in view.nodes where told.node(node.alias)?.status != node.status {
            log.info("node is \(node.status.rawValue)", ["node": node.alias, "url": node.record.url])
        }
        told = view
        for listener in listeners.values { listener.yield(view) }
    }

    // MARK: what followers report

    func heard(_ record: NodeRecord, from source: NodeSource) {
        table.heard(record, from: source, nowNs: Monotonic.nowNs(), wallMs: Monotonic.wallMs())
    }

    func heard(_ streams: [StreamRecord], alias: String, from source: NodeSource) {
        table.heard(streams, alias: alias, from: source, nowNs: Monotonic.nowNs())
    }

    func disconnected(_ alias: String) { table.disconnected(alias, nowNs: Monotonic.nowNs()) }

    func unregistered(_ alias: String) { table.unregistered(alias, nowNs: Monotonic.nowNs()) }

    func registryIsDown() { table.registryIsDown(nowNs: Monotonic.nowNs()) }

    func registryIsUp() { table.registryIsUp(nowNs: Monotonic.nowNs()) }

    func setDrained(_ aliases: Set<String>) {
        for alias in table.drained.subtracting(aliases) { table.setDrained(alias, false) }
        for alias in aliases { table.setDrained(alias, true) }
    }

    var registeredAliases: [String] { table.registered }
}

/// Where nodes write themselves down, other than telling us.
public protocol NodeRegistry: Sendable {
    /// Reports to `directory` until the task is cancelled; survives the registry's own outages.
    func follow(into directory: NodeDirectory) async
    /// Remembers for all coordinators that a node is drained.
    func setDrained(_ alias: String, _ isDrained: Bool) async
}
