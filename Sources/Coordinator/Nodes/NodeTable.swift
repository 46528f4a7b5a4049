import Cluster

/// How a node makes itself heard.
enum NodeSource: Sendable, Hashable, CaseIterable {
    /// We follow its `/api/sse/streams`.
    case events
    /// It writes itself into Redis.
    case registry
}

/// Which nodes there are and which of them are alive, as a function of what was heard when. No clock, no I/O.
struct NodeTable {
    /// A node says something each second; two and a half of silence leave half a second to notice within three.
    static let silenceNs = UInt64(StateKeys.silenceMs) * 1_000_000
    /// A connection that broke is given this long to come back.
    static let reconnectNs: UInt64 = 1_000_000_000
    /// How long a lost node that nobody configured stays in the list.
    static let forgetNs: UInt64 = 3_600_000_000_000

    private struct Entry {
        var record: NodeRecord
        var streams: [StreamRecord] = []
        /// The newest look at the registry that the streams are of.
        var reading: UInt64 = 0
        var software: String?
        var token: String?
        var isConfigured = false
        /// When it counts as silent, for each way it was heard by.
        var deadlineNs: [NodeSource: UInt64] = [:]
        var lastHeardNs: UInt64 = 0
        var clock = ClockOffset()
    }

    /// What nodes are shown that nobody configured: the cluster's shared token, if it has one.
    let sharedToken: String?
    private var entries: [String: Entry] = [:]
    /// The aliases, sorted: a view is made too often to sort all nodes for each.
    private var order: [String] = []
    private var isRegistryDown = false
    /// Until then, Redis may have come back without what was in it.
    private var graceUntilNs: UInt64 = 0
    /// Aliases an operator has taken out of service.
    private(set) var drained: Set<String> = []
    /// The newest order of each node that is in `drained`, or in it no longer.
    private var words: [String: Word] = [:]
    private let followsOrders: Bool

    /// The place of an order among those of a node.
    private struct Word {
        let startedAtMs: Int64
        let number: Int64
    }

    /// - Parameters:
    ///   - sharedToken: for nodes that nobody configured.
    ///   - followsOrders: whether to take over what nodes tell that was ordered by others; not where all coordinators share a memory,
    ///     which knows that sooner.
    init(sharedToken: String? = nil, followsOrders: Bool = true) {
        (self.sharedToken, self.followsOrders) = (sharedToken, followsOrders)
    }

    /// A node from the configuration; it is listed as lost until it is heard.
    mutating func configure(alias: String, url: String, token: String?) {
        var entry = entries[alias] ?? Entry(record: NodeRecord(alias: alias, url: url, startedAtMs: 0, updatedAtMs: 0))
        entry.isConfigured = true
        entry.token = token
        entry.record.url = url
        set(entry, alias)
    }

    /// The node said how it is. A record that is not newer than the one we have proves nothing: in Redis it may be a dead one's.
    /// - Parameters:
    ///   - software: see `NodeView.software`.
    ///   - wallMs: the time of day, which the record's is compared to.
    /// - Returns: whether it is to be drained, when that is news: somebody has ordered it elsewhere.
    @discardableResult
    mutating func heard(
        _ record: NodeRecord, from source: NodeSource, software: String? = nil, nowNs: UInt64, wallMs: Int64? = nil
    ) -> Bool? {
        var entry = entries[record.alias] ?? Entry(record: record)
        let isNews =
            entry.deadlineNs[source] == nil || record.updatedAtMs != entry.record.updatedAtMs
            || record.startedAtMs != entry.record.startedAtMs
        let url = entry.record.url
        if record.startedAtMs != entry.record.startedAtMs { entry.clock.forget() }
        if isNews, let wallMs, record.updatedAtMs > 0 { entry.clock.note(madeMs: record.updatedAtMs, arrivedMs: wallMs) }
        entry.record = record
        entry.software = software
        // The configured address is the one that works from here; what the node calls itself may not.
        if entry.isConfigured { entry.record.url = url }
        if isNews || source == .events { alive(&entry, source, nowNs) }
        set(entry, record.alias)
        return take(record.drainOrder, of: record)
    }

    /// Takes over an order that is newer than what was decided here last.
    private mutating func take(_ order: DrainOrder?, of record: NodeRecord) -> Bool? {
        guard followsOrders, let order else { return nil }
        if let word = words[record.alias], word.startedAtMs == record.startedAtMs, word.number >= order.number { return nil }
        guard drained.contains(record.alias) != order.drained else {
            note(record)
            return nil
        }
        setDrained(record.alias, order.drained)
        return order.drained
    }

    private mutating func note(_ record: NodeRecord) {
        words[record.alias] = Word(startedAtMs: record.startedAtMs, number: record.drainOrder?.number ?? 0)
    }

    /// The node said which streams it has. That it lives its own record says, so that none counts as alive whose record can't be read.
    ///
    /// - Parameter reading: which look at the registry it is of; one that was begun earlier than the last is left out.
    /// - Returns: whether it was taken.
    @discardableResult
    mutating func heard(_ streams: [StreamRecord], alias: String, reading: UInt64? = nil) -> Bool {
        guard var entry = entries[alias] else { return false }
        if let reading {
            guard reading > entry.reading else { return false }
            entry.reading = reading
        }
        entry.streams = streams.map { stream in
            var stream = stream
            stream.node = alias
            return stream
        }
        entries[alias] = entry
        return true
    }

