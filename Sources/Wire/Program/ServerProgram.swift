import Config
import Dispatch
import Log

#if canImport(Glibc)
    import Glibc
#endif

/// The edge node as a program.
public enum EdgeProgram {
    private static let log = Logger("edge")
    /// The contract gives ten seconds from the signal to the end; a recording that cannot be finished by then is repaired at the
    /// next start.
    private static let stopSeconds = 9.5

    /// Reads the command line, does what it says and ends the process: 0 after `--check` without problems and after a signal, 1 for
    /// anything wrong with the configuration, 2 for a wrong command line.
    public static func main() async -> Never {
        do throws(CommandLineOptions.UsageError) {
            let options = try CommandLineOptions(arguments: Array(CommandLine.arguments.dropFirst()))
            exit(await run(options, environment: environment()))
        } catch {
            say("edge-node: \(error.message)\n\(CommandLineOptions.usage)", to: STDERR_FILENO)
            exit(2)
        }
    }

    private static func run(_ options: CommandLineOptions, environment: [String: String]) async -> Int32 {
        switch options.action {
        case .help:
            say(CommandLineOptions.usage, to: STDOUT_FILENO)
            return 0
        case .version:
            say("\(EdgeVersion.program) \(EdgeVersion.current)\n", to: STDOUT_FILENO)
            return 0
        case .check, .run: break
        }
        let config: EdgeConfig
        do throws(ConfigError) {
            config = try ConfigLoader.load(
                EdgeConfig.self, file: options.configFile, environmentPrefix: "EDGE", environment: environment,
                checking: options.action == .check ? .all : .files)
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

    private static func serve(_ config: EdgeConfig, _ options: CommandLineOptions, _ environment: [String: String]) async -> Int32
    {
        LogOutput.configure(level: config.log.level, format: config.log.format)
        // Before anything else starts, so that a signal during the start is not lost.
        let signals = Signals()
        defer { withExtendedLifetime(signals) {} }
        let services: EdgeServices
        do throws(StartError) {
            services = try await EdgeServices(config)
            try await services.start()
        } catch {
            say("\(error.message)\n", to: STDERR_FILENO)
            return 1
        }
        sayReady(services.url, config.log)
        for await request in signals.requests {
            switch request {
            case .reload: reload(options, environment)
            case .stop:
                await stop(services)
                return 0
            }
        }
        return 0
    }

    /// The line that scripts wait for is written at any level.
    private static func sayReady(_ url: String, _ settings: LogSettings) {
        LogOutput.configure(level: min(settings.level, .info), format: settings.format)
        log.info("ready", ["url": url, "version": EdgeVersion.current])
        LogOutput.configure(level: settings.level, format: settings.format)
    }

    private static func stop(_ services: EdgeServices) async {
        log.info("stopping")
        let watchdog = DispatchQueue(label: "watchdog")
        watchdog.asyncAfter(deadline: .now() + stopSeconds) {
            say("edge-node: could not finish in time; unfinished recordings are repaired at the next start\n", to: STDERR_FILENO)
            exit(1)
        }
        await services.stop()
        log.info("stopped")
    }

    /// Level and shape of the log can change while the node runs; everything else needs a restart.
    private static func reload(_ options: CommandLineOptions, _ environment: [String: String]) {
        do throws(ConfigError) {
            let config = try ConfigLoader.load(
                EdgeConfig.self, file: options.configFile, environmentPrefix: "EDGE", environment: environment, checking: [])
            LogOutput.configure(level: config.log.level, format: config.log.format)
            log.info("log settings were read again", ["level": config.log.level.rawValue])
        } catch {
            log.error("the configuration was not read again", ["problems": error.description])
        }
    }

    private static func environment() -> [String: String] {
        var variables: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let sides = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if sides.count == 2 { variables[String(sides[0])] = String(sides[1]) }
            entry += 1
        }
        return variables
    }

    private static func say(_ text: String, to descriptor: Int32) {
        var text = text
        // Nobody reading is no reason to fail.
        text.withUTF8 { _ = write(descriptor, $0.baseAddress, $0.count) }
    }
}
