import CPostgreSQL
import Foundation
import RedisFixtures
import Synchronization

/// A real PostgreSQL server in a directory of its own, on 127.0.0.1 and behind a password; ends with this object, and with the process.
package final class PostgresServerProcess: Sendable {
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    /// The password of all databases here, to be looked for where no password may be.
    package static let password = "very-secret"

    /// One for all tests that only need a database; made when first asked for.
    private static let common = Mutex<PostgresServerProcess?>(nil)

    private struct Running {
        var process: Process?
        var lifeline: Pipe?
        var databases = 0
    }

    private let directory: URL
    private let port: UInt16
    private let state = Mutex(Running())

    package init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("pg\(UInt32.random(in: 0 ... .max))")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        try Data(Self.password.utf8).write(to: directory.appendingPathComponent("password"))
        port = freePort()
    }

    deinit { end("") }

    /// The URL of a new, empty database of the common server.
    package static func emptyDatabase() throws -> String {
        let server = try common.withLock { common in
            if let common { return common }
            let made = try PostgresServerProcess()
            try made.start()
            common = made
            return made
        }
        return try server.createDatabase()
    }

    /// Starts it, or starts it again with its data, and waits until it lets clients in.
    package func start() throws {
        let (process, lifeline) = (Process(), Pipe())
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", Self.script, "sh", directory.path, String(port)]
        process.standardInput = lifeline
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        state.withLock { ($0.process, $0.lifeline) = (process, lifeline) }
        let file = directory.appendingPathComponent("data/postmaster.pid")
        for _ in 0..<6_000 where process.isRunning {
            let lines = (try? String(contentsOf: file, encoding: .utf8))?.split(separator: "\n") ?? []
            if lines.count > 7, lines[7].hasPrefix("ready") { return }
            usleep(10_000)
        }
        throw Failure(description: "PostgreSQL does not start in \(directory.path)")
    }

    /// Ends it; its data stays.
    package func stop() { end("keep\n") }

    /// The URL of a new, empty database.
    package func createDatabase() throws -> String {
        let name = state.withLock { state in
            state.databases += 1
            return "d\(state.databases)"
        }
        let connection = PQconnectdb(url("postgres"))
        defer { PQfinish(connection) }
        let result = PQexec(connection, "CREATE DATABASE \(name)")
        defer { PQclear(result) }
        guard PQresultStatus(result) == PGRES_COMMAND_OK else {
            throw Failure(description: String(cString: PQerrorMessage(connection)))
        }
        return url(name)
    }

    private func url(_ database: String) -> String {
        "postgresql://tributary:\(Self.password)@127.0.0.1:\(port)/\(database)"
    }

    private func end(_ word: String) {
        let (process, lifeline) = state.withLock { state in
            defer { (state.process, state.lifeline) = (nil, nil) }
            return (state.process, state.lifeline)
        }
        try? lifeline?.fileHandleForWriting.write(contentsOf: Data(word.utf8))
        try? lifeline?.fileHandleForWriting.close()
        for _ in 0..<3_000 where process?.isRunning == true { usleep(10_000) }
    }

    /// PostgreSQL does not run as root; Debian's package brings a user for it. The server runs until its standard input says so or ends,
    /// so that it never outlives the tests.
    private static let script = """
        dir=$1; user=; bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
        if [ "$(id -u)" = 0 ]; then user=postgres; chown postgres "$dir"; fi
        as() { if [ "$user" ]; then exec setpriv --reuid=$user --regid=$user --clear-groups "$@"; else exec "$@"; fi; }
        cd "$dir"
        [ -d data ] || (as "$bin/initdb" -D data -U tributary -A scram-sha-256 --pwfile=password -E UTF8 --locale=C.UTF-8 -N) || exit 1
        (as "$bin/postgres" -D data -k "$dir" -h 127.0.0.1 -p "$2" -c fsync=off -c shared_buffers=16MB </dev/null) &
        read -r word
        kill -INT $!; wait $!
        [ "$word" = keep ] || rm -rf "$dir"
        """
}
