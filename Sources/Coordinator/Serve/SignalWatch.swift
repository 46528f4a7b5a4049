#if canImport(Glibc)
    import Glibc
#endif

/// Signals as values, received by a thread that waits for them: a handler could hardly call anything safely.
enum SignalWatch {
    private static var watched: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for number in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&set, number) }
        return set
    }

    /// Keeps the watched signals from ending the program. To be called on the first thread before there is another, for
    /// threads inherit this.
    static func block() {
        var set = watched
        pthread_sigmask(SIG_BLOCK, &set, nil)
        // A peer that closes its connection early is an error of that connection only.
        signal(SIGPIPE, SIG_IGN)
    }

    /// Makes this thread the one that receives the watched signals. `dispatchMain()` would not do here: it lets them through.
    static func receive(_ take: (Int32) -> Void) -> Never {
        var set = watched
        while true {
            var number: Int32 = 0
            if sigwait(&set, &number) == 0 { take(number) }
        }
    }
}
