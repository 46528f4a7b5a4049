import Glibc
import Log

/// The load generator: publishes a file over WHIP or plays many viewers over WHEP, on the product's own transport; or asks an echo.
enum Program {
    static let log = Logger("bench")

    /// Runs one command; the result is the exit status: 0 done, 1 failed, 2 wrong arguments.
    static func run(_ arguments: [String]) async -> Int32 {
        Interrupt.install()
        raiseDescriptorLimit()
        do throws(OptionError) {
            switch try Command(parsing: arguments) {
            case .help:
                print(Command.usage)
                return 0
            case .publish(let options):
                return await Publishing.run(options)
            case .play(let options):
                return await Playing(options).run()
            case .ask(let options):
                return await Asking(options: options).run()
            }
        } catch {
            Console.error("\(error)\n\n\(Command.usage)")
            return 2
        }
    }
}

/// A socket per viewer soon passes the usual 1024.
private func raiseDescriptorLimit() {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}

/// Plain lines for people; log lines go through the logger.
enum Console {
    static func error(_ line: String) {
        var line = line + "\n"
        line.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
