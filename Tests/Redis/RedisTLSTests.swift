import Glibc
import RedisFixtures
import TestThreads
import Testing

@testable import Redis

@Suite("A server under TLS", .offThePool, .timeLimit(.minutes(5)))
struct RedisTLSTests {
    private let certificates: TestCertificates
    private let server: RedisServerProcess
    private let port = freePort()

    init() throws {
        certificates = try TestCertificates()
        server = try RedisServerProcess([
            "--tls-port", "\(port)", "--tls-cert-file", certificates.file("server.pem"), "--tls-key-file",
            certificates.file("server.key"), "--tls-ca-cert-file", certificates.file("ca.pem"), "--user", "edge", "on", ">pw",
            "allkeys", "allchannels", "allcommands",
        ])
        try server.start()
    }

    private func address(_ tls: RedisTLS, host: String = "127.0.0.1") throws -> RedisAddress {
        var address = try RedisAddress("rediss://edge:pw@\(host):\(port)/2")
        address.tls = tls
        return address
    }

    private var trusting: RedisTLS {
        RedisTLS(
            authority: certificates.file("ca.pem"), certificate: certificates.file("client.pem"),
            key: certificates.file("client.key"))
    }

    /// Whether a connection is not made, and says these words about why.
    private func isRefused(_ address: RedisAddress, _ words: String) async -> Bool {
        let redis = RedisConnection(address)
        let isRefused = await eventually {
            if case .unavailable(let reason) = redis.status { reason.contains(words) } else { false }
        }
        await redis.close()
        return isRefused
    }

    @Test("commands, answers larger than a record, and messages", arguments: ["127.0.0.1", "localhost"])
    func commands(host: String) async throws {
        let address = try address(trusting, host: host)
        let redis = RedisConnection(address)
        #expect(await eventually { (try await redis.send(RedisCommand("ACL", "WHOAMI"))).text == "edge" })
        let large = [UInt8]((0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        #expect(try await redis.send(RedisCommand(["SET", "k"], bytes: large)) == .status("OK"))
        let several = (0..<20).map { $0 % 2 == 0 ? RedisCommand("GET", "k") : RedisCommand("ECHO", "\($0)") }
        let answers = try await redis.send(several)
        for (index, answer) in answers.enumerated() {
            #expect(answer == (index % 2 == 0 ? .bytes(large) : .bytes(Array("\(index)".utf8))))
        }
        let subscriber = RedisSubscriber(address, channels: ["c"])
        var events = subscriber.events.makeAsyncIterator()
        #expect(await events.next() == .subscribed)
        _ = try await redis.send((0..<200).map { RedisCommand("PUBLISH", "c", "\($0)") })
        for number in 0..<200 { #expect(await events.next() == .message(channel: "c", payload: Array("\(number)".utf8))) }
        await subscriber.close()
        await redis.close()
    }

    @Test("a connection comes back after the server was gone")
    func restart() async throws {
        let redis = RedisConnection(try address(trusting))
        #expect(await eventually { redis.status == .ready })
        server.stop(SIGKILL)
        #expect(await eventually { if case .unavailable = redis.status { true } else { false } })
        try server.start()
        #expect(await eventually { redis.status == .ready })
        #expect(try await redis.send(RedisCommand("PING")).text == "PONG")
        await redis.close()
    }

    @Test("a server that nobody vouches for, and one that wants a certificate which we don't have, are told as such")
    func refused() async throws {
        #expect(await isRefused(try address(RedisTLS()), "the server's certificate"))
        var alone = trusting
        (alone.certificate, alone.key) = ("", "")
        #expect(await isRefused(try address(alone), "TLS: "))
        var wrong = trusting
        wrong.key = certificates.file("server.key")
        #expect(await isRefused(try address(wrong), "redis.tls_key: "))
        wrong.authority = certificates.file("none.pem")
        #expect(await isRefused(try address(wrong), "redis.tls_ca: "))
    }

    @Test("a certificate that is another server's is refused")
    func otherName() async throws {
        let other = RedisAddress(endpoint: .tcp(host: "127.0.0.2", port: port), tls: trusting)
        let server = try RedisServerProcess([
            "--bind", "127.0.0.2", "--tls-port", "\(port)", "--tls-cert-file", certificates.file("server.pem"),
            "--tls-key-file", certificates.file("server.key"), "--tls-ca-cert-file", certificates.file("ca.pem"),
        ])
        try server.start()
        #expect(await isRefused(other, "IP address mismatch"))
    }

    @Test("a plain server is no server under TLS, and the other way round")
    func plain() async throws {
        let plainPort = freePort()
        let plain = try RedisServerProcess(["--port", "\(plainPort)"])
        try plain.start()
        let clear = RedisConnection(RedisAddress(endpoint: .tcp(host: "127.0.0.1", port: plainPort)))
        #expect(await eventually { clear.status == .ready })
        await clear.close()
        #expect(await isRefused(RedisAddress(endpoint: .tcp(host: "127.0.0.1", port: plainPort), tls: trusting), ""))
        #expect(await isRefused(RedisAddress(endpoint: .tcp(host: "127.0.0.1", port: port)), ""))
    }
}
