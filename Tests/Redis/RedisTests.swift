import Foundation
import RedisFixtures
import TestThreads
import Testing

@testable import Redis

@Suite("redis.url")
struct RedisAddressTests {
    @Test(arguments: [
        ("redis://h", RedisAddress(endpoint: .tcp(host: "h", port: 6379))),
        ("redis://h:1/2", RedisAddress(endpoint: .tcp(host: "h", port: 1), database: 2)),
        ("redis://:p@h", RedisAddress(endpoint: .tcp(host: "h", port: 6379), password: "p")),
        ("redis://u:p%40%2F@h:1/", RedisAddress(endpoint: .tcp(host: "h", port: 1), user: "u", password: "p@/")),
        ("redis://[::1]:7/0", RedisAddress(endpoint: .tcp(host: "::1", port: 7))),
        ("rediss://:p@h/2", RedisAddress(endpoint: .tcp(host: "h", port: 6379), password: "p", database: 2, tls: RedisTLS())),
        ("unix:///run/r.sock", RedisAddress(endpoint: .unix(path: "/run/r.sock"))),
        (
            "unix://u:p@/run/r.sock?db=3",
            RedisAddress(endpoint: .unix(path: "/run/r.sock"), user: "u", password: "p", database: 3)
        ),
    ])
    func read(text: String, address: RedisAddress) throws {
        #expect(try RedisAddress(text) == address)
    }

    @Test(arguments: [
        "", "h:6379", "redis://", "redis://h:0", "redis://h:99999", "redis://h/x", "redis://h/-1", "redis://h?x=1",
        "unix://run/r", "unix:///", "unix:///r?x=1", "unix:///r?db=a", "unix:///" + String(repeating: "x", count: 107),
        "redis://h\u{0}",
    ])
    func refused(text: String) {
        let problem = RedisAddress.problem(of: text)
        #expect(problem != nil)
        #expect(problem?.contains("secret") == false)
    }

    @Test("logs show no password")
    func description() throws {
        #expect(try RedisAddress("redis://user:secret@h:1/2").safeDescription == "redis://h:1/2")
        #expect(try RedisAddress("unix://user:secret@/r?db=1").safeDescription == "unix:///r?db=1")
        #expect(RedisAddress.problem(of: "redis://user:secret@h:1/x")?.contains("secret") == false)
    }
}

@Suite("Back-off")
struct BackoffTests {
    @Test("doubles to its limit, spread over half of it, and begins anew")
    func delays() {
        var backoff = Backoff()
        for expected in [100, 200, 400, 800, 1_600, 2_000, 2_000] {
            #expect((expected / 2...expected).contains(backoff.delayMs()))
        }
        backoff.reset()
        #expect(backoff.delayMs() <= 100)
    }
}

