import Foundation
import Testing

@testable import EdgeServe

/// The program as scripts see it: its own process, its lines on stderr and its exit status.
@Suite("edge-node as a program", .serialized)
struct ProgramTests {
    /// The executable that was built beside the tests.
    private static var executable: URL? {
        let folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        let candidates = [folder, Bundle.main.bundleURL, Bundle.main.bundleURL.deletingLastPathComponent()]
        return candidates.map { $0.appendingPathComponent("edge-node") }.first {
            FileManager.default.isExecutableFile(atPath: $0.path)
        }
    }

    private struct Result {
        let status: Int32
        let output: String
        let errors: String
    }

    private func launch(_ arguments: [String], _ environment: [String: String] = [:]) throws -> (Process, Pipe, Pipe) {
        let process = Process()
        let executable: URL = try #require(Self.executable, "edge-node is not built beside the tests")
        process.executableURL = executable
        process.arguments = arguments
        process.environment = environment
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        return (process, output, errors)
    }

    private func run(_ arguments: [String], _ environment: [String: String] = [:]) throws -> Result {
        let (process, output, errors) = try launch(arguments, environment)
        let texts = [output, errors].map { String(decoding: $0.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self) }
        process.waitUntilExit()
        return Result(status: process.terminationStatus, output: texts[0], errors: texts[1])
    }

    @Test("--version, --help and a wrong argument")
    func informing() throws {
        let version = try run(["--version"])
        #expect(version.status == 0 && version.output == "edge-node \(EdgeVersion.current)\n")
        #expect(try run(["--help"]).output.contains("--config FILE"))
        let wrong = try run(["--nonsense"])
        #expect(wrong.status == 2 && wrong.errors.contains("unknown argument --nonsense"))
    }

    @Test("--check names every mistake with its line and exits 1")
    func check() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("edge-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appendingPathComponent("edge.toml")
        try Data("[node]\nalais = \"x\"\n[http]\nmax_body = 1\n".utf8).write(to: file)
        let bad = try run(["--check", "--config", file.path])
        #expect(bad.status == 1)
        #expect(bad.errors.contains("edge.toml:2: node.alais: unknown key") && bad.errors.contains("edge.toml:4: http.max_body"))
        try Data("[node]\nalias = \"x\"\n[http]\nlisten = \"127.0.0.1:0\"\n[recorder.storage]\nroot = \"\(folder.path)\"\n".utf8)
            .write(to: file)
        #expect(try run(["--check", "--config", file.path]).status == 0)
    }

    @Test("a ready line at any log level, SIGHUP is survived, SIGTERM and SIGINT end with 0", arguments: [SIGTERM, SIGINT])
    func signals(_ number: Int32) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("edge-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let (process, _, errors) = try launch(
            [],
            [
                "EDGE_HTTP_LISTEN": "127.0.0.1:0", "EDGE_WEBRTC_ICE_UDP_ADDRS": "127.0.0.1", "LOG_LEVEL": "error",
                "EDGE_RECORDER_STORAGE_ROOT": folder.path,
            ])
        var text = ""
        while !text.contains("\n") {
            let data = errors.fileHandleForReading.availableData
            guard !data.isEmpty else { break }
            text += String(decoding: data, as: UTF8.self)
        }
        #expect(text.contains("ready") && text.contains("http://127.0.0.1:"))
        kill(process.processIdentifier, SIGHUP)
        #expect(process.isRunning)
        kill(process.processIdentifier, number)
        process.waitUntilExit()
        #expect(process.terminationReason == .exit && process.terminationStatus == 0)
    }

    @Test("a port that is taken is one clear line and exit 1")
    func portInUse() async throws {
        try await TestNode.with { node in
            let address = node.services.url.replacingOccurrences(of: "http://", with: "")
            let result = try run(
                [],
                [
                    "EDGE_HTTP_LISTEN": address, "EDGE_WEBRTC_ICE_UDP_ADDRS": "127.0.0.1",
                    "EDGE_RECORDER_STORAGE_ROOT": node.folder,
                ])
            #expect(result.status == 1)
            #expect(result.errors.contains("http.listen") && result.errors.contains("in use"))
            #expect(result.errors.split(separator: "\n").count == 1)
        }
    }
}
