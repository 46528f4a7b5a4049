import Glibc
import Synchronization

/// SIGINT and SIGTERM as a flag that every loop looks at; a second one ends the program at once.
enum Interrupt {
    private static let count = Atomic<Int>(0)

    static var isRequested: Bool { count.load(ordering: .relaxed) > 0 }

    static func install() {
        signal(SIGPIPE, SIG_IGN)
        var action = sigaction()
        action.__sigaction_handler.sa_handler = noteSignal
        sigaction(SIGINT, &action, nil)
        sigaction(SIGTERM, &action, nil)
    }

    fileprivate static func note() {
        if count.add(1, ordering: .relaxed).newValue > 1 { _exit(1) }
    }
}

private func noteSignal(_: Int32) { Interrupt.note() }
