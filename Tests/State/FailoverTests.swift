import Cluster
import Glibc
import Redis
import RedisFixtures
import TestThreads
import Testing

@testable import State

@Suite("A node's records and streams when another Redis becomes the master", .offThePool, .timeLimit(.minutes(5)))
struct FailoverTests {
    private let group: RedisGroup
    private let keys = StateKeys(prefix: "test")
    private let one: PublisherLock
    private let two: PublisherLock

    init() async throws {
        let group = try await RedisGroup()
        self.group = group
        one = PublisherLock(redis: RedisConnection(group.address), keys: keys, alias: "one")
        two = PublisherLock(redis: RedisConnection(group.address), keys: keys, alias: "two")
    }

    /// Asks until Redis has given the stream, and not only let us in for want of it.
    private func hold(_ stream: String, _ lock: PublisherLock) async -> Int64 {
        var held: Int64 = 0
        _ = await eventually {
            if case .held(_, let fence) = await lock.acquire(stream, credential: nil, isOverriding: false) { held = fence }
            return held > 0
        }
        return held
    }

    @Test("the node writes itself into the new master, and its stream stays its own with its fence")
    func masterDies() async throws {
        let node = FakeNode()
        let state = StatePublisher(redis: RedisConnection(group.address), keys: keys) { node.read() }
        state.start()
        #expect(await eventually { state.status == .connected })
        let fence = await hold("s", one)
        group.servers[0].stop(SIGKILL)
        let master = group.connect(1)
        #expect(await eventually { (try await master.send(RedisCommand("ROLE"))).elements?.first?.text == "master" })
        var changes: [PublisherLock.Change] = []
        #expect(
            await eventually {
                changes += await one.renew()
                // What the old master had passed on may still stand there, but not as fresh.
                let leftMs = try await master.send([keys.publisher("s"), keys.node("edge-1")].map { RedisCommand("PTTL", $0) })
                return leftMs.allSatisfy { if case .integer(let leftMs) = $0 { leftMs > 2_500 } else { false } }
            })
        #expect(changes.isEmpty)
        #expect(await eventually { await two.acquire("s", credential: nil, isOverriding: false) == .taken(by: "one") })
        #expect(try await master.send(RedisCommand("HGET", keys.publisher("s"), "fence")).text == "\(fence)")
        #expect(await eventually { state.status == .connected })
        await state.stop()
        await master.close()
    }

    @Test("a holder that is left with the old master has the stream no longer than until it is led to the new one")
    func splitBrain() async throws {
        let first = await hold("s", one)
        try await group.cutOff(0)
        let new = group.connect(1)
        #expect(await eventually { (try await new.send(RedisCommand("ROLE"))).elements?.first?.text == "master" })
        // As if the replica had never heard of the stream: the worst that replication which lags can do.
        _ = try await new.send(RedisCommand("DEL", keys.publisher("s")))
        var changes: [PublisherLock.Change] = []
        var second: StreamClaim = .taken(by: "")
        let settled = await eventually {
            changes += await one.renew()
            second = await two.acquire("s", credential: nil, isOverriding: false)
            return try await new.send(RedisCommand("HGET", keys.publisher("s"), "node")).text != nil
        }
        #expect(settled)
        // Whoever was led there first has it, and the other one is told.
        if case .held(_, let fence) = second, fence > 0 {
            #expect(fence > first)
            #expect(
                await eventually {
                    changes += await one.renew()
                    return changes == [.lost(stream: "s", to: "two")]
                })
        } else {
            #expect(await eventually { await two.acquire("s", credential: nil, isOverriding: false) == .taken(by: "one") })
        }
        await new.close()
    }
}
