import Cluster
import Foundation
import Redis
import RedisFixtures
import Synchronization
import TestThreads
import Testing

@testable import State

/// A node whose records a test changes.
final class FakeNode: Sendable {
    private let state: Mutex<NodeState>

    init(alias: String = "edge-1", url: String = "http://127.0.0.1:7777", startedAtMs: Int64 = 1) {
        state = Mutex(NodeState(node: NodeRecord(alias: alias, url: url, startedAtMs: startedAtMs, updatedAtMs: 0), streams: []))
    }

    func change(_ body: @Sendable (inout NodeState) -> Void) { state.withLock { body(&$0) } }

    /// Counts up with each writing, so that a test can tell a new heartbeat from an old one.
    func read() -> NodeState {
        state.withLock { state in
            state.node.updatedAtMs += 1
            return state
        }
    }
}

@Suite("A node's records in a real Redis", .offThePool, .timeLimit(.minutes(5)))
struct StatePublisherTests {
    let server: RedisServerProcess
    let reader: RedisConnection
    let node = FakeNode()
    let keys = StateKeys(prefix: "test")

    init() async throws {
        server = try RedisServerProcess()
        try server.start()
        let reader = RedisConnection(server.address)
        self.reader = reader
        #expect(await eventually { reader.status == .ready })
    }

    func publisher() -> StatePublisher {
        let node = node
        return StatePublisher(redis: RedisConnection(server.address), keys: keys) { node.read() }
    }

    func storedNode() async throws -> NodeRecord? {
        guard let bytes = try await reader.send(RedisCommand("GET", keys.node("edge-1"))).bytes else { return nil }
        return try ClusterJSON.decode(NodeRecord.self, from: bytes)
    }

    func storedStreams() async throws -> [StreamRecord]? {
        guard let bytes = try await reader.send(RedisCommand("GET", keys.streams("edge-1"))).bytes else { return nil }
        return try ClusterJSON.streams(from: bytes)
    }

    func timeToLiveMs(_ key: String) async throws -> Int64? {
        guard case .integer(let ms) = try await reader.send(RedisCommand("PTTL", key)) else { return nil }
        return ms
    }

    @Test("heartbeats renew both keys within their time to live")
    func heartbeat() async throws {
        let publisher = publisher()
        #expect(publisher.status == .connecting)
        publisher.start()
        #expect(await eventually { try await storedNode() != nil && publisher.status == .connected })
        #expect(try await storedStreams() == [])
        for key in [keys.node("edge-1"), keys.streams("edge-1")] {
            let left = try #require(try await timeToLiveMs(key))
            #expect(left > 0 && left <= Int64(StateKeys.timeToLiveMs))
        }
        let first = try #require(try await storedNode()).updatedAtMs
        #expect(await eventually { try #require(try await storedNode()).updatedAtMs > first + 1 })
        await publisher.stop()
    }

    @Test("a change is written and told before the next heartbeat; a burst of changes is few writes")
    func change() async throws {
        let publisher = publisher()
        publisher.start()
        #expect(await eventually { publisher.status == .connected })
        let subscriber = RedisSubscriber(server.address, channels: [keys.changed])
        var events = subscriber.events.makeAsyncIterator()
        #expect(await events.next() == .subscribed)
        let before = node.read().node.updatedAtMs
        for number in 0..<200 {
            node.change { $0.streams = [StreamRecord(id: "s\(number)", createdAt: 1)] }
            publisher.changed()
        }
        #expect(await eventually { try await storedStreams()?.map(\.id) == ["s199"] })
        #expect(node.read().node.updatedAtMs - before < 20)
        #expect(await events.next() == .message(channel: "test:changed", payload: Array("edge-1".utf8)))
        await publisher.stop()
        await subscriber.close()
    }

    @Test("figures are written with each heartbeat, but only what is more than figures has another version and is told")
    func versions() async throws {
        node.change { $0.streams = [StreamRecord(id: "s", createdAt: 1)] }
        let publisher = publisher()
        let subscriber = RedisSubscriber(server.address, channels: [keys.changed])
        var events = subscriber.events.makeAsyncIterator()
        #expect(await events.next() == .subscribed)
        publisher.start()
        #expect(await events.next() == .message(channel: "test:changed", payload: Array("edge-1".utf8)))
        let first = try #require(try await storedNode()?.streamsVersion)
        node.change { state in
            state.node.load.cpu = 0.5
            state.streams[0].stats.publish.bytes = 77
        }
        #expect(await eventually { try await storedStreams()?.first?.stats.publish.bytes == 77 })
        #expect(try await storedNode()?.streamsVersion == first)
        node.change { $0.streams[0].recording = true }
        #expect(await events.next() == .message(channel: "test:changed", payload: Array("edge-1".utf8)))
        #expect(await eventually { try await storedNode()?.streamsVersion == first + 1 })
        await publisher.stop()
        await subscriber.close()
    }

