/// What stands on the command line.
enum CommandOptions: Equatable {
    /// Run, with this configuration file if any.
    case run(config: String?)
    /// Only say whether the configuration is right.
    case check(config: String?)
    case help
    case version

    /// - Parameter arguments: without the program's name.
    /// - Throws: what can't be understood, in words.
    init(_ arguments: [String]) throws(CommandProblem) {
        var config: String?
        var isCheck = false
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            switch argument {
            case "--help", "-h":
                self = .help
                return
            case "--version":
                self = .version
                return
            case "--check": isCheck = true
            case "--config", "-c":
                guard let file = rest.popFirst(), !file.isEmpty else {
                    throw CommandProblem(description: "\(argument) needs a file")
                }
                config = file
            case _ where argument.hasPrefix("--config="): config = String(argument.dropFirst("--config=".count))
            default: throw CommandProblem(description: "unknown option \(argument); see --help")
            }
        }
        self = isCheck ? .check(config: config) : .run(config: config)
    }

    static let usage = """
        Usage: coordinator [--config FILE] [--check] [--help] [--version]

          --config FILE  read the configuration from this TOML file; without one, built-in defaults hold
          --check        say what is wrong with the configuration and exit with 0 or 1
          --help         this text
          --version      the program's version

        Every key can also be set in the environment: COORDINATOR_HTTP_LISTEN stands for http.listen, and so on;
        PORT and LOG_LEVEL are short forms. The environment wins over the file.
        Signals: SIGTERM and SIGINT stop the program, SIGHUP reads [log] again.

        """
}

/// What is wrong with the command line.
struct CommandProblem: Error, Equatable, CustomStringConvertible {
    let description: String
}
