import Config
import Foundation
import HTTP
import Log

/// The coordinator as a program: options in, exit status out.
public enum CoordinatorProgram {
    private static let log = Logger("coordinator")

    /// Runs until a signal ends it. Never returns: exits with 0 after a clean stop, 1 when it could not start, 2 for wrong
    /// options. To be called on the program's first thread before anything else.
    public static func main() -> Never {
        SignalWatch.block()
        let (signals, arrived) = AsyncStream.makeStream(of: Int32.self)
        Task.detached { exit(await run(Array(CommandLine.arguments.dropFirst()), signals: signals)) }
        SignalWatch.receive { arrived.yield($0) }
    }

    static func run(_ arguments: [String], signals: AsyncStream<Int32>) async -> Int32 {
        let options: CommandOptions
        do {
            options = try CommandOptions(arguments)
        } catch {
            write("coordinator: \(error)\n")
            return 2
        }
        switch options {
        case .help:
            print(CommandOptions.usage, terminator: "")
            return 0
        case .version:
            print("coordinator \(CoordinatorVersion.text)")
            return 0
        case .check(let file): return check(file)
        case .run(let file): return await serve(file, signals)
        }
    }

    private static func check(_ file: String?) -> Int32 {
        guard let config = load(file, checking: .all) else { return 1 }
        if let problem = CoordinatorError(config) {
            write("\(problem)\n")
            return 1
        }
        print("configuration is valid")
        return 0
    }

    private static func serve(_ file: String?, _ signals: AsyncStream<Int32>) async -> Int32 {
        guard let config = load(file, checking: .all) else { return 1 }
        LogOutput.configure(level: config.log.level, format: config.log.format)
        let coordinator: Coordinator
        do {
            coordinator = try await Coordinator(config)
            try await coordinator.start()
        } catch {
            write("coordinator: \(error)\n")
            return 1
        }
        announce(coordinator.url, config)
        for await number in signals {
            guard number == SIGHUP else { break }
            reload(file)
        }
        log.info("stopping")
        await stop(coordinator)
        return 0
    }

    /// Whoever started us waits for this line, so it is written at any log level.
    private static func announce(_ url: String, _ config: CoordinatorConfig) {
        if config.log.level <= .info { log.info("ready", ["url": url]) } else { write("coordinator: ready url=\(url)\n") }
    }

    /// A request that never ends must not keep the program: what is not done after nine seconds is cut off. What is
    /// stored is stored in whole transactions, so nothing is lost by that.
    private static func stop(_ coordinator: Coordinator) async {
        let (done, finish) = AsyncStream.makeStream(of: Void.self)
        Task {
            await coordinator.stop()
            finish.finish()
        }
        Task {
            try? await Task.sleep(for: .seconds(9))
            finish.finish()
        }
        for await _ in done {}
    }

    /// The log's settings hold at once; everything else needs a new start, and that is said.
    private static func reload(_ file: String?) {
        guard let config = load(file, checking: .files) else { return }
        LogOutput.configure(level: config.log.level, format: config.log.format)
        log.info("[log] was read again; other changes need a restart")
    }

    private static func load(_ file: String?, checking: ConfigChecks.Kinds) -> CoordinatorConfig? {
        do throws(ConfigError) {
            return try ConfigLoader.load(
                CoordinatorConfig.self, file: file, environmentPrefix: "COORDINATOR",
                environment: ProcessInfo.processInfo.environment, checking: checking)
        } catch {
            write("\(error)\n")
            return nil
        }
    }

    private static func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}
