#if canImport(Glibc)
    import Glibc
#endif

/// A value behind a pthread mutex. Not `Synchronization.Mutex`, whose futex the thread sanitizer can't see on Linux: it would
/// report every use, and hide the races that matter among them.
struct Locked<Value: Sendable>: ~Copyable, @unchecked Sendable {  // why: the value is only reached with the mutex held.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let value: UnsafeMutablePointer<Value>

    init(_ initial: consuming Value) {
        mutex = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        value = .allocate(capacity: 1)
        value.initialize(to: initial)
    }

    deinit {
        value.deinitialize(count: 1)
        value.deallocate()
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Never call out of the module while it is held: it does not nest.
    borrowing func withLock<Result, Failure: Error>(_ body: (inout Value) throws(Failure) -> Result) throws(Failure) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&value.pointee)
    }
}
