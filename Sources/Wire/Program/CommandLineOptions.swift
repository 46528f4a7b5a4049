/// A server program's command line; the same for every program.
struct CommandLineOptions: Equatable {
    enum Action: Equatable {
        case run, check, help, version
    }

    var action = Action.run
    /// The configuration file; nil for defaults and environment alone.
    var configFile: String?

    /// What is wrong with a command line, in one line.
    struct UsageError: Error, Equatable {
        let message: String
    }

    /// Reads the arguments after the program's name. `--help` and `--version` win over everything.
    init(arguments: [String]) throws(UsageError) {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            switch argument {
            case "--help", "-h": action = .help
            case "--version": if action != .help { action = .version }
            case "--check": if action == .run { action = .check }
            case "--config", "-c":
                guard let file = rest.popFirst(), !file.isEmpty else { throw UsageError(message: "\(argument) needs a file") }
                configFile = file
            case _ where argument.hasPrefix("--config=") && argument.count > 9: configFile = String(argument.dropFirst(9))
            default: throw UsageError(message: "unknown argument \(argument)")
            }
        }
    }

    static func usage(of program: ProgramDescription) -> String {
        """
        Usage: \(program.name) [--config FILE] [--check]

        \(program.purpose)

          -c, --config FILE  TOML configuration; without it the defaults and the environment count
              --check        read and check the configuration, say what is wrong, and exit
          -h, --help         this text
              --version      the version

        Every key may be set in the environment, such as \(program.environmentPrefix)_HTTP_LISTEN for http.listen; PORT and LOG_LEVEL too.
        SIGTERM and SIGINT finish what is under way and stop; SIGHUP reads the log's settings again.

        """
    }
}
