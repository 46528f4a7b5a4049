import Dispatch
import Glibc

/// The clock that liveness and picks are measured by; it never steps.
public enum Monotonic {
    /// Nanoseconds since an arbitrary start.
    public static func nowNs() -> UInt64 { DispatchTime.now().uptimeNanoseconds }

    /// The time of day, Unix milliseconds; only to be compared with what others say it is.
    public static func wallMs() -> Int64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) * 1_000 + Int64(now.tv_nsec) / 1_000_000
    }
}
