import Foundation
import Redis

/// A real redis-server on a Unix socket in a directory of its own; ends with this object.
package final class RedisServerProcess: @unchecked Sendable {  // why: used by one test, which runs its steps one after the other
    package let directory: URL
    private let arguments: [String]
    private let sentinelLines: [String]?
    private var process: Process?

    /// - Parameters:
    ///   - arguments: more options, such as `--port`.
    ///   - sentinel: makes it a Sentinel; the lines of its configuration, which it keeps up itself.
    package init(_ arguments: [String] = [], sentinel: [String]? = nil) throws {
        sentinelLines = sentinel
        // A Unix socket's path is at most 107 bytes, so the name is short.
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("r\(UInt32.random(in: 0 ... .max))")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        self.arguments = arguments
    }

    deinit {
        stop(SIGKILL)
        try? FileManager.default.removeItem(at: directory)
    }

    package var socketPath: String { directory.appendingPathComponent("s").path }

    package var address: RedisAddress { RedisAddress(endpoint: .unix(path: socketPath)) }

    /// Starts it, or starts it again with the data that was saved.
    package func start() throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = try sentinelArguments() ?? serverArguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        self.process = process
    }

    private var serverArguments: [String] {
        ["redis-server", "--unixsocket", socketPath, "--dir", directory.path, "--save", "", "--appendonly", "yes"]
            + ["--appendfsync", "always", "--bind", "127.0.0.1"] + (arguments.contains("--port") ? [] : ["--port", "0"])
            + arguments
    }

    private func sentinelArguments() throws -> [String]? {
        guard let sentinelLines else { return nil }
        let file = directory.appendingPathComponent("sentinel.conf")
        if !FileManager.default.fileExists(atPath: file.path) {
            let lines = ["dir \(directory.path)", "bind 127.0.0.1"] + sentinelLines
            try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: file)
        }
        return ["redis-server", file.path, "--sentinel"]
    }

    /// Ends it by its process id and waits until it is gone.
    package func stop(_ signal: Int32 = SIGTERM) {
        guard let process else { return }
        kill(process.processIdentifier, signal)
        // A child of a dispatch thread inherits its blocked signals and may never see a polite one. Waiting is by polling,
        // because waitUntilExit() wants the run loop of the thread that started the process.
        for attempt in 0..<1_000 where process.isRunning {
            if attempt == 100 { kill(process.processIdentifier, SIGKILL) }
            usleep(10_000)
        }
        self.process = nil
        if signal == SIGKILL { unlink(socketPath) }
    }

    /// Stops it where it stands, so that connections stay open and nobody answers; or lets it go on.
    package func freeze(_ isFrozen: Bool) {
        guard let process else { return }
        kill(process.processIdentifier, isFrozen ? SIGSTOP : SIGCONT)
    }

    /// Throws away what was saved.
    package func forgetData() {
        try? FileManager.default.removeItem(at: directory.appendingPathComponent("appendonlydir"))
    }
}

/// Asks again and again until the condition holds; false when it doesn't within a minute.
package func eventually(_ condition: () async throws -> Bool) async -> Bool {
    let deadline = ContinuousClock.now + .seconds(60)
    while ContinuousClock.now < deadline {
        if (try? await condition()) == true { return true }
        try? await Task.sleep(for: .milliseconds(20))
    }
    return false
}

/// A TCP port of 127.0.0.1 that was free a moment ago.
package func freePort() -> UInt16 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let size = length
    withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
            _ = bind(descriptor, address, size)
            _ = getsockname(descriptor, address, &length)
        }
    }
    return UInt16(bigEndian: address.sin_port)
}