    /// The event stream broke off: the node has a moment to come back.
    mutating func disconnected(_ alias: String, nowNs: UInt64) {
        guard let deadline = entries[alias]?.deadlineNs[.events] else { return }
        entries[alias]?.deadlineNs[.events] = min(deadline, nowNs &+ Self.reconnectNs)
    }

    /// Redis no longer has the node's key.
    mutating func unregistered(_ alias: String, nowNs: UInt64) {
        guard !isRegistryDown, nowNs >= graceUntilNs else { return }
        entries[alias]?.deadlineNs[.registry] = 0
    }

    /// Redis can't be reached, so its silence says nothing about the nodes; they stay as they are meanwhile.
    mutating func registryIsDown(nowNs: UInt64) {
        guard !isRegistryDown else { return }
        isRegistryDown = true
        for alias in entries.keys {
            if let deadline = entries[alias]?.deadlineNs[.registry], deadline <= nowNs {
                entries[alias]?.deadlineNs[.registry] = 0
            }
        }
    }

    /// Redis answers again; nodes have the usual time to write themselves in.
    mutating func registryIsUp(nowNs: UInt64) {
        guard isRegistryDown else { return }
        isRegistryDown = false
        graceUntilNs = nowNs &+ Self.silenceNs
        for alias in entries.keys where (entries[alias]?.deadlineNs[.registry] ?? 0) > 0 {
            entries[alias]?.deadlineNs[.registry] = nowNs &+ Self.silenceNs
        }
    }

    /// Takes a node out of service or puts it back. What it was ordered so far, as it has told, is older than this.
    mutating func setDrained(_ alias: String, _ isDrained: Bool) {
        if isDrained { drained.insert(alias) } else { drained.remove(alias) }
        if let entry = entries[alias], entry.lastHeardNs > 0 { note(entry.record) }
    }

    /// Forgets a node altogether.
    mutating func remove(_ alias: String) {
        words[alias] = nil
        entries[alias] = nil
        order.removeAll { $0 == alias }
    }

    private mutating func set(_ entry: Entry, _ alias: String) {
        guard entries.updateValue(entry, forKey: alias) == nil else { return }
        order.insert(alias, at: order.firstIndex { $0 > alias } ?? order.count)
    }

    /// Whether the alias is configured or was seen.
    func knows(_ alias: String) -> Bool { entries[alias] != nil }

    /// Aliases that were last heard of in the registry.
    var registered: [String] { entries.filter { $0.value.deadlineNs[.registry] != nil }.map(\.key) }

    /// Drops nodes that were only ever in the registry and have been silent for long.
    mutating func forgetOld(nowNs: UInt64) {
        let old = entries.filter { _, entry in
            !entry.isConfigured && !isAlive(entry, nowNs) && nowNs >= entry.lastHeardNs &+ Self.forgetNs
        }
        for alias in old.keys { remove(alias) }
    }

    /// All nodes as they are now.
    func view(nowNs: UInt64) -> ClusterView { ClusterView(sorted: order.compactMap { node($0, nowNs: nowNs) }) }

    /// One node as it is now; nil when there is none of that alias.
    func node(_ alias: String, nowNs: UInt64) -> NodeView? {
        guard let entry = entries[alias] else { return nil }
        let status: NodeStatus = !isAlive(entry, nowNs) ? .lost : drained.contains(alias) ? .draining : entry.record.status
        return NodeView(
            record: entry.record, status: status, streams: entry.streams, software: entry.software,
            token: entry.isConfigured ? entry.token : sharedToken, clockOffsetMs: entry.clock.ms,
            lastHeardNs: entry.lastHeardNs == 0 ? nil : entry.lastHeardNs)
    }

    /// Who answers and who is away, of a table that is in use since `sinceNs`.
    func presences(sinceNs: UInt64, nowNs: UInt64) -> NodePresences {
        var presences = NodePresences(knowsAll: nowNs >= sinceNs &+ NodePresences.goneNs)
        for (alias, entry) in entries {
            if isAlive(entry, nowNs) {
                presences.here.insert(alias)
            } else if nowNs < max(entry.lastHeardNs, sinceNs) &+ NodePresences.goneNs {
                presences.away.insert(alias)
            }
        }
        return presences
    }

    private func alive(_ entry: inout Entry, _ source: NodeSource, _ nowNs: UInt64) {
        entry.deadlineNs[source] = nowNs &+ Self.silenceNs
        entry.lastHeardNs = nowNs
    }

    private func isAlive(_ entry: Entry, _ nowNs: UInt64) -> Bool {
        if let deadline = entry.deadlineNs[.events], nowNs < deadline { return true }
        guard let deadline = entry.deadlineNs[.registry] else { return false }
        return nowNs < deadline || (isRegistryDown && deadline > 0)
    }
}