    @Test(
        "Redis killed and started again, with and without data: the records are back without anyone's doing",
        arguments: [true, false])
    func restart(isDataKept: Bool) async throws {
        let publisher = publisher()
        publisher.start()
        #expect(await eventually { publisher.status == .connected })
        server.stop(SIGKILL)
        #expect(await eventually { if case .degraded(_, let sinceMs) = publisher.status { sinceMs > 0 } else { false } })
        node.change { $0.streams = [StreamRecord(id: "meanwhile", createdAt: 1)] }
        publisher.changed()
        if !isDataKept { server.forgetData() }
        try server.start()
        #expect(await eventually { try await storedStreams()?.map(\.id) == ["meanwhile"] })
        #expect(await eventually { publisher.status == .connected })
        await publisher.stop()
    }

    @Test("keys that someone else removed come back with the next heartbeat")
    func flushed() async throws {
        let publisher = publisher()
        publisher.start()
        #expect(await eventually { try await storedNode() != nil })
        _ = try await reader.send(RedisCommand("FLUSHALL"))
        #expect(await eventually { try await storedNode() != nil })
        await publisher.stop()
    }

    @Test("a node that falls silent is gone after the time to live")
    func expiry() async throws {
        let publisher = publisher()
        publisher.start()
        #expect(await eventually { publisher.status == .connected })
        // First no new connections, then no old ones, or it would be back in between.
        _ = try await reader.send(RedisCommand("CONFIG", "SET", "maxclients", "1"))
        _ = try await reader.send(RedisCommand("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))
        #expect(await eventually { if case .degraded = publisher.status { true } else { false } })
        #expect(await eventually { try await storedNode() == nil })
        #expect(try await storedStreams() == nil)
        _ = try await reader.send(RedisCommand("CONFIG", "SET", "maxclients", "100"))
        #expect(await eventually { try await storedNode() != nil })
        await publisher.stop()
    }

    @Test("stopping takes the keys away and tells it")
    func stop() async throws {
        let publisher = publisher()
        publisher.start()
        #expect(await eventually { try await storedStreams() != nil })
        await publisher.stop()
        #expect(try await storedNode() == nil)
        #expect(try await storedStreams() == nil)
        await publisher.stop()
    }

    @Test("stopping leaves the keys of a process that took over the alias")
    func takenOver() async throws {
        let node = node
        // Once wanted, the writer is held where it asks for the records, so that it can't write over the other one.
        let isHoldWanted = Atomic(false)
        let isHeld = Atomic(false)
        let publisher = StatePublisher(redis: RedisConnection(server.address), keys: keys) {
            if isHoldWanted.exchange(false, ordering: .relaxed) {
                isHeld.store(true, ordering: .relaxed)
                try? await Task.sleep(for: .seconds(60))
            }
            return node.read()
        }
        publisher.start()
        #expect(await eventually { publisher.status == .connected })
        isHoldWanted.store(true, ordering: .relaxed)
        #expect(await eventually { isHeld.load(ordering: .relaxed) })
        let other = NodeRecord(alias: "edge-1", url: "http://127.0.0.1:7777", startedAtMs: 2, updatedAtMs: 9)
        _ = try await reader.send(RedisCommand("SET", keys.owner("edge-1"), "another http://127.0.0.1:7777"))
        _ = try await reader.send(RedisCommand(["SET", keys.node("edge-1")], bytes: try ClusterJSON.encode(other)))
        await publisher.stop()
        #expect(try await storedNode() == other)
    }

    @Test("a second node of a living one's alias is refused with the name and the address of the first")
    func clash() async throws {
        let publisher = publisher()
        try await publisher.claimAlias()
        publisher.start()
        #expect(await eventually { publisher.status == .connected })
        let other = FakeNode(url: "http://127.0.0.1:7779")
        let second = StatePublisher(redis: RedisConnection(server.address), keys: keys) { other.read() }
        await #expect(throws: AliasClash(alias: "edge-1", url: "http://127.0.0.1:7777")) { try await second.claimAlias() }
        await second.stop()
        #expect(try await storedNode()?.url == "http://127.0.0.1:7777")
        await publisher.stop()
    }

    @Test("a node that was killed takes its alias back, and so does one at another address")
    func restartedNode() async throws {
        // What a killed process leaves behind: its keys, which nobody renews.
        let life = String(StateKeys.timeToLiveMs)
        _ = try await reader.send(RedisCommand("SET", keys.owner("edge-1"), "gone http://127.0.0.1:7771", "PX", life))
        let publisher = publisher()
        try await publisher.claimAlias()
        #expect(try await storedNode()?.url == "http://127.0.0.1:7777")
        #expect(try #require(try await timeToLiveMs(keys.owner("edge-1"))) > 0)
        await publisher.stop()
        #expect(try await reader.send(RedisCommand("GET", keys.owner("edge-1"))) == .null)
    }

    @Test("who comes second to a Redis that was away stays out of it and says why")
    func secondToRedis() async throws {
        _ = try await reader.send(RedisCommand("SET", keys.owner("edge-1"), "first http://127.0.0.1:7770"))
        let publisher = publisher()
        publisher.start()
        #expect(
            await eventually {
                if case .degraded(let reason, _) = publisher.status { reason.contains("http://127.0.0.1:7770") } else { false }
            })
        #expect(try await storedNode() == nil)
        _ = try await reader.send(RedisCommand("DEL", keys.owner("edge-1")))
        #expect(await eventually { publisher.status == .connected })
        await publisher.stop()
    }

    @Test("after a silence, in which others may have been given what it has, it asks before it tells")
    func asksAfterSilence() async throws {
        let node = node
        let publisher = StatePublisher(
            redis: RedisConnection(server.address), keys: keys,
            afterSilence: { node.change { $0.node.region = "asked" } }, state: { node.read() })
        publisher.start()
        #expect(await eventually { try await storedNode() != nil })
        #expect(try await storedNode()?.region == "")
        server.stop(SIGKILL)
        // What was saved lives for another moment, and would be taken for what the node writes.
        server.forgetData()
        try await Task.sleep(for: .milliseconds(StateKeys.silenceMs + 100))
        try server.start()
        #expect(await eventually { try await storedNode() != nil })
        #expect(try await storedNode()?.region == "asked")
        await publisher.stop()
    }

    @Test("without Redis nobody can be asked, and the node may start")
    func noRedis() async throws {
        let node = node
        let publisher = StatePublisher(
            redis: RedisConnection(RedisAddress(endpoint: .unix(path: server.socketPath + "x"))), keys: keys
        ) {
            node.read()
        }
        try await publisher.claimAlias()
        await publisher.stop()
    }

    @Test("without Redis a node starts, runs and stops as ever, and says what is missing")
    func never() async throws {
        let node = node
        let address = RedisAddress(endpoint: .unix(path: server.socketPath + "x"))
        let publisher = StatePublisher(redis: RedisConnection(address), keys: keys) { node.read() }
        publisher.start()
        publisher.changed()
        #expect(
            await eventually {
                if case .degraded(let reason, _) = publisher.status { reason == "No such file or directory" } else { false }
            })
        await publisher.stop()
    }

