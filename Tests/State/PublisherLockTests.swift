import Cluster
import Glibc
import Redis
import RedisFixtures
import TestThreads
import Testing

@testable import State

@Suite("One publisher of a stream in the cluster, in a real Redis", .offThePool, .timeLimit(.minutes(5)))
struct PublisherLockTests {
    let server: RedisServerProcess
    let reader: RedisConnection
    let keys = StateKeys(prefix: "test")
    let one: PublisherLock
    let two: PublisherLock

    init() async throws {
        server = try RedisServerProcess()
        try server.start()
        reader = RedisConnection(server.address)
        one = PublisherLock(redis: RedisConnection(server.address), keys: keys, alias: "one")
        two = PublisherLock(redis: RedisConnection(server.address), keys: keys, alias: "two")
        try await ready()
    }

    /// Waits until both nodes and the test can ask.
    func ready() async throws {
        for lock in [one, two] {
            #expect(
                await eventually {
                    guard case .held(let ticket, let fence) = await lock.acquire("probe", credential: nil, isOverriding: true)
                    else {
                        return false
                    }
                    await lock.release("probe", ticket: ticket)
                    return fence > 0
                })
        }
        #expect(await eventually { reader.status == .ready })
    }

    func fence(_ claim: StreamClaim) -> Int64? {
        if case .held(_, let fence) = claim { fence } else { nil }
    }

    @Test("one node has a stream; another is told which, until it is given back")
    func exclusive() async throws {
        guard case .held(let ticket, let first) = await one.acquire("s", credential: nil, isOverriding: false) else {
            throw Failure.notHeld
        }
        #expect(await two.acquire("s", credential: nil, isOverriding: false) == .taken(by: "one"))
        #expect(await two.acquire("s", credential: "other", isOverriding: false) == .taken(by: "one"))
        #expect(await two.acquire("t", credential: nil, isOverriding: false) != .taken(by: "one"))
        await one.release("s", ticket: ticket + 1)
        #expect(await two.acquire("s", credential: nil, isOverriding: false) == .taken(by: "one"))
        await one.release("s", ticket: ticket)
        let second = try #require(fence(await two.acquire("s", credential: nil, isOverriding: false)))
        #expect(second > first)
        #expect(await one.renew().isEmpty)
    }

    @Test("the same credential takes over, and who had the stream is told", arguments: ["same", "other"])
    func takeover(credential: String) async throws {
        let first = try #require(fence(await one.acquire("s", credential: "same", isOverriding: false)))
        let answer = await two.acquire("s", credential: credential, isOverriding: credential == "other")
        #expect(try #require(fence(answer)) > first)
        #expect(await one.renew() == [.lost(stream: "s", to: "two")])
        #expect(await one.renew().isEmpty)
        #expect(await two.renew().isEmpty)
    }

    @Test("a node that comes again keeps its stream, with a new number")
    func again() async throws {
        let first = try #require(fence(await one.acquire("s", credential: nil, isOverriding: false)))
        let second = try #require(fence(await one.acquire("s", credential: nil, isOverriding: false)))
        #expect(second > first)
        #expect(await one.renew().isEmpty)
    }

    @Test("a node that says nothing loses its streams after the time to live, one that does keeps them")
    func expiry() async throws {
        _ = await one.acquire("quiet", credential: nil, isOverriding: false)
        _ = await two.acquire("kept", credential: nil, isOverriding: false)
        for key in [keys.publisher("quiet"), keys.publisher("kept")] {
            // As if their last second had begun.
            _ = try await reader.send(RedisCommand("PEXPIRE", key, "700"))
        }
        #expect(await two.renew().isEmpty)
        #expect(await eventually { try await reader.send(RedisCommand("EXISTS", keys.publisher("quiet"))) == .integer(0) })
        #expect(await two.acquire("quiet", credential: nil, isOverriding: false) != .taken(by: "one"))
        #expect(await one.acquire("kept", credential: nil, isOverriding: false) == .taken(by: "two"))
    }

    @Test("numbers never fall back, not even when Redis loses its data")
    func forgotten() async throws {
        let first = try #require(fence(await one.acquire("s", credential: nil, isOverriding: false)))
        _ = try await reader.send(RedisCommand("FLUSHALL"))
        #expect(await one.renew().isEmpty)
        #expect(await two.acquire("s", credential: nil, isOverriding: false) == .taken(by: "one"))
        _ = try await reader.send(RedisCommand("FLUSHALL"))
        #expect(try #require(fence(await two.acquire("s", credential: nil, isOverriding: false))) > first)
        #expect(await one.renew() == [.lost(stream: "s", to: "two")])
    }

    @Test("without Redis both may publish; when it is back, one keeps the stream and the other is told")
    func away() async throws {
        server.stop(SIGKILL)
        #expect(await eventually { fence(await one.acquire("s", credential: nil, isOverriding: false)) == 0 })
        #expect(await eventually { fence(await two.acquire("s", credential: nil, isOverriding: false)) == 0 })
        try server.start()
        var changes: [PublisherLock.Change] = []
        #expect(
            await eventually {
                changes += await one.renew()
                return !changes.isEmpty
            })
        guard case .fenced("s", let fence) = try #require(changes.first) else { throw Failure.notHeld }
        #expect(fence > 0)
        #expect(
            await eventually {
                changes += await two.renew()
                return changes.count > 1
            })
        #expect(changes.last == .lost(stream: "s", to: "one"))
    }

    enum Failure: Error { case notHeld }
}
