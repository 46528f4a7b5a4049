import Cluster
import EdgeFixtures
import Foundation
import HTTP
import Nodes
import Redis
import RedisFixtures
import TestThreads
import Testing

@Suite("Node registry in Redis", .offThePool, .timeLimit(.minutes(5)))
struct RedisRegistryTests {
    /// Writes a node as an edge does, over and over, until told to stop.
    private actor Writer {
        private let connection: RedisConnection
        private let keys = StateKeys(prefix: "t")
        private var updatedAtMs: Int64 = 0
        private var task: Task<Void, Never>?
        let alias: String

        init(_ alias: String, _ address: RedisAddress) {
            self.alias = alias
            connection = RedisConnection(address)
        }

        func start() {
            task = Task { [weak self] in
                while !Task.isCancelled {
                    await self?.write()
                    try? await Task.sleep(for: .milliseconds(200))
                }
            }
        }

        /// As a killed process: the keys stay until they expire.
        func kill() async {
            task?.cancel()
            await task?.value
        }

        /// As a clean stop.
        func leave() async {
            await kill()
            _ = try? await connection.send(RedisCommand("DEL", keys.node(alias), keys.streams(alias)))
            _ = try? await connection.send(RedisCommand("PUBLISH", keys.changed, alias))
        }

        func close() async {
            await kill()
            await connection.close()
        }

        private func write() async {
            updatedAtMs += 1
            let node = NodeRecord(alias: alias, url: "http://127.0.0.1:9", startedAtMs: 1, updatedAtMs: updatedAtMs)
            guard let record = try? ClusterJSON.encode(node),
                let streams = try? ClusterJSON.encode([TestRecords.stream("of-\(alias)")])
            else { return }
            _ = try? await connection.send([
                RedisCommand(["SET", keys.node(alias)], bytes: record, ["PX", "3000"]),
                RedisCommand(["SET", keys.streams(alias)], bytes: streams, ["PX", "3000"]),
                RedisCommand("PUBLISH", keys.changed, alias),
            ])
        }
    }

    private func withRegistry(
        _ aliases: [String], _ body: (RedisServerProcess, [Writer], NodeDirectory) async throws -> Void
    ) async throws {
        let redis = try RedisServerProcess()
        try redis.start()
        try await withRegistry(at: redis.address, aliases) { try await body(redis, $0, $1) }
        redis.stop()
    }

    private func withRegistry(
        at address: RedisAddress, _ aliases: [String], _ body: ([Writer], NodeDirectory) async throws -> Void
    ) async throws {
        let writers = aliases.map { Writer($0, address) }
        for writer in writers { await writer.start() }
        let client = HTTPClient()
        let directory = NodeDirectory(
            nodes: [], client: client, registry: RedisRegistry(address, prefix: "t"))
        await directory.start()
        do {
            try await EdgeFixtures.eventually("all nodes run") {
                await directory.view().reachable.map(\.alias) == aliases.sorted()
            }
            try await body(writers, directory)
        } catch {
            Issue.record(error)
        }
        await directory.stop()
        for writer in writers { await writer.close() }
        await client.shutdown()
    }

    private func status(_ alias: String, _ directory: NodeDirectory) async -> NodeStatus? {
        await directory.view().node(alias)?.status
    }

    @Test("a killed node is lost, one that leaves at once, and the other stays")
    func killAndLeave() async throws {
        try await withRegistry(["a", "b", "c"]) { _, writers, directory in
            #expect(await directory.view().holders(of: "of-b").map(\.alias) == ["b"])
            await writers[0].kill()
            try await EdgeFixtures.eventually("a is lost") { await status("a", directory) == .lost }
            await writers[1].leave()
            try await EdgeFixtures.eventually("b is lost") { await status("b", directory) == .lost }
            #expect(await status("c", directory) == .running)
        }
    }

