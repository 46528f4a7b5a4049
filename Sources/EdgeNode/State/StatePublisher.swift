import Cluster
import Glibc
import Log
import Redis
import Synchronization

/// Writes a node's records into Redis: each second, and soon after a change.
///
/// Every write sets the node's and the streams' key with a time to live, so a restart of Redis, with or without its data, is made good
/// by the next heartbeat; what is more than new figures tells the node's alias on the channel. Nothing here ever delays or fails
/// the node: without Redis the state is `degraded` and visible, and that is all. Any thread.
public final class StatePublisher: Sendable {
    /// Changes within this time are written together.
    static let coalesce = Duration.milliseconds(50)

    private struct Run {
        var status = StateStatus.connecting
        var tasks: [Task<Void, Never>] = []
        var isStopped = false
        var writtenAt: ContinuousClock.Instant?
        /// What was written last, without figures, and how often that was something else.
        var written: NodeState?
        var version: Int64 = 0
    }

    private let keys: StateKeys
    private let redis: RedisConnection
    private let state: @Sendable () async -> NodeState
    private let afterSilence: @Sendable () async -> Void
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation
    private let run = Mutex(Run())
    private let log = Logger("state")
    /// Tells this process from any other that has, or had, the same alias.
    private let instance = String(UInt64.random(in: 1 ... .max), radix: 16)

    /// - Parameters:
    ///   - redis: the connection, which `stop` closes.
    ///   - keys: names of the cluster.
    ///   - afterSilence: called before the first write after the node was thought lost. What it has may be another's by then, and must
    ///     not be told as its own even once.
    ///   - state: gives the node's records as they are now; called for each write.
    public init(
        redis: RedisConnection, keys: StateKeys, afterSilence: @escaping @Sendable () async -> Void = {},
        state: @escaping @Sendable () async -> NodeState
    ) {
        self.keys = keys
        self.afterSilence = afterSilence
        self.state = state
        self.redis = redis
        // Holding one wake is enough: whatever changed while a write was under way is in the next one.
        (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    /// Whether the cluster hears of this node.
    public var status: StateStatus { run.withLock { $0.status } }

    /// Makes sure that no other process lives under this alias; called before the node serves.
    ///
    /// A process of that alias that died a moment ago is succeeded once its heartbeats are missed, within 2.5 s. Only
    /// Redis's own clock counts. Without Redis nobody can be asked: then the node starts, and whoever of two comes second to Redis
    /// stays out of it.
    public func claimAlias() async throws(AliasClash) {
        let deadline = ContinuousClock.now + .milliseconds(StateKeys.timeToLiveMs + 500)
        while case .connecting = redis.status, ContinuousClock.now < deadline { try? await Task.sleep(for: .milliseconds(10)) }
        while case .other(let owner, let silentMs) = await writeOnce() {
            let alias = await state().node.alias
            if silentMs > StateKeys.silenceMs {
                let taken = try? await redis.send(AliasScript.succeed(keys.owner(alias), owner: owner))
                if taken != nil { log.info("succeeds a process that went silent", ["alias": alias, "was": owner]) }
            } else if ContinuousClock.now > deadline {
                throw AliasClash(alias: alias, url: owner.split(separator: " ").last.map(String.init) ?? "")
            }
            try? await Task.sleep(for: .milliseconds(100))
        }
    }

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
        if run.withLock({ $0.writtenAt != nil }) { await removeKeys() }
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
            case .ready: wake.yield()
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

    private enum Outcome {
        case written
        case failed
        /// Another process has the alias and was last heard this long ago.
        case other(owner: String, silentMs: Int)
    }

    @discardableResult
    private func writeOnce() async -> Outcome {
        guard case .ready = redis.status else { return .failed }
        if let last = run.withLock({ $0.writtenAt }), last.duration(to: .now) > .milliseconds(StateKeys.silenceMs) {
            await afterSilence()
        }
        var now = await state()
        guard !Task.isCancelled else { return .failed }
        let plain = now.withoutFigures
        let isNews = run.withLock { run in
            let isNews = run.written != plain
            if isNews { run.version += 1 }
            now.node.streamsVersion = run.version
            return isNews
        }
        do {
            let node = try ClusterJSON.encode(now.node)
            let streams = try ClusterJSON.encode(now.streams)
            let answer = try await redis.send(
                AliasScript.write(
                    keys, alias: now.node.alias, owner: owner(now.node), node: node, streams: streams, isNews: isNews))
            guard let other = answer.elements, let owner = other.first?.text, case .integer(let leftMs)? = other.last else {
                succeed(plain)
                return .written
            }
            let clash = AliasClash(alias: now.node.alias, url: owner.split(separator: " ").last.map(String.init) ?? "")
            if run.withLock({ !$0.tasks.isEmpty }) { degrade(clash.description) }
            return .other(owner: owner, silentMs: StateKeys.timeToLiveMs - Int(leftMs))
        } catch RedisError.refused(let reason) {
            degrade(reason)
        } catch let error as RedisError {
            degrade(error.description)
        } catch {
            degrade("records can't be written: \(error)")
        }
        return .failed
    }

    private func owner(_ node: NodeRecord) -> String { "\(instance) \(node.url)" }

    /// Leaves the keys alone when they are another process's: one that was started under our alias meanwhile.
    private func removeKeys() async {
        let own = await state().node
        _ = try? await redis.send(AliasScript.remove(keys, alias: own.alias, owner: owner(own)))
    }

    private func succeed(_ written: NodeState) {
        let before = run.withLock { run in
            defer { (run.status, run.writtenAt, run.written) = (.connected, .now, written) }
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
