import Glibc
import Synchronization

/// SIGINT and SIGTERM as a flag that every loop looks at; a second one ends the program at once.
enum Interrupt {
    private static let count = Atomic<Int>(0)

    static var isRequested: Bool { count.load(ordering: .relaxed) > 0 }

    static func install() {
        signal(SIGPIPE, SIG_IGN)
        handle([SIGINT, SIGTERM], by: noteInterrupt)
    }

    fileprivate static func note() {
        if count.add(1, ordering: .relaxed).newValue > 1 { _exit(1) }
    }
}

/// SIGUSR1, by which whoever started a publisher asks how late its frames were since the last time.
enum Inquiry {
    private static let isPending = Atomic<Bool>(false)

    static func install() { handle([SIGUSR1], by: noteInquiry) }

    /// Whether one has come since the last call.
    static func take() -> Bool { isPending.exchange(false, ordering: .relaxed) }

    fileprivate static func note() { isPending.store(true, ordering: .relaxed) }
}

private func handle(_ signals: [Int32], by handler: @escaping @convention(c) (Int32) -> Void) {
    var action = sigaction()
    action.__sigaction_handler.sa_handler = handler
    for signal in signals { sigaction(signal, &action, nil) }
}

private func noteInterrupt(_: Int32) { Interrupt.note() }

private func noteInquiry(_: Int32) { Inquiry.note() }
