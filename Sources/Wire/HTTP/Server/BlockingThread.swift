// The compiler finds pthread_attr_t through the first C module of this target that declares it.
import CCurl

#if canImport(Glibc)
    import Glibc
#endif

/// A thread for work that blocks, which must not hold one of Swift's few.
enum BlockingThread {
    private final class Work: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Starts a thread that nobody waits for. False when the system has none left.
    static func start(_ body: @escaping @Sendable () -> Void) -> Bool {
        var thread = pthread_t()
        let work = Unmanaged.passRetained(Work(body))
        guard pthread_create(&thread, nil, runWork, work.toOpaque()) == 0 else {
            work.release()
            return false
        }
        pthread_detach(thread)
        return true
    }

    /// Runs `body` and waits for it without blocking; in place when there is no thread left.
    static func run(_ body: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { continuation in
            let whole: @Sendable () -> Void = {
                body()
                continuation.resume()
            }
            if !start(whole) { whole() }
        }
    }

    fileprivate static func perform(_ context: UnsafeMutableRawPointer) {
        // The libraries write to sockets whose peer may be gone; that must be an error, not a signal.
        var pipes = sigset_t()
        sigemptyset(&pipes)
        sigaddset(&pipes, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &pipes, nil)
        Unmanaged<Work>.fromOpaque(context).takeRetainedValue().body()
    }
}

private func runWork(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context { BlockingThread.perform(context) }
    return nil
}
