#if canImport(Glibc)
    import Glibc
#endif

/// Where handlers go on that were promised to be short: on the client's thread when it brings the answer they wait for, which saves waking
/// another thread for a few microseconds of work, else on Swift's pool.
final class InPlaceExecutor: TaskExecutor {
    static let shared = InPlaceExecutor()

    /// Set on threads that may run jobs while they give out results, and hold no lock then.
    private static let key: pthread_key_t? = {
        var key = pthread_key_t()
        return pthread_key_create(&key, nil) == 0 ? key : nil
    }()

    /// From now on jobs whose results this thread gives out run on it at once.
    static func adoptThread() {
        guard let key else { return }
        // Any address but nil will do.
        pthread_setspecific(key, Unmanaged.passUnretained(shared).toOpaque())
    }

    /// Runs the job here, or hands it to the pool.
    func enqueue(_ job: consuming ExecutorJob) {
        guard let key = Self.key, pthread_getspecific(key) != nil else { return globalConcurrentExecutor.enqueue(job) }
        job.runSynchronously(on: asUnownedTaskExecutor())
    }
}