@Suite("A connection to a real server", .offThePool, .timeLimit(.minutes(5)))
struct RedisConnectionTests {
    @Test("commands and answers of every kind")
    func commands() async throws {
        let server = try RedisServerProcess()
        try server.start()
        let redis = RedisConnection(server.address)
        #expect(await eventually { redis.status == .ready })
        let binary: [UInt8] = [0, 13, 10, 255, 34]
        #expect(try await redis.send(RedisCommand(["SET", "k"], bytes: binary, ["PX", "60000"])) == .status("OK"))
        #expect(try await redis.send(RedisCommand("GET", "k")) == .bytes(binary))
        #expect(try await redis.send(RedisCommand("GET", "none")) == .null)
        #expect(try await redis.send(RedisCommand(["SET", "empty"], bytes: [])) == .status("OK"))
        #expect(try await redis.send(RedisCommand("GET", "empty")) == .bytes([]))
        #expect(try await redis.send(RedisCommand("DEL", "k", "none")) == .integer(1))
        #expect(
            try await redis.send([RedisCommand("MGET", "empty", "none"), RedisCommand("NONSENSE"), RedisCommand("ECHO", "é")])
                .map(\.text)
                == [nil, "ERR unknown command 'NONSENSE', with args beginning with: ", "é"])
        #expect(try await redis.send(RedisCommand("MGET", "empty", "none")) == .array([.bytes([]), .null]))
        await #expect(throws: RedisError.self) { try await redis.send(RedisCommand("INCR", "empty", "x")) }
        #expect(try await redis.send([]) == [])
        await redis.close()
        await #expect(throws: RedisError.closed) { try await redis.send(RedisCommand("PING")) }
    }

    @Test("many callers at once each get their own answer")
    func concurrent() async throws {
        let server = try RedisServerProcess()
        try server.start()
        let redis = RedisConnection(server.address)
        #expect(await eventually { redis.status == .ready })
        let right = await withTaskGroup(of: Bool.self) { group in
            for number in 0..<500 {
                group.addTask { (try? await redis.send(RedisCommand("ECHO", "\(number)")))?.text == "\(number)" }
            }
            return await group.reduce(into: 0) { count, isRight in count += isRight ? 1 : 0 }
        }
        #expect(right == 500)
        await redis.close()
    }

    @Test("without a server: an error at once, and a connection when it comes")
    func comesLater() async throws {
        let server = try RedisServerProcess()
        let redis = RedisConnection(server.address)
        #expect(await eventually { if case .unavailable = redis.status { true } else { false } })
        await #expect(throws: RedisError.self) { try await redis.send(RedisCommand("PING")) }
        try server.start()
        #expect(await eventually { (try await redis.send(RedisCommand("PING"))).text == "PONG" })
        await redis.close()
    }

    @Test("killed and started again, with and without its data", arguments: [true, false])
    func restart(isDataKept: Bool) async throws {
        let server = try RedisServerProcess()
        try server.start()
        let redis = RedisConnection(server.address)
        #expect(await eventually { (try await redis.send(RedisCommand("SET", "k", "v"))).text == "OK" })
        server.stop(SIGKILL)
        #expect(await eventually { if case .unavailable = redis.status { true } else { false } })
        if !isDataKept { server.forgetData() }
        try server.start()
        #expect(await eventually { redis.status == .ready })
        #expect(try await redis.send(RedisCommand("GET", "k")).text == (isDataKept ? "v" : nil))
        await redis.close()
        var updates: [RedisStatus] = []
        for await update in redis.statusUpdates { updates.append(update) }
        #expect(updates.filter { $0 == .ready }.count >= 2)
    }

    @Test("a server that hangs costs its callers a bounded time, then the connection is given up")
    func hangs() async throws {
        let server = try RedisServerProcess()
        try server.start()
        let redis = RedisConnection(server.address)
        #expect(await eventually { redis.status == .ready })
        server.freeze(true)
        await #expect(throws: RedisError.self) { try await redis.send(RedisCommand("PING")) }
        #expect(redis.status != .ready)
        server.freeze(false)
        #expect(await eventually { redis.status == .ready })
        await redis.close()
    }

    @Test("over TCP with a user, a password and a database; a wrong password is told as the server tells it")
    func authentication() async throws {
        let port = freePort()
        let server = try RedisServerProcess([
            "--port", String(port), "--user", "edge", "on", ">p@ss/word", "allkeys", "allchannels", "allcommands",
        ])
        try server.start()
        let redis = RedisConnection(try RedisAddress("redis://edge:p%40ss%2Fword@127.0.0.1:\(port)/3"))
        #expect(await eventually { (try await redis.send(RedisCommand("ACL", "WHOAMI"))).text == "edge" })
        #expect(try await redis.send(RedisCommand("CLIENT", "INFO")).text?.contains(" db=3 ") == true)
        let wrong = RedisConnection(try RedisAddress("redis://edge:nonsense@127.0.0.1:\(port)"))
        #expect(
            await eventually {
                if case .unavailable(let reason) = wrong.status {
                    reason.hasPrefix("WRONGPASS") && !reason.contains("nonsense")
                } else {
                    false
                }
            })
        await redis.close()
        await wrong.close()
    }

    @Test("a server that does not know AUTH repeats the password, which is not told on")
    func unknownCommand() async throws {
        let server = try RedisServerProcess(["--rename-command", "AUTH", "NOBODY"])
        try server.start()
        let redis = RedisConnection(RedisAddress(endpoint: .unix(path: server.socketPath), password: "pa55word"))
        #expect(
            await eventually {
                if case .unavailable(let reason) = redis.status {
                    reason.contains("unknown command") && !reason.contains("pa55word")
                } else {
                    false
                }
            })
        await redis.close()
    }

    @Test("closing twice, and while there is no server")
    func closing() async throws {
        let server = try RedisServerProcess()
        let redis = RedisConnection(server.address)
        await redis.close()
        await redis.close()
        #expect(await eventually { true })
    }

    @Test("a key ends with its time to live")
    func expiry() async throws {
        let server = try RedisServerProcess()
        try server.start()
        let redis = RedisConnection(server.address)
        #expect(await eventually { (try await redis.send(RedisCommand("SET", "k", "v", "PX", "200"))).text == "OK" })
        #expect(await eventually { try await redis.send(RedisCommand("GET", "k")) == .null })
        await redis.close()
    }
}

@Suite("A subscriber of a real server", .offThePool, .timeLimit(.minutes(5)))
struct RedisSubscriberTests {
    @Test("messages in order, from before and after the server was gone")
    func messages() async throws {
        let server = try RedisServerProcess()
        try server.start()
        let redis = RedisConnection(server.address)
        let subscriber = RedisSubscriber(server.address, channels: ["a", "b"])
        var events = subscriber.events.makeAsyncIterator()
        #expect(await first(&events) { $0 == .subscribed })
        #expect(await eventually { redis.status == .ready })
        for number in 0..<3 {
            #expect(try await redis.send(RedisCommand("PUBLISH", number == 1 ? "b" : "a", "\(number)")) == .integer(1))
        }
        #expect(await events.next() == .message(channel: "a", payload: Array("0".utf8)))
        #expect(await events.next() == .message(channel: "b", payload: Array("1".utf8)))
        #expect(await events.next() == .message(channel: "a", payload: Array("2".utf8)))
        server.stop(SIGKILL)
        #expect(await first(&events) { if case .lost = $0 { true } else { false } })
        try server.start()
        #expect(await events.next() == .subscribed)
        #expect(await eventually { try await redis.send(RedisCommand("PUBLISH", "a", "again")) == .integer(1) })
        #expect(await events.next() == .message(channel: "a", payload: Array("again".utf8)))
        await subscriber.close()
        #expect(await events.next() == nil)
        await redis.close()
    }

    @Test("a server that hangs is noticed, though nothing is asked of it")
    func hangs() async throws {
        let server = try RedisServerProcess()
        try server.start()
        let subscriber = RedisSubscriber(server.address, channels: ["a"])
        var events = subscriber.events.makeAsyncIterator()
        #expect(await first(&events) { $0 == .subscribed })
        server.freeze(true)
        #expect(await first(&events) { if case .lost = $0 { true } else { false } })
        server.freeze(false)
        #expect(await events.next() == .subscribed)
        await subscriber.close()
    }

    private func first(_ events: inout AsyncStream<RedisEvent>.Iterator, where isWanted: (RedisEvent) -> Bool) async -> Bool {
        while let event = await events.next() {
            if isWanted(event) { return true }
        }
        return false
    }
}