    @Test("while Redis is away, and after it came back empty, living nodes stay running")
    func restart() async throws {
        try await withRegistry(["a"]) { redis, _, directory in
            redis.stop(SIGKILL)
            for _ in 0..<40 {
                #expect(await status("a", directory) == .running)
                try await Task.sleep(for: .milliseconds(100))
            }
            redis.forgetData()
            try redis.start()
            for _ in 0..<30 {
                #expect(await status("a", directory) == .running)
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }

    @Test(
        "while Sentinels make another server the master, living nodes stay running, what is known of them ages, and then is new again"
    )
    func failover() async throws {
        let group = try await RedisGroup()
        try await withRegistry(at: group.address, ["a"]) { _, directory in
            @Sendable func ageMs() async -> UInt64 { await directory.view().node("a")?.ageMs(nowNs: Monotonic.nowNs()) ?? 0 }
            group.servers[0].stop(SIGKILL)
            try await EdgeFixtures.eventually("the view is older than a heartbeat") {
                #expect(await status("a", directory) == .running)
                return await ageMs() > 1_000
            }
            let before = await directory.view().node("a")?.record.updatedAtMs ?? 0
            try await EdgeFixtures.eventually("the node is heard through the new master") {
                #expect(await status("a", directory) == .running)
                return await directory.view().node("a")?.record.updatedAtMs ?? 0 > before
            }
            #expect(await ageMs() < 60_000)
            let other = group.connect(1)
            #expect(await eventually { try await other.send(RedisCommand("EXISTS", "t:node:a")) == .integer(1) })
            await other.close()
        }
    }

    @Test("a drain is known to another coordinator, and again after a restart")
    func sharedDrain() async throws {
        try await withRegistry(["a"]) { redis, _, directory in
            let client = HTTPClient()
            let other = NodeDirectory(nodes: [], client: client, registry: RedisRegistry(redis.address, prefix: "t"))
            await other.start()
            _ = await directory.setDraining("a", true)
            try await EdgeFixtures.eventually("the other sees the drain") { await status("a", other) == .draining }
            _ = await other.setDraining("a", false)
            try await EdgeFixtures.eventually("the first sees it end") { await status("a", directory) == .running }
            await other.stop()
            await client.shutdown()
        }
    }

    @Test("what is decided while Redis is away is not undone when it is back")
    func decidedMeanwhile() async throws {
        try await withRegistry(["a"]) { redis, _, directory in
            redis.stop(SIGKILL)
            _ = await directory.setDraining("a", true)
            try redis.start()
            let connection = RedisConnection(redis.address)
            try await EdgeFixtures.eventually("it is remembered") {
                (try? await connection.send(RedisCommand("SISMEMBER", "t:drained", "a"))) == .integer(1)
            }
            #expect(await status("a", directory) == .draining)
            await connection.close()
        }
    }

    @Test("a node that is followed and also writes itself into Redis is one node, and lives while one of both says so")
    func bothWays() async throws {
        let edge = try TestEdge("a")
        let redis = try RedisServerProcess()
        try redis.start()
        let writers = [Writer("a", redis.address), Writer("b", redis.address)]
        for writer in writers { await writer.start() }
        let client = HTTPClient()
        let directory = NodeDirectory(
            nodes: [ConfiguredNode(alias: "a", url: edge.url)], client: client,
            registry: RedisRegistry(redis.address, prefix: "t"))
        await directory.start()
        try await EdgeFixtures.eventually("both run") { await directory.view().reachable.map(\.alias) == ["a", "b"] }
        #expect(await directory.view().node("a")?.record.url == edge.url)
        for writer in writers { await writer.leave() }
        try await EdgeFixtures.eventually("b is lost") { await status("b", directory) == .lost }
        #expect(await status("a", directory) == .running)
        await writers[0].start()
        // Its times tell which way a record came.
        func heard(at isWanted: (Int64) -> Bool) async throws {
            try await EdgeFixtures.eventually("a word") { isWanted(await directory.view().node("a")?.record.updatedAtMs ?? 0) }
        }
        try await heard { $0 < 1_000_000 }
        await edge.stop()
        for _ in 0..<30 {
            try await heard { $0 > 0 && $0 < 1_000_000 }
            try await Task.sleep(for: .milliseconds(100))
            #expect(await status("a", directory) == .running)
        }
        await directory.stop()
        for writer in writers { await writer.close() }
        await client.shutdown()
        redis.stop()
    }

    @Test("a node that is added at one coordinator is followed by another, moves and goes there too")
    func sharedNodes() async throws {
        let edge = try TestEdge("x", token: "secret")
        let moved = try TestEdge("x", token: "other")
        try await withRegistry(["a"]) { redis, _, directory in
            let client = HTTPClient()
            let other = NodeDirectory(nodes: [], client: client, registry: RedisRegistry(redis.address, prefix: "t"))
            await other.start()
            #expect(try await directory.add(ConfiguredNode(alias: "x", url: edge.url, token: "secret")).isNew)
            try await EdgeFixtures.eventually("both follow x") {
                let statuses = [await status("x", directory), await status("x", other)]
                return statuses == [.running, .running]
            }
            #expect(try await !other.add(ConfiguredNode(alias: "x", url: moved.url, token: "other")).isNew)
            try await EdgeFixtures.eventually("both follow it to its new address") {
                let views = [await directory.view(), await other.view()]
                return views.allSatisfy { $0.node("x")?.record.url == moved.url && $0.node("x")?.status == .running }
            }
            #expect(try await directory.remove("x"))
            #expect(try await !directory.remove("x"))
            try await EdgeFixtures.eventually("nobody knows x") {
                let statuses = [await status("x", directory), await status("x", other)]
                return statuses == [nil, nil]
            }
            await other.stop()
            await client.shutdown()
        }
        await edge.stop()
        await moved.stop()
    }
}
