import Config
import Dispatch
import Log

#if canImport(Glibc)
    import Glibc
#endif

/// A configuration that says how the program logs.
public protocol ServerConfig: ConfigSchema {
    /// `[log]`.
    var log: LogSettings { get }
}

/// All parts of a server program, put together.
public protocol Server: Sendable {
    /// `http://host:port` it listens on.
    var url: String { get }
    /// Begins to serve. When it throws, nothing is left running.
    func start() async throws
    /// Finishes what is under way and stops everything.
    func stop() async
}

/// How long stopping may take.
public enum StopTime {
    /// The contract gives ten seconds from the signal to the end; a program that needs longer is cut off.
    static let seconds = 9.5

    /// When a stop that begins now cancels the requests that still run, so that all that is behind them has its time as well: whatever does not
    /// answer, a store or a node, holds up other parts before it holds up the requests.
    public static func latestAnswer() -> ContinuousClock.Instant { .now + .seconds(8) }
}

/// A server program: what differs between programs. ``main()`` is what doesn't.
public protocol ServerProgram {
    /// What its configuration file holds.
    associatedtype Config: ServerConfig
    /// What runs.
    associatedtype Parts: Server

    /// What is said of it.
    static var description: ProgramDescription { get }

    /// Binds every socket and opens every file; nothing is served yet.
    /// - Throws: why it can't, as an error whose description is one line for the operator.
    static func parts(_ config: Config) async throws -> Parts
}

extension ServerProgram {
    private static var log: Logger { Logger(description.name) }

    /// Reads the command line, does what it says and ends the process: 0 after `--check` without problems and after a signal, 1 for
    /// anything wrong with the configuration or the start, 2 for a wrong command line.
    public static func main() async -> Never {
        do throws(CommandLineOptions.UsageError) {
            let options = try CommandLineOptions(arguments: Array(CommandLine.arguments.dropFirst()))
            exit(await run(options, environment: environment()))
        } catch {
            say("\(description.name): \(error.message)\n\(CommandLineOptions.usage(of: description))", to: STDERR_FILENO)
            exit(2)
        }
    }

    private static func run(_ options: CommandLineOptions, environment: [String: String]) async -> Int32 {
        switch options.action {
        case .help:
            say(CommandLineOptions.usage(of: description), to: STDOUT_FILENO)
            return 0
        case .version:
            say("\(description.name) \(ProgramVersion.current)\n", to: STDOUT_FILENO)
            return 0
        case .check, .run: break
        }
        let config: Config
        do throws(ConfigError) {
            config = try load(options, environment, checking: .all)
        } catch {
            say("\(error)\n", to: STDERR_FILENO)
            return 1
        }
        guard options.action == .run else {
            say("the configuration is fine\n", to: STDOUT_FILENO)
            return 0
        }
        return await serve(config, options, environment)
    }

    private static func serve(_ config: Config, _ options: CommandLineOptions, _ environment: [String: String]) async -> Int32 {
        LogOutput.configure(level: config.log.level, format: config.log.format)
        if environment[CoreDumps.variable] != "1" { CoreDumps.forbid() }
        // Before anything else starts, so that a signal during the start is not lost.
        let signals = Signals()
        defer { withExtendedLifetime(signals) {} }
        let running: Parts
        do {
            running = try await parts(config)
            try await running.start()
        } catch {
            say("\(error)\n", to: STDERR_FILENO)
            return 1
        }
        sayReady(running.url, config.log)
        for await request in signals.requests {
            switch request {
            case .reload: reload(options, environment)
            case .stop:
                await stop(running)
                return 0
            }
        }
        return 0
    }

    /// The line that scripts wait for is written at any level.
    private static func sayReady(_ url: String, _ settings: LogSettings) {
        LogOutput.configure(level: min(settings.level, .info), format: settings.format)
        log.info("ready", ["url": url, "version": ProgramVersion.current])
        LogOutput.configure(level: settings.level, format: settings.format)
    }

    /// What is on disk is whole at any moment, so being cut off costs nothing that the next start can't repair.
    private static func stop(_ running: Parts) async {
        log.info("stopping")
        let late = "\(description.name): could not finish in time; what is unfinished is repaired at the next start\n"
        DispatchQueue(label: "watchdog").asyncAfter(deadline: .now() + StopTime.seconds) {
            say(late, to: STDERR_FILENO)
            exit(1)
        }
        await running.stop()
        log.info("stopped")
    }

    /// Level and shape of the log can change while the program runs; everything else needs a restart.
    private static func reload(_ options: CommandLineOptions, _ environment: [String: String]) {
        do throws(ConfigError) {
            let config = try load(options, environment, checking: [])
            LogOutput.configure(level: config.log.level, format: config.log.format)
            log.info("[log] was read again; other changes need a restart", ["level": config.log.level.rawValue])
        } catch {
            log.error("the configuration was not read again", ["problems": error.description])
        }
    }

    private static func load(
        _ options: CommandLineOptions, _ environment: [String: String], checking: ConfigChecks.Kinds
    ) throws(ConfigError) -> Config {
        try ConfigLoader.load(
            Config.self, file: options.configFile, environmentPrefix: description.environmentPrefix, environment: environment,
            checking: checking)
    }
}

private func environment() -> [String: String] {
    var variables: [String: String] = [:]
    var entry = environ
    while let text = entry.pointee {
        let sides = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        if sides.count == 2 { variables[String(sides[0])] = String(sides[1]) }
        entry += 1
    }
    return variables
}

private func say(_ text: String, to descriptor: Int32) {
    var text = text
    // Nobody reading is no reason to fail.
    text.withUTF8 { _ = write(descriptor, $0.baseAddress, $0.count) }
}
