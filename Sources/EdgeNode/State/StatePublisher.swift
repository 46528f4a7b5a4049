import Cluster
import Glibc
import Log
import Redis
import Synchronization

/// Writes a node's records into Redis: each second, and soon after a change.
///
/// Every write sets the node's and the streams' key with a time to live and tells the node's alias on the channel, so a
/// restart of Redis, with or without its data, is made good by the next heartbeat. Nothing here ever delays or fails the
/// node: without Redis the state is `degraded` and visible, and that is all. Any thread.
public final class StatePublisher: Sendable {
    /// Changes within this time are written together.
    static let coalesce = Duration.milliseconds(50)

    private struct Run {
        var status = StateStatus.connecting
        var tasks: [Task<Void, Never>] = []
        var isStopped = false
        var isAliasChecked = false
    }

    private let keys: StateKeys
    private let redis: RedisConnection
    private let state: @Sendable () async -> NodeState
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation
    private let run = Mutex(Run())
    private let log = Logger("state")

    /// - Parameters:
    ///   - address: of the server; connecting begins at once.
    ///   - keys: names of the cluster.
    ///   - state: gives the node's records as they are now; called for each write.
    public init(address: RedisAddress, keys: StateKeys, state: @escaping @Sendable () async -> NodeState) {
        self.keys = keys
        self.state = state
        redis = RedisConnection(address)
        // Holding one wake is enough: whatever changed while a write was under way is in the next one.
        (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    /// Whether the cluster hears of this node.
    public var status: StateStatus { run.withLock { $0.status } }

    /// Begins to write.
    public func start() {
        run.withLock { run in
            guard run.tasks.isEmpty, !run.isStopped else { return }
            run.tasks = [Task { await self.beat() }, Task { await self.followConnection() }, Task { await self.write() }]
        }
    }

    /// Something about the streams or the node has changed: write soon, not only at the next heartbeat.
    public func changed() { wake.yield() }

    /// Takes the node's keys away, so that coordinators needn't wait for them to end, and closes the connection.
    /// Takes as long as Redis, at most a few seconds.
    public func stop() async {
        let tasks = run.withLock { run in
            run.isStopped = true
            defer { run.tasks = [] }
            return run.tasks
        }
        wake.finish()
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
        if !tasks.isEmpty { await removeKeys() }
        await redis.close()
    }

    private func beat() async {
        while !Task.isCancelled {
            wake.yield()
            try? await Task.sleep(for: .milliseconds(StateKeys.heartbeatMs))
        }
    }

    private func followConnection() async {
        for await status in redis.statusUpdates {
            switch status {
            case .connecting: continue
            case .ready:
                run.withLock { $0.isAliasChecked = false }
                wake.yield()
            case .unavailable(let reason): degrade(reason)
            }
        }
    }

    private func write() async {
        for await _ in wakes {
            await writeOnce()
            try? await Task.sleep(for: Self.coalesce)
        }
    }

    private func writeOnce() async {
        guard case .ready = redis.status else { return }
        let now = await state()
        guard !Task.isCancelled else { return }
        do {
            let node = try ClusterJSON.encode(now.node)
            let streams = try ClusterJSON.encode(now.streams)
            await warnOfOtherNode(now.node)
            let life = ["PX", String(StateKeys.timeToLiveMs)]
            let answers = try await redis.send([
                RedisCommand(["SET", keys.node(now.node.alias)], bytes: node, life),
                RedisCommand(["SET", keys.streams(now.node.alias)], bytes: streams, life),
                RedisCommand("PUBLISH", keys.changed, now.node.alias),
            ])
            for case .error(let reason) in answers { return degrade(reason) }
            succeed()
        } catch let error as RedisError {
            degrade(error.description)
        } catch {
            degrade("records can't be written: \(error)")
        }
    }

    /// Two nodes with one alias overwrite each other in turns; only their operator can mend that.
    private func warnOfOtherNode(_ own: NodeRecord) async {
        let isChecked = run.withLock { run in
            defer { run.isAliasChecked = true }
            return run.isAliasChecked
        }
        guard !isChecked, let other = await registered(own.alias), other.url != own.url else { return }
        log.error("another node uses this alias: give each node its own node.alias", ["alias": own.alias, "url": other.url])
    }

    private func registered(_ alias: String) async -> NodeRecord? {
        guard let bytes = try? await redis.send(RedisCommand("GET", keys.node(alias))).bytes else { return nil }
        return try? ClusterJSON.decode(NodeRecord.self, from: bytes)
    }

    /// Leaves the keys alone when they are another process's: one that was started under our alias meanwhile.
    private func removeKeys() async {
        let own = await state().node
        guard let written = await registered(own.alias), written.url == own.url, written.startedAtMs == own.startedAtMs else {
            return
        }
        _ = try? await redis.send([
            RedisCommand("DEL", keys.node(own.alias), keys.streams(own.alias)),
            RedisCommand("PUBLISH", keys.changed, own.alias),
        ])
    }

    private func succeed() {
        let before = run.withLock { run in
            defer { run.status = .connected }
            return run.status
        }
        if before != .connected { log.info("the cluster hears of this node through Redis") }
    }

    private func degrade(_ reason: String) {
        let isNew = run.withLock { run in
            if case .degraded(reason, _) = run.status { return false }
            var sinceMs = Self.nowMs()
            if case .degraded(_, let earlierMs) = run.status { sinceMs = earlierMs }
            run.status = .degraded(reason: reason, sinceMs: sinceMs)
            return true
        }
        if isNew { log.warning("the cluster doesn't hear of this node through Redis", ["reason": reason]) }
    }

    private static func nowMs() -> Int64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) * 1_000 + Int64(now.tv_nsec) / 1_000_000
    }
}
