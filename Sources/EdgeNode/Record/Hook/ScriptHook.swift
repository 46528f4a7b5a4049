import CLinux
import Dispatch
import Glibc
import Log
import Synchronization

/// Starts a program for each event, without a shell: fields in its environment, JSON on its standard input.
final class ScriptHook: Sendable {
    private let command: [String]
    private let timeoutMs: Int
    private let isStopping = Atomic<Bool>(false)
    private let log = Logger("hook")
    private static let queue = DispatchQueue(label: "record.script", attributes: .concurrent)

    init(_ settings: HookSettings) {
        command = settings.command
        timeoutMs = settings.timeoutMs
    }

    /// Ends programs that are running.
    func stop() { isStopping.store(true, ordering: .relaxed) }

    /// True when the program ended with status 0 in time.
    func deliver(_ event: RecordingEvent) async -> Bool {
        let run = await withCheckedContinuation { (continuation: CheckedContinuation<ScriptRun.Outcome, Never>) in
            Self.queue.async { [self] in
                continuation.resume(
                    returning: ScriptRun(command: command, environment: Self.environment(of: event)).run(
                        input: event.json + [0x0A], timeoutMs: timeoutMs, isStopped: { isStopping.load(ordering: .relaxed) }))
            }
        }
        if !run.output.isEmpty {
            log.debug("script hook wrote", ["event": event.event.rawValue, "stream": event.stream, "output": run.output])
        }
        if let problem = run.problem {
            log.warning(
                "a script hook failed",
                ["event": event.event.rawValue, "stream": event.stream, "id": event.id, "error": problem])
        }
        return run.problem == nil
    }

    /// The fields, and of our own environment what programs need to run; not the rest, in which there are secrets.
    static func environment(of event: RecordingEvent) -> [String] {
        let names = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"]
        let kept = names.compactMap { (name: String) -> String? in
            getenv(name).map { "\(name)=\(String(cString: $0))" }
        }
        return kept + event.fields.map { "TRIBUTARY_\($0.name.uppercased())=\($0.value)" }
    }
}

/// One run of a program. Blocks the thread it is on.
struct ScriptRun {
    let command: [String]
    let environment: [String]

    /// Bytes of output that are kept.
    static let outputBytesMax = 4096

    /// Less than any Linux pipe holds by default.
    static let inputBytesMax = 16 << 10

    struct Outcome: Sendable {
        /// Nil when the program ended with status 0.
        var problem: String?
        /// The beginning of what it wrote.
        var output = ""
    }

    func run(input: [UInt8], timeoutMs: Int, isStopped: () -> Bool) -> Outcome {
        guard let stdin = Pipe(), let stdout = Pipe() else { return Outcome(problem: "no descriptors left") }
        // Before there is a reader: it fits into the pipe, and a program that does not read it is no problem.
        guard input.count <= Self.inputBytesMax, Glibc.write(stdin.writing, input, input.count) == input.count else {
            return Outcome(problem: "the event is too long")
        }
        guard let pid = spawn(stdin: stdin.reading, stdout: stdout.writing) else {
            return Outcome(problem: "cannot be started: \(String(cString: strerror(errno)))")
        }
        stdin.closeReading()
        stdout.closeWriting()
        stdin.closeWriting()
        var output: [UInt8] = []
        let deadline = WallClock.monotonicNs() &+ UInt64(timeoutMs) * 1_000_000
        var status: Int32 = 0
        while waitpid(pid, &status, WNOHANG) == 0 {
            Self.read(stdout.reading, into: &output, waitMs: 20)
            guard isStopped() || WallClock.monotonicNs() >= deadline else { continue }
            // The program and what it has started.
            kill(-pid, SIGKILL)
            waitpid(pid, &status, 0)
            return Outcome(problem: isStopped() ? "the node is stopping" : "took too long", output: Self.text(output))
        }
        Self.read(stdout.reading, into: &output, waitMs: 0)
        let code = status >> 8 & 0xFF
        let signal = status & 0x7F
        let problem = signal != 0 ? "ended by signal \(signal)" : code != 0 ? "ended with status \(code)" : nil
        return Outcome(problem: problem, output: Self.text(output))
    }

    private func spawn(stdin: Int32, stdout: Int32) -> pid_t? {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, stdin, 0)
        posix_spawn_file_actions_adddup2(&actions, stdout, 1)
        posix_spawn_file_actions_adddup2(&actions, stdout, 2)
        tributary_spawn_close_from(&actions, 3)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        var reset = sigset_t()
        sigemptyset(&reset)
        for signal in [SIGPIPE, SIGTERM, SIGINT, SIGHUP] { sigaddset(&reset, signal) }
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &reset)
        posix_spawnattr_setpgroup(&attributes, 0)
        let flags = Int(POSIX_SPAWN_SETPGROUP) | Int(POSIX_SPAWN_SETSIGMASK) | Int(POSIX_SPAWN_SETSIGDEF)
        posix_spawnattr_setflags(&attributes, Int16(flags))
        var arguments = command.map { strdup($0) } + [nil]
        var variables = environment.map { strdup($0) } + [nil]
        defer { for text in arguments + variables { free(text) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, command[0], &actions, &attributes, &arguments, &variables)
        errno = code
        return code == 0 ? pid : nil
    }

    private static func read(_ descriptor: Int32, into output: inout [UInt8], waitMs: Int32) {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, waitMs) > 0 else { return }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = Glibc.read(descriptor, &buffer, buffer.count)
        if count > 0 {
            output += buffer.prefix(min(count, max(0, outputBytesMax - output.count)))
        } else if waitMs > 0 {
            // The other end is closed but the program runs on.
            usleep(UInt32(waitMs) * 1000)
        }
    }

    private static func text(_ bytes: [UInt8]) -> String {
        String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).joined(separator: " | ")
    }
}

/// Two descriptors that no other program inherits; closed with it.
private final class Pipe {
    private(set) var reading: Int32
    private(set) var writing: Int32

    init?() {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return nil }
        (reading, writing) = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    }

    deinit {
        closeReading()
        closeWriting()
    }

    func closeReading() {
        if reading >= 0 { close(reading) }
        reading = -1
    }

    func closeWriting() {
        if writing >= 0 { close(writing) }
        writing = -1
    }
}
