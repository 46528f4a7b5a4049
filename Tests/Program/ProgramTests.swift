import CLinux
import Foundation
import HTTP
@testable import Program
import Synchronization
import TestThreads
import Testing

/// A program as scripts see it: its own process, its lines on stderr and its exit status.
struct ProgramUnderTest: Sendable, CustomTestStringConvertible {
    let name: String
    let prefix: String
    /// What it needs to leave nothing behind outside of `folder`.
    let environment: @Sendable (_ folder: String) -> [String: String]

    var testDescription: String { name }

    static let all = [
        ProgramUnderTest(name: "edge-node", prefix: "EDGE") { folder in
            ["EDGE_WEBRTC_ICE_UDP_ADDRS": "127.0.0.1", "EDGE_RECORDER_STORAGE_ROOT": folder + "/storage"]
        },
        ProgramUnderTest(name: "coordinator", prefix: "COORDINATOR") { folder in
            ["COORDINATOR_DATABASE_URL": "sqlite:\(folder)/index.db"]
        },
    ]

    /// The executable that was built beside the tests.
    private var executable: URL? {
        let folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        let candidates = [folder, Bundle.main.bundleURL, Bundle.main.bundleURL.deletingLastPathComponent()]
        return candidates.map { $0.appendingPathComponent(name) }.first { FileManager.default.isExecutableFile(atPath: $0.path) }
    }

    struct Result {
        let status: Int32
        let output: String
        let errors: String
    }

    func launch(_ arguments: [String], _ environment: [String: String] = [:]) throws -> (Process, Pipe, Pipe) {
        let process = Process()
        let executable: URL = try #require(executable, "\(name) is not built beside the tests")
        process.executableURL = executable
        process.arguments = arguments
        // exit() in the middle of a program frees nothing, which a leak checker would tell as a leak.
        process.environment = environment.merging(["ASAN_OPTIONS": "detect_leaks=0"]) { own, _ in own }
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        return (process, output, errors)
    }

    func run(_ arguments: [String], _ environment: [String: String] = [:]) throws -> Result {
        let (process, output, errors) = try launch(arguments, environment)
        // Both at once: a program that fills one pipe waits for its reader and never ends the other.
        let complaints = Mutex("")
        let isRead = DispatchSemaphore(value: 0)
        let reader = Thread {
            let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            complaints.withLock { $0 = text }
            isRead.signal()
        }
        reader.start()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        isRead.wait()
        process.waitUntilExit()
        return Result(status: process.terminationStatus, output: text, errors: complaints.withLock { $0 })
    }
}

private func withFolder(_ body: (String) async throws -> Void) async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("program-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try await body(folder.path)
}

@Suite("Server programs", .offThePool, .serialized)
struct ProgramTests {
    @Test("--version, --help and a wrong argument", arguments: ProgramUnderTest.all)
    func informing(_ program: ProgramUnderTest) throws {
        let version = try program.run(["--version"])
        #expect(version.status == 0 && version.output == "\(program.name) \(ProgramVersion.current)\n")
        let help = try program.run(["--help"])
        #expect(
            help.status == 0 && help.output.contains("--config FILE") && help.output.contains("\(program.prefix)_HTTP_LISTEN"))
        let wrong = try program.run(["--nonsense"])
        #expect(wrong.status == 2 && wrong.errors.contains("unknown argument --nonsense"))
    }

    @Test("--check names every mistake with its line and exits 1", arguments: ProgramUnderTest.all)
    func check(_ program: ProgramUnderTest) async throws {
        try await withFolder { folder in
            let file = folder + "/program.toml"
            try Data("[http]\nmax_bdoy = 1\n[limits]\nrate_rps = -1\n".utf8).write(to: URL(fileURLWithPath: file))
            let bad = try program.run(["--check", "--config", file])
            #expect(bad.status == 1)
            #expect(bad.errors.contains("program.toml:2: http.max_bdoy: unknown key"))
            #expect(bad.errors.contains("program.toml:4: limits.rate_rps"))
            try Data("[http]\nlisten = \"127.0.0.1:0\"\n".utf8).write(to: URL(fileURLWithPath: file))
            #expect(try program.run(["--check", "--config", file], program.environment(folder)).status == 0)
        }
    }

    @Test("a bucket is a storage like any other", arguments: ProgramUnderTest.all.prefix(1))
    func bucket(_ program: ProgramUnderTest) async throws {
        try await withFolder { folder in
            let file = folder + "/program.toml"
            let text =
                "[http]\nlisten = \"127.0.0.1:0\"\n[recorder.storage]\ntype = \"s3\"\nbucket = \"b\"\n"
                + "[recorder.spool]\ndir = \"\(folder)/spool\"\n"
            try Data(text.utf8).write(to: URL(fileURLWithPath: file))
            var environment = program.environment(folder)
            environment["EDGE_RECORDER_STORAGE_ROOT"] = nil
            let result = try program.run(["--check", "--config", file], environment)
            #expect(result.status == 0, "\(result.errors)")
        }
    }

    @Test(
        "a ready line at any log level, SIGHUP is survived, SIGTERM and SIGINT end with 0", arguments: ProgramUnderTest.all,
        [SIGTERM, SIGINT])
    func signals(_ program: ProgramUnderTest, number: Int32) async throws {
        try await withFolder { folder in
            let settings = ["\(program.prefix)_HTTP_LISTEN": "127.0.0.1:0", "LOG_LEVEL": "error"]
            let (process, _, errors) = try program.launch([], program.environment(folder).merging(settings) { $1 })
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
    }

    @Test("a port that is taken is one clear line and exit 1", arguments: ProgramUnderTest.all)
    func portInUse(_ program: ProgramUnderTest) async throws {
        let server = try HTTPServer(HTTPServerSettings(), router: Router())
        try server.start()
        try await withFolder { folder in
            let settings = ["\(program.prefix)_HTTP_LISTEN": "127.0.0.1:\(server.port)"]
            let result = try program.run([], program.environment(folder).merging(settings) { $1 })
            #expect(result.status == 1)
            #expect(result.errors.contains("http.listen") && result.errors.contains("in use"))
            #expect(result.errors.split(separator: "\n").count == 1)
        }
        await server.stop()
    }
}

@Suite("Core files")
struct CoreDumpTests {
    @Test("a program that forbids them writes none, into a file or a pipe")
    func forbidden() async {
        await #expect(processExitsWith: .success) {
            CoreDumps.forbid()
            exit(tributary_is_dumpable() == 0 ? 0 : 1)
        }
    }
}