    @Test("a server that refuses writes is told with its words")
    func refused() async throws {
        _ = try await reader.send(RedisCommand("ACL", "SETUSER", "weak", "on", ">p", "+ping", "+auth", "+get", "~*"))
        let node = node
        let address = RedisAddress(endpoint: .unix(path: server.socketPath), user: "weak", password: "p")
        let publisher = StatePublisher(redis: RedisConnection(address), keys: keys) { node.read() }
        publisher.start()
        #expect(
            await eventually {
                if case .degraded(let reason, _) = publisher.status { reason.hasPrefix("NOPERM") } else { false }
            })
        await publisher.stop()
    }
}

@Suite("cluster/redis.conf", .offThePool, .timeLimit(.minutes(5)))
struct RedisSampleTests {
    /// The lines of the sample that are commented out and begin with `user`, with a password put in.
    static func users() throws -> [[String]] {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let text = try String(contentsOf: root.appendingPathComponent("cluster/redis.conf"), encoding: .utf8)
        return text.split(separator: "\n").filter { $0.hasPrefix("# user ") && $0.contains("CHANGE-ME") }
            .map { $0.dropFirst("# user ".count).replacing("CHANGE-ME", with: "pw").split(separator: " ").map(String.init) }
    }

    @Test("its users may do what the programs do and no more")
    func users() async throws {
        let users = try Self.users()
        #expect(users.map(\.first) == ["edge", "coordinator"])
        let server = try RedisServerProcess(users.flatMap { ["--user"] + $0 })
        try server.start()
        let node = FakeNode()
        let keys = StateKeys(prefix: "edge")
        let publisher = StatePublisher(
            redis: RedisConnection(RedisAddress(endpoint: .unix(path: server.socketPath), user: "edge", password: "pw")),
            keys: keys
        ) { node.read() }
        let address = RedisAddress(endpoint: .unix(path: server.socketPath), user: "coordinator", password: "pw")
        let subscriber = RedisSubscriber(address, channels: [keys.changed])
        var events = subscriber.events.makeAsyncIterator()
        while let event = await events.next(), event != .subscribed {}
        publisher.start()
        #expect(await events.next() == .message(channel: "edge:changed", payload: Array("edge-1".utf8)))
        #expect(await eventually { publisher.status == .connected })
        let reader = RedisConnection(address)
        #expect(await eventually { reader.status == .ready })
        let found = try await reader.send(RedisCommand("SCAN", "0", "MATCH", keys.nodePattern, "COUNT", "500"))
        #expect(found.elements?.last?.elements?.compactMap(\.text) == ["edge:node:edge-1"])
        #expect(try await reader.send(RedisCommand("GET", keys.streams("edge-1"))).text == "[]")
        #expect(try await reader.send(RedisCommand("SADD", "edge:drained", "edge-1")) == .integer(1))
        for command in [RedisCommand("FLUSHALL"), RedisCommand("CONFIG", "GET", "*"), RedisCommand("GET", "other")] {
            await #expect(throws: RedisError.self) { try await reader.send(command) }
        }
        await publisher.stop()
        #expect(try await reader.send(RedisCommand("GET", keys.node("edge-1"))) == .null)
        await reader.close()
        await subscriber.close()
    }
}

