import Foundation
import Redis

/// A master, its replica and three Sentinels that watch over them, all real and on 127.0.0.1.
package final class RedisGroup: Sendable {
    private struct Failure: Error {}

    /// Both servers; the first begins as the master.
    package let servers: [RedisServerProcess]
    package let ports: [UInt16]
    package let sentinels: [RedisServerProcess]
    /// The master's, whichever it is. `app` may do everything at the servers; what the Sentinels are there, is set by `cutOff`.
    package let address: RedisAddress

    /// Starts all of it and waits until every Sentinel knows the others and the replica.
    package init() async throws {
        let (first, second) = (freePort(), freePort())
        ports = [first, second]
        // Without waiting for a second replica to come: there is one.
        let options = ["--repl-diskless-sync-delay", "0", "--user", "app", "on", ">pw", "allkeys", "allchannels", "allcommands"]
        servers = [
            try RedisServerProcess(["--port", "\(first)"] + options),
            try RedisServerProcess(["--port", "\(second)", "--replicaof", "127.0.0.1 \(first)"] + options),
        ]
        for server in servers { try server.start() }
        let sentinelPorts = (0..<3).map { _ in freePort() }
        sentinels = try sentinelPorts.map { port in
            try RedisServerProcess(
                sentinel: [
                    "port \(port)", "sentinel monitor group 127.0.0.1 \(first) 2", "sentinel down-after-milliseconds group 700",
                    "sentinel failover-timeout group 4000",
                ])
        }
        var address = RedisAddress(endpoint: .tcp(host: "master", port: 1), user: "app", password: "pw")
        let addresses = sentinelPorts.map { RedisAddress(endpoint: .tcp(host: "127.0.0.1", port: $0)) }
        address.sentinels = RedisSentinels(master: "group", addresses: addresses)
        self.address = address
        // Sentinels read from the master who its replicas are, and from its channel who watches with them.
        guard await Self.replicates(from: first) else { throw Failure() }
        for sentinel in sentinels { try sentinel.start() }
        for each in addresses {
            guard await Self.isComplete(each) else { throw Failure() }
        }
    }

    /// Connected to one server, master or not.
    package func connect(_ server: Int) -> RedisConnection {
        RedisConnection(RedisAddress(endpoint: .tcp(host: "127.0.0.1", port: ports[server]), user: "app", password: "pw"))
    }

    /// Sentinels and replica can't talk to this server any more; who is connected as `app` doesn't notice.
    package func cutOff(_ server: Int) async throws {
        let connection = connect(server)
        guard await eventually({ connection.status == .ready }) else { throw Failure() }
        _ = try await connection.send([
            RedisCommand("ACL", "SETUSER", "default", "off"), RedisCommand("CLIENT", "KILL", "USER", "default"),
        ])
        await connection.close()
    }

    private static func replicates(from port: UInt16) async -> Bool {
        let connection = RedisConnection(RedisAddress(endpoint: .tcp(host: "127.0.0.1", port: port)))
        let isReady = await eventually {
            try await connection.send(RedisCommand("INFO", "replication")).text?.contains("state=online") == true
        }
        await connection.close()
        return isReady
    }

    private static func isComplete(_ sentinel: RedisAddress) async -> Bool {
        let connection = RedisConnection(sentinel)
        let isReady = await eventually {
            let lines = try await connection.send(RedisCommand("INFO", "sentinel")).text
            return lines?.contains("status=ok") == true && lines?.contains("slaves=1,sentinels=3") == true
        }
        await connection.close()
        return isReady
    }
}
