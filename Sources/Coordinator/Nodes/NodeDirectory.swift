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
    /// How often a memory is asked what other coordinators have decided that doesn't tell it.
    static let askMemory = Duration.seconds(2)

    private let configured: [ConfiguredNode]
    private let client: HTTPClient
    private let registry: (any NodeRegistry)?
    private let memory: (any NodeMemory)?
    /// A registry tells of what other coordinators decide; any other memory has to be asked.
    private let asksMemory: Bool
    private let log = Logger("nodes")
    private var table: NodeTable
    private var told = ClusterView()
    private var listeners: [Int: AsyncStream<ClusterView>.Continuation] = [:]
    private var nextListener = 0
    private var tasks: [Task<Void, Never>] = []
    private var followers: [String: Task<Void, Never>] = [:]
    private var added: [String: ConfiguredNode] = [:]
    private var unsaved = UnsavedDecisions()
    private let sinceNs = Monotonic.nowNs()

    /// A directory of the configured nodes and, when there is one, of those in the registry. Nothing runs before `start()`.
    /// - Parameters:
    ///   - memory: keeps what is decided at run time, the registry unless given; without any a restart forgets that.
    ///   - sharedToken: sent to nodes that are known through the registry alone, for they bring no token.
    public init(
        nodes: [ConfiguredNode], client: HTTPClient, registry: (any NodeRegistry)? = nil, memory: (any NodeMemory)? = nil,
        sharedToken: String? = nil
    ) {
        let memory = memory ?? registry as? any NodeMemory
        self.memory = memory
        asksMemory = memory != nil && !(memory is any NodeRegistry)
        table = NodeTable(sharedToken: sharedToken, followsOrders: !(memory is any NodeRegistry))
        configured = nodes
        self.client = client
        self.registry = registry
        for node in nodes { table.configure(alias: node.alias, url: node.url, token: node.token) }
    }

    /// Begins to follow all nodes.
    public func start() async {
        guard tasks.isEmpty else { return }
        for node in configured { follow(node) }
        let decisions = await memory?.decisions()
        if let decisions { await take(decisions) }
        if let registry { tasks.append(Task { await registry.follow(into: self) }) }
        if let memory, asksMemory { tasks.append(ask(memory, wasRead: decisions != nil)) }
        tasks.append(
            Task { [weak self] in
                while !Task.isCancelled {
                    try? await Task.sleep(for: Self.coalesce)
                    await self?.tell()
                }
            })
    }

    private func ask(_ memory: any NodeMemory, wasRead: Bool) -> Task<Void, Never> {
        Task { [weak self] in
            var wasRead = wasRead
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.askMemory)
                guard let decisions = await memory.decisions() else { continue }
                if wasRead { await self?.takeNodes(decisions) } else { await self?.take(decisions) }
                wasRead = true
            }
        }
    }

    /// Stops following and ends every change feed.
    public func stop() async {
        let running = tasks + followers.values
        (tasks, followers) = ([], [:])
        for task in running { task.cancel() }
        for task in running { await task.value }
        for listener in listeners.values { listener.finish() }
        listeners = [:]
    }

    /// All nodes as they are this moment.
    public func view() -> ClusterView { table.view(nowNs: Monotonic.nowNs()) }

    /// The node called `alias` as it is this moment; much cheaper than to look it up in a view of all.
    public func node(_ alias: String) -> NodeView? { table.node(alias, nowNs: Monotonic.nowNs()) }

    /// Who answers this moment, and who has not for long.
    public func presences() -> NodePresences { table.presences(sinceNs: sinceNs, nowNs: Monotonic.nowNs()) }

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
        await save(drained: alias, isDraining)
        log.info(isDraining ? "node is being drained" : "node is back in service", ["node": alias])
        return node(alias)
    }

    /// Follows another node from now on, or a known one at another address.
    /// - Returns: the node, and whether it is new.
    /// - Throws: `NodeIsConfigured`.
    public func add(_ node: ConfiguredNode) async throws(NodeIsConfigured) -> (node: NodeView?, isNew: Bool) {
        guard !configured.contains(where: { $0.alias == node.alias }) else { throw NodeIsConfigured(alias: node.alias) }
        let isNew = added[node.alias] == nil
        await save(node, alias: node.alias)
        await follow(added: node)
        log.info("node was added", ["node": node.alias, "url": node.url])
        return (self.node(node.alias), isNew)
    }

    /// Follows a node no longer that was added. One that writes itself into Redis comes back by that; see `setDraining`.
    /// - Returns: false when none of that alias was added.
    /// - Throws: `NodeIsConfigured`.
    public func remove(_ alias: String) async throws(NodeIsConfigured) -> Bool {
        guard !configured.contains(where: { $0.alias == alias }) else { throw NodeIsConfigured(alias: alias) }
        guard added[alias] != nil else { return false }
        await save(nil, alias: alias)
        await unfollow(alias)
        log.info("node was removed", ["node": alias])
        return true
    }

    /// Takes over what operators have decided elsewhere, or before the last restart.
    func take(_ decisions: NodeDecisions) async {
        let decisions = unsaved.applied(to: decisions)
        for alias in table.drained.subtracting(decisions.drained) { table.setDrained(alias, false) }
        for alias in decisions.drained.subtracting(table.drained) { table.setDrained(alias, true) }
        await follow(decisions)
    }

    /// Takes over which nodes were added elsewhere. Which are drained the nodes themselves say, sooner than a memory that has to be asked.
    private func takeNodes(_ decisions: NodeDecisions) async { await follow(unsaved.applied(to: decisions)) }

    private func follow(_ decisions: NodeDecisions) async {
        let wanted = decisions.added.filter { node in !configured.contains { $0.alias == node.alias } }
        for alias in Set(added.keys).subtracting(wanted.map(\.alias)) { await unfollow(alias) }
        for node in wanted where added[node.alias] != node { await follow(added: node) }
        // The memory answers; it may have been away when this was decided.
        for (alias, node) in unsaved.nodes { await save(node, alias: alias) }
        for (alias, isDrained) in unsaved.drained { await save(drained: alias, isDrained) }
    }

    private func save(_ node: ConfiguredNode?, alias: String) async {
        guard let memory else { return }
        unsaved.nodes[alias] = .some(node)
        let isSaved = if let node { await memory.remember(node) } else { await memory.forget(alias) }
        if isSaved, unsaved.nodes[alias] == .some(node) { unsaved.nodes[alias] = nil }
    }

    private func save(drained alias: String, _ isDrained: Bool) async {
        guard let memory else { return }
        unsaved.drained[alias] = isDrained
        if await memory.setDrained(alias, isDrained), unsaved.drained[alias] == isDrained { unsaved.drained[alias] = nil }
    }

    private func follow(added node: ConfiguredNode) async {
        if added[node.alias] != nil { await unfollow(node.alias) }
        added[node.alias] = node
        table.configure(alias: node.alias, url: node.url, token: node.token)
        follow(node)
    }

    private func follow(_ node: ConfiguredNode) {
        let follower = EventFollower(node: node, client: client, directory: self)
        followers[node.alias] = Task { await follower.run() }
    }

    private func unfollow(_ alias: String) async {
        added[alias] = nil
        let follower = followers.removeValue(forKey: alias)
        follower?.cancel()
        await follower?.value
        // Somebody may have added it again meanwhile.
        if added[alias] == nil { table.remove(alias) }
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

    /// - Returns: whether nothing was known of the node, so that its streams are not either.
    @discardableResult
    func heard(_ record: NodeRecord, from source: NodeSource, software: String? = nil) async -> Bool {
        let isNew = !table.knows(record.alias)
        let ordered = table.heard(record, from: source, software: software, nowNs: Monotonic.nowNs(), wallMs: Monotonic.wallMs())
        if let ordered {
            log.info(
                ordered ? "node is being drained, by order of others" : "node was taken back by others", ["node": record.alias])
            await save(drained: record.alias, ordered)
        }
        return isNew
    }

    /// - Returns: false for what is older than what was heard before.
    @discardableResult
    func heard(_ streams: [StreamRecord], alias: String, reading: UInt64? = nil) -> Bool {
        table.heard(streams, alias: alias, reading: reading)
    }

    func disconnected(_ alias: String) { table.disconnected(alias, nowNs: Monotonic.nowNs()) }

    func unregistered(_ alias: String) { table.unregistered(alias, nowNs: Monotonic.nowNs()) }

    func registryIsDown() { table.registryIsDown(nowNs: Monotonic.nowNs()) }

    func registryIsUp() { table.registryIsUp(nowNs: Monotonic.nowNs()) }

    var registeredAliases: [String] { table.registered }
}

/// Where nodes write themselves down, other than telling us.
public protocol NodeRegistry: Sendable {
    /// Reports to `directory` until the task is cancelled; survives the registry's own outages.
    func follow(into directory: NodeDirectory) async
}

/// A node of the configuration file can't be added or removed at run time: the next start would bring it back.
public struct NodeIsConfigured: Error, Sendable, Equatable {
    /// Its alias.
    public let alias: String
}