@Suite("Processor share, proc(5)", .offThePool)
struct ProcessorShareTests {
    @Test(arguments: [
        ("1 (a) S 0 1 1 0 -1 4194560 1 0 0 0 17 25 0 0 20 0 1 0 5 1 1", 42 as UInt64?),
        ("1 (a) b) (c 5 6) S 0 1 1 0 -1 4194560 1 0 0 0 17 25 0 0", 42), ("", nil), ("1 (a", nil), ("1 (a) S 0", nil),
        ("1 (a) S 0 1 1 0 -1 4194560 1 0 0 0 x 25 0", nil), ("1 (a) S 0 1 1 0 -1 4194560 1 0 0 0 18446744073709551615 1 0", nil),
    ])
    func stat(text: String, ticks: UInt64?) {
        #expect(ProcessorShare.ticks(inStat: Array(text.utf8)) == ticks)
    }

    @Test func shares() {
        var share = ProcessorShare(cores: 4, ticksPerSecond: 100)
        #expect(share.share(ticks: 1_000, nowNs: 5_000_000_000) == 0)
        #expect(share.share(ticks: 1_200, nowNs: 6_000_000_000) == 0.5)
        #expect(share.share(ticks: 1_200, nowNs: 7_000_000_000) == 0)
        #expect(share.share(ticks: 9_999, nowNs: 8_000_000_000) == 1)
        #expect(share.share(ticks: 5, nowNs: 9_000_000_000) == 0)
        #expect(share.share(ticks: 5, nowNs: 9_000_000_000) == 0)
    }

    @Test("this process, while it works, uses some of the machine")
    func real() {
        var share = ProcessorShare()
        _ = share.sample(nowNs: 0)
        var sum = 0
        let end = ContinuousClock.now + .milliseconds(200)
        while ContinuousClock.now < end { sum &+= 1 }
        let used = share.sample(nowNs: 200_000_000)
        #expect(sum > 0 && used > 0 && used <= 1)
    }

    @Test("any bytes", arguments: 0..<UInt64(4))
    func fuzz(seed: UInt64) {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        let good = Array("1 (a) S 0 1 1 0 -1 4194560 1 0 0 0 17 25 0 0 20 0 1 0 5 1 1".utf8)
        for _ in 0..<2_000 {
            var bytes = good
            for _ in 0..<3 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                bytes[Int(state >> 33) % bytes.count] = UInt8(truncatingIfNeeded: state >> 20)
            }
            _ = ProcessorShare.ticks(inStat: bytes)
            _ = ProcessorShare.ticks(inStat: Array(bytes.prefix(Int(state >> 40) % bytes.count)))
        }
    }
}
