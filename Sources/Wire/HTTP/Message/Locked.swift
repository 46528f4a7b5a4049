#if canImport(Glibc)
    import Glibc
#endif

/// A value behind a pthread mutex. Not `Synchronization.Mutex`, whose futex the thread sanitizer can't see on Linux: it would
/// report every use, and hide the races that matter among them.
struct Locked<Value: Sendable>: ~Copyable, @unchecked Sendable {  // why: the value is only reached with the mutex held.
    /// Mutex and value, in one allocation: there are some for each request.
    private struct Box {
        var mutex = pthread_mutex_t()
        var value: Value
    }

    private let box: UnsafeMutablePointer<Box>

    init(_ initial: consuming Value) {
        box = .allocate(capacity: 1)
        box.initialize(to: Box(value: initial))
        pthread_mutex_init(&box.pointee.mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(&box.pointee.mutex)
        box.deinitialize(count: 1)
        box.deallocate()
    }

    /// Never call out of the module while it is held: it does not nest.
    borrowing func withLock<Result, Failure: Error>(_ body: (inout Value) throws(Failure) -> Result) throws(Failure) -> Result {
        pthread_mutex_lock(&box.pointee.mutex)
        defer { pthread_mutex_unlock(&box.pointee.mutex) }
        return try body(&box.pointee.value)
    }
}
