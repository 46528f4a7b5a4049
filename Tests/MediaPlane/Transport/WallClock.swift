import CLinux
import Glibc

/// OpenSSL times DTLS retransmission with `gettimeofday`. The test program's own definition takes precedence over libc's, so a
/// handshake can run on virtual time: per thread, and only inside ``withWallClock(_:_:)``.
private let clockKey: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key, nil)
    return key
}()

/// Takes libc's place in this program.
@c(gettimeofday)
public func testGetTimeOfDay(_ time: UnsafeMutablePointer<timeval>?, _ zone: UnsafeMutableRawPointer?) -> Int32 {
    guard let time else { return 0 }
    if let virtual = pthread_getspecific(clockKey) {
        let ns = virtual.load(as: UInt64.self)
        time.pointee = timeval(tv_sec: Int(ns / 1_000_000_000), tv_usec: Int(ns % 1_000_000_000 / 1000))
        return 0
    }
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    time.pointee = timeval(tv_sec: now.tv_sec, tv_usec: now.tv_nsec / 1000)
    return 0
}

/// Runs `body` with this thread's wall clock read from the value it may change.
func withWallClock<Result>(_ body: (UnsafeMutablePointer<UInt64>) throws -> Result) rethrows -> Result {
    let clock = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
    clock.initialize(to: 1_700_000_000_000_000_000)
    pthread_setspecific(clockKey, clock)
    defer {
        pthread_setspecific(clockKey, nil)
        clock.deallocate()
    }
    return try body(clock)
}
