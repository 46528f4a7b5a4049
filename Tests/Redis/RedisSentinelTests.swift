import Glibc
import RedisFixtures
import TestThreads
import Testing

@testable import Redis

@Suite("Servers that Sentinels watch over", .offThePool, .timeLimit(.minutes(5)))
struct RedisSentinelTests {
    private func port(_ redis: RedisConnection) async throws -> String? {
        try await redis.send(RedisCommand("CONFIG", "GET", "port")).elements?.last?.text
    }

    private func next(_ events: inout AsyncStream<RedisEvent>.Iterator, _ wanted: RedisEvent) async -> Bool {
        while let event = await events.next() { if event == wanted { return true } }
        return false
    }

    @Test("when the master dies, commands and messages go on at its replica; one Sentinel may be dead too")
    func failover() async throws {
        let group = try await RedisGroup()
        group.sentinels[0].stop(SIGKILL)
        let redis = RedisConnection(group.address)
        let subscriber = RedisSubscriber(group.address, channels: ["c"])
        var events = subscriber.events.makeAsyncIterator()
        #expect(await next(&events, .subscribed))
        #expect(await eventually { (try await redis.send(RedisCommand("SET", "k", "v"))).text == "OK" })
        #expect(try await port(redis) == "\(group.ports[0])")
        #expect(try await redis.send(RedisCommand("WAIT", "1", "2000")) == .integer(1))
        group.servers[0].stop(SIGKILL)
        #expect(await eventually { try await port(redis) == "\(group.ports[1])" })
        #expect(try await redis.send(RedisCommand("GET", "k")).text == "v")
        #expect(try await redis.send(RedisCommand("SET", "k", "w")).text == "OK")
        #expect(await next(&events, .subscribed))
        #expect(await eventually { try await redis.send(RedisCommand("PUBLISH", "c", "m")) == .integer(1) })
        #expect(await next(&events, .message(channel: "c", payload: Array("m".utf8))))
        await subscriber.close()
        await redis.close()
    }

    @Test("a master that is cut off from the others, but not from us, is left for the one they have made instead")
    func cutOff() async throws {
        let group = try await RedisGroup()
        let redis = RedisConnection(group.address)
        #expect(await eventually { try await port(redis) == "\(group.ports[0])" })
        try await group.cutOff(0)
        #expect(await eventually { try await port(redis) == "\(group.ports[1])" })
        let old = group.connect(0)
        #expect(await eventually { (try await old.send(RedisCommand("ROLE"))).elements?.first?.text == "master" })
        await old.close()
        await redis.close()
    }

    @Test("a server that has become a replica refuses one write, then it is left")
    func demoted() async throws {
        let server = try RedisServerProcess()
        try server.start()
        let redis = RedisConnection(server.address)
        #expect(await eventually { redis.status == .ready })
        let before = try await redis.send(RedisCommand("CLIENT", "ID"))
        _ = try await redis.send(RedisCommand("REPLICAOF", "127.0.0.1", "\(freePort())"))
        await #expect { try await redis.send(RedisCommand("SET", "k", "v")) } throws: { error in
            if case .refused(let text)? = error as? RedisError { text.hasPrefix("READONLY") } else { false }
        }
        #expect(await eventually { try await redis.send(RedisCommand("CLIENT", "ID")) != before })
        await redis.close()
    }

    @Test("Sentinels that are away, and ones that watch over others, are told")
    func unknown() async throws {
        let sentinelPort = freePort()
        let sentinel = try RedisServerProcess(sentinel: [
            "port \(sentinelPort)", "sentinel monitor group 127.0.0.1 \(freePort()) 1",
        ])
        try sentinel.start()
        var address = RedisAddress(endpoint: .tcp(host: "h", port: 1), password: "secret")
        let sentinels = [sentinelPort, freePort()].map {
            RedisAddress(endpoint: .tcp(host: "127.0.0.1", port: $0), user: "", password: "")
        }
        address.sentinels = RedisSentinels(master: "other", addresses: sentinels)
        let redis = RedisConnection(address)
        #expect(
            await eventually {
                guard case .unavailable(let reason) = redis.status else { return false }
                return reason.contains("knows no such master") && reason.contains("Connection refused")
                    && !reason.contains("secret")
            })
        await redis.close()
    }

    @Test(
        "what redis.sentinels may hold",
        arguments: [
            ("h", RedisAddress(endpoint: .tcp(host: "h", port: 26_379))),
            ("h:1", RedisAddress(endpoint: .tcp(host: "h", port: 1))),
            ("[::1]", RedisAddress(endpoint: .tcp(host: "::1", port: 26_379))),
            ("rediss://:p@h", RedisAddress(endpoint: .tcp(host: "h", port: 26_379), password: "p", tls: RedisTLS())),
        ])
    func sentinels(text: String, address: RedisAddress) throws { #expect(try RedisAddress.sentinel(text) == address) }

    @Test("what it may not", arguments: ["", "unix:///r", "redis://h/3", "h:0", "a b"])
    func badSentinels(text: String) { #expect(RedisAddress.problem(ofSentinel: text) != nil) }
}
